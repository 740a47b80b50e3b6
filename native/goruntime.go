//go:build linux && (amd64 || arm64)

package native

import (
	"bytes"
	"debug/elf"
	"io"
	"strings"
)

// goMagic begins the build information that the Go linker writes, 16-byte aligned.
const goMagic = "\xff Go buildinf:"

// goEvidence says by what the file shows that it contains a Go runtime, or "".
func (img *image) goEvidence() string {
	for _, s := range img.file.Sections {
		if s.Name == ".go.buildinfo" || s.Name == ".note.go.buildid" || strings.HasSuffix(s.Name, ".gopclntab") {
			return "section " + s.Name
		}
	}
	for _, p := range img.file.Progs {
		if p.Type == elf.PT_NOTE && img.hasGoNote(p) {
			return "note of the Go linker"
		}
	}
	if len(img.file.Sections) == 0 { // stripped: look at the data itself
		for _, p := range img.file.Progs {
			if p.Type == elf.PT_LOAD && p.Flags&elf.PF_X == 0 && img.hasGoMagic(p) {
				return "Go build information"
			}
		}
	}
	return ""
}

func (img *image) hasGoNote(p *elf.Prog) bool {
	area, _ := img.bytes(p.Off, min(p.Filesz, maxNotes))
	return bytes.Contains(area, []byte("\x04\x00\x00\x00Go\x00\x00")) // type 4, name "Go"
}

func (img *image) hasGoMagic(p *elf.Prog) bool {
	const step = 1 << 20
	buf := make([]byte, step+len(goMagic))
	size := min(p.Filesz, uint64(img.size))
	for off := uint64(0); off < size; off += step {
		n, err := p.ReadAt(buf[:min(uint64(len(buf)), size-off)], int64(off))
		if bytes.Contains(buf[:n], []byte(goMagic)) {
			return true
		}
		if err != nil && err != io.EOF {
			return false
		}
	}
	return false
}
