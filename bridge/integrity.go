package bridge

import (
	"encoding/binary"

	"github.com/zeebo/xxh3"
)

// Integrity is the check that values carry.
type Integrity int

const (
	// IntegrityOff stores values as they are. The default.
	IntegrityOff Integrity = iota
	// IntegrityXXH3 appends 16 bytes: the XXH3 of the key's text and the value,
	// and a mark. A value that came back under another key fails too.
	IntegrityXXH3
)

const (
	trailerSize = 16                        // bytes
	trailerMark = 0x31_4C_4C_41_43_58_49_53 // "SIXCALL1", little-endian
)

// seal writes the trailer behind the value in stored, which has room for it.
func seal(stored, key []byte) {
	n := len(stored) - trailerSize
	binary.LittleEndian.PutUint64(stored[n:], checksum(stored[:n], key))
	binary.LittleEndian.PutUint64(stored[n+8:], trailerMark)
}

// sealed reports whether the trailer in stored fits its value and key.
func sealed(stored, key []byte) bool {
	n := len(stored) - trailerSize
	return binary.LittleEndian.Uint64(stored[n+8:]) == trailerMark &&
		binary.LittleEndian.Uint64(stored[n:]) == checksum(stored[:n], key)
}

func checksum(value, key []byte) uint64 { return xxh3.HashSeed(value, xxh3.Hash(key)) }
