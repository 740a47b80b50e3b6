//go:build linux && (amd64 || arm64)

package native

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
)

// dynamic is what the loader reads in the PT_DYNAMIC segment. Sections may be
// stripped or lie; the segment is what counts.
type dynamic struct {
	soname  string
	needed  []string
	rpath   string
	runpath string
}

const (
	maxDynamic = 1 << 20 // bytes of the dynamic segment
	maxNeeded  = 1024
	maxString  = 4096 // bytes of one name in it
)

func readDynamic(img *image) (d dynamic, err error) {
	var segment *elf.Prog
	for _, p := range img.file.Progs {
		if p.Type == elf.PT_DYNAMIC {
			segment = p
		}
	}
	if segment == nil {
		return d, errors.New("not a shared library: no dynamic segment")
	}
	table, err := img.bytes(segment.Off, min(segment.Filesz, maxDynamic))
	if err != nil {
		return d, fmt.Errorf("broken ELF file: dynamic segment: %w", err)
	}
	tags := map[elf.DynTag][]uint64{}
	for ; len(table) >= 16; table = table[16:] {
		tag := elf.DynTag(binary.LittleEndian.Uint64(table))
		if tag == elf.DT_NULL {
			break
		}
		if len(tags[tag]) < maxNeeded {
			tags[tag] = append(tags[tag], binary.LittleEndian.Uint64(table[8:]))
		}
	}
	text := func(offset uint64) string {
		if len(tags[elf.DT_STRTAB]) == 0 || err != nil {
			return ""
		}
		var s string
		s, err = img.text(tags[elf.DT_STRTAB][0], offset)
		return s
	}
	for _, offset := range tags[elf.DT_NEEDED] {
		d.needed = append(d.needed, text(offset))
	}
	one := func(tag elf.DynTag) string {
		if len(tags[tag]) == 0 {
			return ""
		}
		return text(tags[tag][0])
	}
	d.soname, d.rpath, d.runpath = one(elf.DT_SONAME), one(elf.DT_RPATH), one(elf.DT_RUNPATH)
	if err != nil {
		return dynamic{}, fmt.Errorf("broken ELF file: dynamic strings: %w", err)
	}
	return d, nil
}

// bytes reads n bytes of the file at off.
func (img *image) bytes(off, n uint64) ([]byte, error) {
	if off > uint64(img.size) || n > uint64(img.size)-off {
		return nil, fmt.Errorf("bytes %d to %d lie outside the file of %d bytes", off, off+n, img.size)
	}
	b := make([]byte, n)
	_, err := img.raw.ReadAt(b, int64(off))
	return b, err
}

// text reads the string at offset in the table that is loaded at addr.
func (img *image) text(addr, offset uint64) (string, error) {
	addr += offset
	for _, p := range img.file.Progs {
		if p.Type != elf.PT_LOAD || addr < p.Vaddr || addr-p.Vaddr >= p.Filesz {
			continue
		}
		in := addr - p.Vaddr
		b, err := img.bytes(p.Off+in, min(p.Filesz-in, maxString))
		if err != nil {
			return "", err
		}
		if end := bytes.IndexByte(b, 0); end >= 0 {
			return string(b[:end]), nil
		}
		return "", errors.New("a string has no end")
	}
	return "", fmt.Errorf("address %#x is in no segment", addr)
}
