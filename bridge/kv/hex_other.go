//go:build !amd64

package kv

const hexBlock = 8

// hexBlocks writes to dst the digits of as many whole blocks as src has. dst has
// room for them.
func hexBlocks(dst []byte, src string) {
	for ; len(src) >= hexBlock && len(dst) >= 2*hexBlock; src, dst = src[hexBlock:], dst[2*hexBlock:] {
		putHex(dst, uint32(src[0])|uint32(src[1])<<8|uint32(src[2])<<16|uint32(src[3])<<24)
		putHex(dst[8:], uint32(src[4])|uint32(src[5])<<8|uint32(src[6])<<16|uint32(src[7])<<24)
	}
}

// putHex writes the eight digits of four bytes, the lowest byte first: a nibble
// goes into each byte of a word, and all become digits at once.
func putHex(out []byte, four uint32) {
	x := uint64(four)
	x = (x | x<<16) & 0x0000FFFF0000FFFF
	x = (x | x<<8) & 0x00FF00FF00FF00FF
	x = (x>>4 | x<<8) & 0x0F0F0F0F0F0F0F0F
	letters := (x + 0x0606060606060606) >> 4 & 0x0101010101010101 // 1 where the digit is a letter
	x += 0x3030303030303030 + letters*('a'-'0'-10)
	_ = out[7]
	out[0], out[1], out[2], out[3] = byte(x), byte(x>>8), byte(x>>16), byte(x>>24)
	out[4], out[5], out[6], out[7] = byte(x>>32), byte(x>>40), byte(x>>48), byte(x>>56)
}
