//go:build linux && (amd64 || arm64)

package native

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/internal/params"
)

const (
	noteSection = ".note.sixcall"
	maxNotes    = 64 << 10 // bytes of one note section or segment
	noteHeader  = 12       // bytes: namesz, descsz, type
)

// errNoNote says that there is no sixcall note, as opposed to a broken one.
var errNoNote = errors.New("no " + noteSection)

// note returns the sixcall note of the file: from its section, or from the note
// segments when the section headers are stripped. Of several the one with our
// major counts.
func (img *image) note() (*Note, error) {
	var areas [][]byte
	read := func(off, size uint64) {
		if b, err := img.bytes(off, min(size, maxNotes)); err == nil && len(areas) < 16 {
			areas = append(areas, b)
		}
	}
	for _, s := range img.file.Sections {
		if s.Name == noteSection && s.Type != elf.SHT_NOBITS {
			read(s.Offset, s.FileSize)
		}
	}
	if len(areas) == 0 {
		for _, p := range img.file.Progs {
			if p.Type == elf.PT_NOTE {
				read(p.Off, p.Filesz)
			}
		}
	}
	var first *Note
	firstErr := errNoNote
	for _, area := range areas {
		for _, desc := range splitNotes(area) {
			n, err := parseNote(desc)
			if err != nil {
				firstErr = err
				continue
			}
			if n.ABIMajor == cABIMajor {
				return n, nil
			}
			if first == nil {
				first = n
			}
		}
	}
	if first != nil {
		return first, nil
	}
	return nil, firstErr
}

// splitNotes returns the descriptions of all sixcall notes in area.
func splitNotes(area []byte) (descs [][]byte) {
	for len(area) >= noteHeader {
		nameLen := uint64(binary.LittleEndian.Uint32(area))
		descLen := uint64(binary.LittleEndian.Uint32(area[4:]))
		kind := binary.LittleEndian.Uint32(area[8:])
		descStart := noteHeader + (nameLen+3)&^3
		end := descStart + descLen
		if end > uint64(len(area)) {
			return descs
		}
		name := area[noteHeader : noteHeader+nameLen]
		if string(name) == cNoteName+"\x00" && kind == cNoteType {
			descs = append(descs, area[descStart:end])
		}
		area = area[min((end+3)&^3, uint64(len(area))):]
	}
	return descs
}

// parseNote reads the description of a note.
func parseNote(desc []byte) (*Note, error) {
	const head = offsetofNoteABIMajor // bytes of the struct before the description
	if len(desc) < sizeofNote-head {
		return nil, fmt.Errorf("%s has %d bytes, want %d", noteSection, len(desc), sizeofNote-head)
	}
	u16 := func(offset int) uint16 { return binary.LittleEndian.Uint16(desc[offset-head:]) }
	u32 := func(offset int) uint32 { return binary.LittleEndian.Uint32(desc[offset-head:]) }
	n := &Note{ABIMajor: u16(offsetofNoteABIMajor), ABIMinor: u16(offsetofNoteABIMinor), TableSize: u32(offsetofNoteTableSize)}
	n.Caps = kv.Caps(uint64(u32(offsetofNoteCapsHi))<<32 | uint64(u32(offsetofNoteCapsLo)))
	n.CapNames = n.Caps.Names()
	for _, s := range []struct {
		field  string
		offset int
		to     *string
	}{{"vendor", offsetofNoteVendor, &n.Vendor}, {"product", offsetofNoteProduct, &n.Product}, {"version", offsetofNoteVersion, &n.Version}} {
		text := desc[s.offset-head : s.offset-head+32]
		end := bytes.IndexByte(text, 0)
		if end < 0 || !utf8.Valid(text[:end]) {
			return nil, fmt.Errorf("%s: %s is not NUL-terminated UTF-8", noteSection, s.field)
		}
		*s.to = params.Printable(string(text[:end]))
	}
	return n, nil
}
