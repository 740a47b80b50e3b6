package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// ErrHeader is matched by errors about headers.
var ErrHeader = errors.New("bad header")

// maxDims is how many dimensions a header has room for.
const maxDims = 4

// Shape is the size of an object along each dimension.
type Shape []int

// Elements returns the product of the dimensions.
func (s Shape) Elements() int {
	n := 1
	for _, d := range s {
		n *= d
	}
	return n
}

// Header describes a value in remote storage: 32-bit numbers, little-endian:
// length, format, and per group of layers the data type and four dimensions.
type Header struct {
	Length int // bytes of the payload
	Format Format
	DTypes []DType
	Shapes []Shape
}

// HeaderSize returns the size in bytes of a header with that many groups.
func HeaderSize(groups int) int { return 4 * (2 + 5*groups) }

// Append appends the bytes of the header. Nothing is appended on error.
func (h Header) Append(dst []byte) ([]byte, error) {
	if len(h.DTypes) == 0 || len(h.DTypes) != len(h.Shapes) {
		return dst, fmt.Errorf("%w: %d data types and %d shapes, want as many of one as of the other, and one at least", ErrHeader, len(h.DTypes), len(h.Shapes))
	}
	if h.Length < 0 || h.Length > math.MaxInt32 {
		return dst, fmt.Errorf("%w: length is %d, want 0 to %d", ErrHeader, h.Length, math.MaxInt32)
	}
	out := dst
	put := func(n int32) { out = binary.LittleEndian.AppendUint32(out, uint32(n)) }
	put(int32(h.Length))
	put(int32(h.Format))
	for i, d := range h.DTypes {
		code, err := d.code()
		if err != nil {
			return dst, fmt.Errorf("%w: %w", ErrHeader, err)
		}
		put(code)
		if len(h.Shapes[i]) > maxDims {
			return dst, fmt.Errorf("%w: shape %v has more than %d dimensions", ErrHeader, h.Shapes[i], maxDims)
		}
		for n := range maxDims {
			dim := 0
			if n < len(h.Shapes[i]) {
				dim = h.Shapes[i][n]
			}
			if dim < 0 || dim > math.MaxInt32 {
				return dst, fmt.Errorf("%w: shape %v", ErrHeader, h.Shapes[i])
			}
			put(int32(dim))
		}
	}
	return out, nil
}

// ParseHeader reads a header with that many groups from the start of p.
func ParseHeader(p []byte, groups int) (h Header, err error) {
	if groups < 1 || len(p) < HeaderSize(groups) {
		return h, fmt.Errorf("%w: %d bytes, want %d for %d groups", ErrHeader, len(p), HeaderSize(groups), groups)
	}
	at := 0
	next := func() int32 {
		n := int32(binary.LittleEndian.Uint32(p[at:]))
		at += 4
		return n
	}
	h.Length, h.Format = int(next()), Format(next())
	if h.Length < 0 {
		return Header{}, fmt.Errorf("%w: length is %d", ErrHeader, h.Length)
	}
	if !h.Format.known() {
		return Header{}, fmt.Errorf("%w: format code is %d, want 0 to %d", ErrHeader, h.Format, HSTD)
	}
	for range groups {
		d, err := dtypeOf(next())
		if err != nil {
			return Header{}, fmt.Errorf("%w: %w", ErrHeader, err)
		}
		shape := make(Shape, maxDims)
		for i := range shape {
			if shape[i] = int(next()); shape[i] < 0 {
				return Header{}, fmt.Errorf("%w: dimension %d is %d", ErrHeader, i, shape[i])
			}
		}
		for !h.Format.keepsDims() && len(shape) > 1 && shape[len(shape)-1] == 0 {
			shape = shape[:len(shape)-1]
		}
		h.DTypes, h.Shapes = append(h.DTypes, d), append(h.Shapes, shape)
	}
	return h, nil
}
