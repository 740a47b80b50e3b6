//go:build linux && (amd64 || arm64)

package native

import (
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"

	"github.com/sixcall/sixcall/bridge/kv"
)

// maxExports bounds the list in a report; a plug-in that exports more has
// forgotten its version script.
const maxExports = 4096

// maxSegments bounds the work per file; libraries have a dozen.
const maxSegments = 256

// image is an ELF file that has passed the checks of openImage.
type image struct {
	file *elf.File
	raw  io.ReaderAt
	size int64
	dyn  dynamic
}

// openImage checks that raw is a shared library for this machine. It reads
// headers only, and no input makes it panic or allocate more than a few MiB.
// An image is returned together with an error when only the machine is wrong.
func openImage(raw io.ReaderAt, size int64) (img *image, err error) {
	defer func() {
		if p := recover(); p != nil { // debug/elf is not made for hostile files
			img, err = nil, fmt.Errorf("broken ELF file: %v", p)
		}
	}()
	if err := checkHeader(raw, size); err != nil {
		return nil, err
	}
	file, err := elf.NewFile(io.NewSectionReader(raw, 0, size))
	if err != nil {
		return nil, fmt.Errorf("truncated or broken ELF file: %w", err)
	}
	if n := len(file.Progs); n > maxSegments {
		return nil, fmt.Errorf("broken ELF file: it has %d segments, want at most %d", n, maxSegments)
	}
	img = &image{file: file, raw: raw, size: size}
	for _, p := range file.Progs {
		if p.Type == elf.PT_LOAD && (p.Off > uint64(size) || p.Filesz > uint64(size)-p.Off) {
			return nil, fmt.Errorf("truncated ELF file: a segment ends at byte %d, the file at %d", p.Off+p.Filesz, size)
		}
	}
	if img.dyn, err = readDynamic(img); err != nil {
		return nil, err
	}
	return img, nil
}

// checkHeader looks at the first 64 bytes and says in plain words what is wrong.
func checkHeader(raw io.ReaderAt, size int64) error {
	const headerSize = 64
	var h [headerSize]byte
	n, err := raw.ReadAt(h[:min(headerSize, size)], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read: %w", err)
	}
	switch {
	case n == 0:
		return errors.New("the file is empty")
	case !strings.HasPrefix(string(h[:n]), elf.ELFMAG):
		return fmt.Errorf("not an ELF file: %s", describe(h[:n]))
	case n < headerSize:
		return fmt.Errorf("truncated ELF file: %d bytes, the header alone has %d", n, headerSize)
	case elf.Class(h[elf.EI_CLASS]) != elf.ELFCLASS64:
		return fmt.Errorf("built for another machine: %s, want ELFCLASS64", elf.Class(h[elf.EI_CLASS]))
	case elf.Data(h[elf.EI_DATA]) != elf.ELFDATA2LSB:
		return fmt.Errorf("built for another machine: %s, want ELFDATA2LSB", elf.Data(h[elf.EI_DATA]))
	}
	machine := elf.Machine(binary.LittleEndian.Uint16(h[18:]))
	if machine != hostMachine() {
		return fmt.Errorf("built for another machine: %s, this host is %s", machine, hostMachine())
	}
	if kind := elf.Type(binary.LittleEndian.Uint16(h[16:])); kind != elf.ET_DYN {
		return fmt.Errorf("not a shared library: %s, want ET_DYN", kind)
	}
	return nil
}

func hostMachine() elf.Machine {
	if runtime.GOARCH == "arm64" {
		return elf.EM_AARCH64
	}
	return elf.EM_X86_64
}

// describe says what a file that is not ELF may be.
func describe(head []byte) string {
	text := string(head)
	switch {
	case strings.HasPrefix(text, "!<arch>"):
		return "it is a static library; link it with -shared"
	case strings.HasPrefix(text, "#!"):
		return "it is a script"
	case strings.Contains(text, "GROUP") || strings.Contains(text, "INPUT("):
		return "it is a linker script; name the library that it refers to"
	case strings.HasPrefix(text, "version https://git-lfs"):
		return "it is a Git LFS pointer; fetch the file"
	}
	return fmt.Sprintf("it begins with %q", text[:min(len(text), 8)])
}

// survey adds what the file says about itself to the report, without running it.
func (img *image) survey(r *Report, c checks) {
	defer func() {
		if p := recover(); p != nil { // as in openImage
			r.refuse(kv.Config, "broken ELF file: %v", p)
		}
	}()
	r.Machine = img.file.Machine.String()
	checkNote(r, img)
	img.checkEntry(r)
	img.closure(r)
	checkGoRuntime(r, c)
}

// exports returns the names of the dynamic symbols that the library defines.
// known is false when the section headers are stripped.
func (img *image) exports() (names []string, known bool) {
	for _, s := range img.file.Sections {
		if s.Flags&elf.SHF_COMPRESSED != 0 && (s.Type == elf.SHT_DYNSYM || s.Type == elf.SHT_STRTAB) {
			return nil, false // no linker does that; it might unpack to anything
		}
	}
	symbols, err := img.file.DynamicSymbols()
	if err != nil {
		return nil, false
	}
	names = []string{}
	for _, s := range symbols {
		bind, visibility := elf.ST_BIND(s.Info), elf.ST_VISIBILITY(s.Other)
		if s.Section == elf.SHN_UNDEF || bind == elf.STB_LOCAL || visibility == elf.STV_HIDDEN || visibility == elf.STV_INTERNAL {
			continue
		}
		if s.Section == elf.SHN_ABS && elf.ST_TYPE(s.Info) == elf.STT_OBJECT {
			continue // the name of a symbol version
		}
		names = append(names, s.Name)
		if len(names) == maxExports {
			break
		}
	}
	return names, true
}

// checkEntry refuses a library that certainly lacks the entry point.
func (img *image) checkEntry(r *Report) {
	names, known := img.exports()
	if !known {
		return
	}
	r.Exports = names
	var others []string
	found := false
	for _, name := range names {
		switch {
		case name == cEntrySymbol:
			found = true
		case strings.HasPrefix(name, entryPrefix):
			others = append(others, name) // another major, legal beside ours
		}
	}
	switch {
	case found:
	case len(others) > 0:
		r.refuse(kv.Version, "exports %s; this host speaks ABI %d and needs %s", strings.Join(others, ", "), cABIMajor, cEntrySymbol)
	default:
		r.refuse(kv.Config, "not a connector: exports no %s", cEntrySymbol)
	}
	if extra := len(names) - len(others) - 1; found && extra > 0 {
		r.warn("exports %d symbols beside the entry point, which may clash with other libraries; link with a version script", extra)
	}
}

const entryPrefix = "sixcall_connector_entry_v"

// digest returns the SHA-256 of the file in hex.
func digest(raw io.ReaderAt, size int64) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(raw, 0, size)); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
