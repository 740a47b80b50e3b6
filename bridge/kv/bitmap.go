package kv

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// inlineBits is how many bits a Bitmap holds without an allocation.
const inlineBits = 256

// Bitmap is a result with one bit per key, in submit order; index 0 is the
// first key. Its length is fixed. The semantics are those of LMCache's Bitmap:
// indices past the end are ignored by Set and Clear and read as false.
//
// The zero value has length 0. Copying a Bitmap of more than 256 bits shares its
// storage: use [Bitmap.Clone] for an independent one. One goroutine at a time.
type Bitmap struct {
	n      int
	inline [inlineBits / 64]uint64
	ext    []uint64
}

// NewBitmap returns n zero bits. It allocates only above 256 bits.
func NewBitmap(n int) Bitmap {
	b := Bitmap{n: n}
	if n > inlineBits {
		b.ext = make([]uint64, (n+63)/64)
	}
	return b
}

// NewBitmapPrefix returns n bits of which the first min(p, n) are ones.
func NewBitmapPrefix(n, p int) Bitmap {
	b := NewBitmap(n)
	b.SetRange(0, p)
	return b
}

func (b *Bitmap) words() []uint64 {
	if b.ext != nil {
		return b.ext
	}
	return b.inline[:(b.n+63)/64]
}

// Len returns the number of bits.
func (b *Bitmap) Len() int { return b.n }

// Set makes bit i one. i >= Len is ignored.
func (b *Bitmap) Set(i int) {
	if uint(i) < uint(b.n) {
		b.words()[i>>6] |= 1 << (i & 63)
	}
}

// Clear makes bit i zero. i >= Len is ignored.
func (b *Bitmap) Clear(i int) {
	if uint(i) < uint(b.n) {
		b.words()[i>>6] &^= 1 << (i & 63)
	}
}

// Test reports whether bit i is one; false for i >= Len.
func (b *Bitmap) Test(i int) bool {
	return uint(i) < uint(b.n) && b.words()[i>>6]>>(i&63)&1 == 1
}

// SetRange makes the bits of [from, to) ones; to is cut at Len.
func (b *Bitmap) SetRange(from, to int) {
	for i := max(from, 0); i < min(to, b.n); i++ {
		b.Set(i)
	}
}

// SetWhere makes bit from+i one for each i whose mark is 1, and leaves the others;
// every mark is 0 or 1. Marks past the end are ignored.
func (b *Bitmap) SetWhere(from int, marks []byte) {
	if from < 0 || from >= b.n {
		return
	}
	marks = marks[:min(len(marks), b.n-from)]
	words := b.words()
	for from&7 != 0 && len(marks) > 0 {
		words[from>>6] |= uint64(marks[0]&1) << (from & 63)
		from, marks = from+1, marks[1:]
	}
	for ; len(marks) >= 8; from, marks = from+8, marks[8:] {
		// The product brings the lowest bits of the eight bytes together at the top.
		eight := binary.LittleEndian.Uint64(marks) & 0x0101010101010101 * 0x0102040810204080 >> 56
		words[from>>6] |= eight << (from & 63)
	}
	for i, mark := range marks {
		words[(from+i)>>6] |= uint64(mark&1) << ((from + i) & 63)
	}
}

// SetAll makes each of the listed bits one, ignoring those past the end.
func (b *Bitmap) SetAll(indices ...int) {
	for _, i := range indices {
		b.Set(i)
	}
}

// Count returns the number of ones.
func (b *Bitmap) Count() int {
	c := 0
	for _, w := range b.words() {
		c += bits.OnesCount64(w)
	}
	return c
}

// LeadingOnes returns how many bits from index 0 on are ones.
func (b *Bitmap) LeadingOnes() int { return min(leadingZeros(b.words(), ^uint64(0)), b.n) }

// LeadingZeros returns how many bits from index 0 on are zeros.
func (b *Bitmap) LeadingZeros() int { return min(leadingZeros(b.words(), 0), b.n) }

func leadingZeros(words []uint64, invert uint64) int {
	for i, w := range words {
		if w ^= invert; w != 0 {
			return i*64 + bits.TrailingZeros64(w)
		}
	}
	return len(words) * 64
}

// HighestSet returns the largest index that is one, or -1.
func (b *Bitmap) HighestSet() int {
	w := b.words()
	for i := len(w) - 1; i >= 0; i-- {
		if w[i] != 0 {
			return i*64 + 63 - bits.LeadingZeros64(w[i])
		}
	}
	return -1
}

// And returns the bits that are one in both; its length is the shorter one.
func (b *Bitmap) And(o *Bitmap) Bitmap {
	return b.combine(o, func(x, y uint64) uint64 { return x & y })
}

// Or returns the bits that are one in either; its length is the shorter one.
func (b *Bitmap) Or(o *Bitmap) Bitmap {
	return b.combine(o, func(x, y uint64) uint64 { return x | y })
}

func (b *Bitmap) combine(o *Bitmap, f func(x, y uint64) uint64) Bitmap {
	r := NewBitmap(min(b.n, o.n))
	bw, ow, rw := b.words(), o.words(), r.words()
	for i := range rw {
		rw[i] = f(bw[i], ow[i])
	}
	r.trim()
	return r
}

// Not returns the complement; exactly Len bits are flipped.
func (b *Bitmap) Not() Bitmap {
	r := NewBitmap(b.n)
	rw := r.words()
	for i, w := range b.words() {
		rw[i] = ^w
	}
	r.trim()
	return r
}

// trim zeroes the unused bits of the last word.
func (b *Bitmap) trim() {
	if r := b.n & 63; r != 0 {
		w := b.words()
		w[len(w)-1] &= 1<<r - 1
	}
}

// Clone returns an independent copy.
func (b *Bitmap) Clone() Bitmap {
	c := *b
	if b.ext != nil {
		c.ext = append([]uint64(nil), b.ext...)
	}
	return c
}

// Indices returns the indices that are one, ascending.
func (b *Bitmap) Indices() []int {
	out := make([]int, 0, b.Count())
	for i := range b.n {
		if b.Test(i) {
			out = append(out, i)
		}
	}
	return out
}

// Gather returns the elements of seq whose bit is one, in order. Bits past the
// end of seq are ignored.
func Gather[T any](b *Bitmap, seq []T) []T {
	var out []T
	for i := range min(b.n, len(seq)) {
		if b.Test(i) {
			out = append(out, seq[i])
		}
	}
	return out
}

// String returns one character per bit, index 0 leftmost.
func (b *Bitmap) String() string {
	text := make([]byte, b.n)
	for i := range text {
		text[i] = '0'
		if b.Test(i) {
			text[i] = '1'
		}
	}
	return string(text)
}

// ParseBitmap reads the text form: one 0 or 1 per bit, index 0 leftmost.
func ParseBitmap(text string) (Bitmap, error) {
	b := NewBitmap(len(text))
	for i := range len(text) {
		switch text[i] {
		case '0':
		case '1':
			b.Set(i)
		default:
			return Bitmap{}, &Error{Op: "bitmap", Code: Invalid, Err: fmt.Errorf("character %d is %q, want 0 or 1", i, text[i])}
		}
	}
	return b, nil
}
