//go:build linux

package conformance

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// image is what the file says without being loaded.
type image struct {
	imported  []elf.ImportedSymbol
	weak      map[string]bool // imported symbols that may stay undefined
	exported  []string
	needed    []string
	paths     []string // RPATH and RUNPATH entries
	flags     uint64   // DT_FLAGS
	flags1    uint64   // DT_FLAGS_1
	textRel   bool
	relro     bool
	execStack bool
	buildID   bool
	tpOff     bool
	ctors     int
}

// readImage reads the file. It is not made for hostile files: native.Inspect has
// looked at this one before.
func readImage(path string) (img *image, err error) {
	defer func() {
		if p := recover(); p != nil {
			img, err = nil, fmt.Errorf("broken ELF file: %v", p)
		}
	}()
	f, err := elf.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if f.Machine != hostMachine() || f.Type != elf.ET_DYN || f.Class != elf.ELFCLASS64 {
		return nil, errors.New("not a shared library for this machine")
	}
	img = &image{weak: map[string]bool{}, execStack: true}
	if img.imported, err = f.ImportedSymbols(); err != nil {
		return nil, err
	}
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return nil, err
	}
	for _, s := range symbols {
		bind := elf.ST_BIND(s.Info)
		switch {
		case s.Section == elf.SHN_UNDEF && bind == elf.STB_WEAK:
			img.weak[s.Name] = true
		case s.Section != elf.SHN_UNDEF && s.Section != elf.SHN_ABS && elf.ST_TYPE(s.Info) != elf.STT_SECTION && bind != elf.STB_LOCAL:
			img.exported = append(img.exported, s.Name)
		}
	}
	if img.needed, err = f.ImportedLibraries(); err != nil {
		return nil, err
	}
	for _, tag := range []elf.DynTag{elf.DT_RPATH, elf.DT_RUNPATH} {
		lists, err := f.DynString(tag)
		if err != nil {
			return nil, err
		}
		for _, list := range lists {
			img.paths = append(img.paths, filepath.SplitList(list)...)
		}
	}
	one := func(tag elf.DynTag) (sum uint64) {
		values, _ := f.DynValue(tag)
		for _, v := range values {
			sum |= v
		}
		return sum
	}
	img.flags, img.flags1 = one(elf.DT_FLAGS), one(elf.DT_FLAGS_1)
	if values, _ := f.DynValue(elf.DT_BIND_NOW); len(values) > 0 {
		img.flags |= uint64(elf.DF_BIND_NOW)
	}
	values, _ := f.DynValue(elf.DT_TEXTREL)
	img.textRel = len(values) > 0 || img.flags&uint64(elf.DF_TEXTREL) != 0
	img.ctors = int(one(elf.DT_INIT_ARRAYSZ) / 8)
	for _, p := range f.Progs {
		switch p.Type {
		case elf.PT_GNU_RELRO:
			img.relro = true
		case elf.PT_GNU_STACK:
			img.execStack = p.Flags&elf.PF_X != 0
		}
	}
	for _, s := range f.Sections {
		switch {
		case s.Name == ".note.gnu.build-id":
			img.buildID = true
		case s.Type == elf.SHT_RELA && s.Flags&elf.SHF_ALLOC != 0:
			data, err := s.Data()
			if err != nil {
				return nil, err
			}
			img.tpOff = img.tpOff || hasTPOff(data)
		}
	}
	return img, nil
}

// hasTPOff looks for relocations that put thread-locals into the static TLS block.
func hasTPOff(rela []byte) bool {
	kind := uint32(elf.R_X86_64_TPOFF64)
	if runtime.GOARCH == "arm64" {
		kind = uint32(elf.R_AARCH64_TLS_TPREL64)
	}
	for ; len(rela) >= 24; rela = rela[24:] {
		if binary.LittleEndian.Uint32(rela[8:]) == kind {
			return true
		}
	}
	return false
}

func hostMachine() elf.Machine {
	if runtime.GOARCH == "arm64" {
		return elf.EM_AARCH64
	}
	return elf.EM_X86_64
}

// newest returns the highest version of a family such as "GLIBC_" that is imported,
// "" when there is none.
func (img *image) newest(family string) string {
	best := ""
	for _, s := range img.imported {
		if v, ok := strings.CutPrefix(s.Version, family); ok && v[0] >= '0' && v[0] <= '9' && compareVersions(v, best) > 0 {
			best = v
		}
	}
	return best
}

// compareVersions compares "2.34" and "2.4" by their numbers.
func compareVersions(a, b string) int {
	numbers := func(v string) (list []int) {
		for _, part := range strings.FieldsFunc(v, func(r rune) bool { return r == '.' }) {
			n, _ := strconv.Atoi(part)
			list = append(list, n)
		}
		return list
	}
	return slices.Compare(numbers(a), numbers(b))
}

// definedIn returns the dynamic symbols that a library defines.
func definedIn(path string) (map[string]bool, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, s := range symbols {
		if s.Section != elf.SHN_UNDEF {
			names[s.Name] = true
		}
	}
	return names, nil
}

// writableByOthers says which of path and its folder others may write to, or "".
func writableByOthers(path string) string {
	for _, at := range []string{path, filepath.Dir(path)} {
		info, err := os.Stat(at)
		if err != nil {
			return err.Error()
		}
		if mode := info.Mode(); mode.Perm()&0o022 != 0 && (!info.IsDir() || mode&os.ModeSticky == 0) {
			return fmt.Sprintf("%s has mode %04o: group or others may write to it", at, mode.Perm())
		}
	}
	return ""
}
