package replay

import "encoding/binary"

// The content of a block is a function of its id and the position alone, so it
// can be checked without keeping a copy. Word i of 8 bytes is mix(seed + i*golden)
// for a seed made of the id: words within a block are all different, and a byte
// that is wrong, missing, shifted or of another block does not fit its place.

const golden = 0x9e3779b97f4a7c15

func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func seedOf(id uint64) uint64 { return mix(id ^ 0x6b76626c6f636b73) }

// Fill writes the content of block id to dst.
func Fill(dst []byte, id uint64) {
	x := seedOf(id)
	for len(dst) >= 8 {
		x += golden
		binary.LittleEndian.PutUint64(dst, mix(x))
		dst = dst[8:]
	}
	if len(dst) > 0 {
		var last [8]byte
		binary.LittleEndian.PutUint64(last[:], mix(x+golden))
		copy(dst, last[:])
	}
}

// Check compares every byte of got with the content of block id. It returns the
// index of the first byte that is wrong, or -1.
func Check(got []byte, id uint64) int {
	x := seedOf(id)
	rest := got
	for len(rest) >= 8 {
		x += golden
		if binary.LittleEndian.Uint64(rest) != mix(x) {
			break
		}
		rest = rest[8:]
	}
	if len(rest) == 0 {
		return -1
	}
	// What is left is the tail, or starts with the word that is wrong.
	if len(rest) < 8 {
		x += golden
	}
	var want [8]byte
	binary.LittleEndian.PutUint64(want[:], mix(x))
	for i := range min(len(rest), 8) {
		if rest[i] != want[i] {
			return len(got) - len(rest) + i
		}
	}
	return -1
}
