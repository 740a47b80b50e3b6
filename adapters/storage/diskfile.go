package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/zeebo/xxh3"

	"github.com/sixcall/sixcall/bridge/engine"
)

// A file is the value, then a trailer that says what it is: the header, the text
// of the key, and 32 bytes: checksum of the value, checksum of header and key,
// groups, length of the key, magic. A file that was cut has no trailer.
const (
	diskExt     = ".pt"
	diskTemp    = ".sixcall-tmp-"
	footerSize  = 32
	footerMagic = 0x3154504c41434953 // "SICALPT1"
	longestKey  = 16 << 10           // bytes, to tell damage from a key
)

// diskName returns the name of a key's file. It is LMCache's for keys without '/'
// and '%'; these are escaped, so that two keys never share a file.
func diskName(key engine.Key) string {
	text := strings.NewReplacer("%", "%25", "/", "%2F", "\x00", "%00").Replace(key.String())
	if len(text)+len(diskExt) > 255 {
		sum := xxh3.HashString128(key.String())
		text = fmt.Sprintf("%%long-%016x%016x", sum.Hi, sum.Lo)
	}
	return text + diskExt
}

// diskEntry is what the index knows of a file.
type diskEntry struct {
	header engine.Header
	size   int64 // of the file, bytes
	pins   int
}

// writeFile writes the file of an object under a temporary name and renames it: a
// file is old, new or absent.
func writeFile(dir string, key engine.Key, o *engine.Object) (diskEntry, error) {
	h := o.Header()
	tail, err := h.Append(nil)
	if err != nil {
		return diskEntry{}, err
	}
	text := key.String()
	tail = append(tail, text...)
	value := o.Bytes()
	sum := xxh3.Hash(tail)
	for _, n := range []uint64{xxh3.Hash(value), sum, uint64(len(h.DTypes))<<32 | uint64(len(text)), footerMagic} {
		tail = binary.LittleEndian.AppendUint64(tail, n)
	}
	f, err := os.CreateTemp(dir, fmt.Sprintf("%s%d-*", diskTemp, os.Getpid()))
	if err != nil {
		return diskEntry{}, err
	}
	_, err = f.Write(value)
	if err == nil {
		_, err = f.Write(tail)
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, diskName(key)))
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return diskEntry{}, err
	}
	return diskEntry{header: h, size: int64(len(value) + len(tail))}, nil
}

// errDamaged says that a file is not what was written.
var errDamaged = errors.New("the file is damaged")

// readTrailer reads what a file says about itself.
func readTrailer(f *os.File) (key engine.Key, e diskEntry, sum uint64, err error) {
	info, err := f.Stat()
	if err != nil {
		return key, e, 0, err
	}
	e.size = info.Size()
	var foot [footerSize]byte
	if e.size < footerSize || !info.Mode().IsRegular() {
		return key, e, 0, errDamaged
	}
	if _, err := f.ReadAt(foot[:], e.size-footerSize); err != nil {
		return key, e, 0, err
	}
	number := func(i int) uint64 { return binary.LittleEndian.Uint64(foot[8*i:]) }
	groups, textLen := int(number(2)>>32), int(number(2)&0xffffffff)
	if number(3) != footerMagic || groups < 1 || groups > 1024 || textLen < 1 || textLen > longestKey {
		return key, e, 0, errDamaged
	}
	tail := make([]byte, engine.HeaderSize(groups)+textLen)
	at := e.size - footerSize - int64(len(tail))
	if at < 0 {
		return key, e, 0, errDamaged
	}
	if _, err := f.ReadAt(tail, at); err != nil {
		return key, e, 0, err
	}
	if xxh3.Hash(tail) != number(1) {
		return key, e, 0, errDamaged
	}
	if e.header, err = engine.ParseHeader(tail, groups); err != nil {
		return key, e, 0, fmt.Errorf("%w: %w", errDamaged, err)
	}
	if int64(e.header.Length) != at {
		return key, e, 0, errDamaged
	}
	key, err = engine.ParseKey(string(tail[engine.HeaderSize(groups):]))
	if err != nil {
		return key, e, 0, fmt.Errorf("%w: %w", errDamaged, err)
	}
	return key, e, number(0), nil
}

// readFile reads the value of key into buf. Anything but the whole value of that
// key is an error.
func readFile(dir string, key engine.Key, buf []byte) error {
	f, err := os.Open(filepath.Join(dir, diskName(key)))
	if err != nil {
		return err
	}
	defer f.Close()
	stored, e, sum, err := readTrailer(f)
	switch {
	case err != nil:
		return err
	case stored != key || e.header.Length != len(buf):
		return errDamaged
	}
	if _, err := io.ReadFull(f, buf); err != nil {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	if xxh3.Hash(buf) != sum {
		return errDamaged
	}
	return nil
}
