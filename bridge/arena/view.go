package arena

import "unsafe"

// Uint64s returns the memory of p as numbers in the machine's byte order. p must
// be memory of a block and begin at a multiple of 8 bytes.
func Uint64s(p []byte) []uint64 {
	if len(p) < 8 {
		return nil
	}
	first := unsafe.Pointer(unsafe.SliceData(p))
	if uintptr(first)%8 != 0 {
		panic("arena: memory of numbers begins at an odd address")
	}
	return unsafe.Slice((*uint64)(first), len(p)/8)
}
