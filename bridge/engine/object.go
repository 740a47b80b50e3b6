package engine

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/sixcall/sixcall/bridge/arena"
)

// Layout is the shape of an object: one entry per group of layers.
type Layout struct {
	Shapes []Shape
	DTypes []DType
	Format Format
}

// Bytes returns the size of an object of this layout.
func (l Layout) Bytes() int {
	n := 0
	for i, s := range l.Shapes {
		n += s.Elements() * l.DTypes[i].Size()
	}
	return n
}

func (l Layout) clone() Layout {
	l.DTypes = slices.Clone(l.DTypes)
	shapes := make([]Shape, len(l.Shapes))
	for i, s := range l.Shapes {
		shapes[i] = slices.Clone(s)
	}
	l.Shapes = shapes
	return l
}

// Object is one chunk in memory, counted by references: whoever holds one calls
// Release, once. It goes back to its pool after the last reference and the last
// pin. Safe for concurrent use, except for its bytes and its layout.
type Object struct {
	pool  *Pool
	block *arena.Block

	mu     sync.Mutex // guards what follows
	layout Layout
	used   int // bytes
	refs   int
	pins   int
	freed  bool
}

// Bytes returns the memory, of exactly the object's size. It is memory of the
// pool's arena.
func (o *Object) Bytes() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.block.Bytes()[:o.used:o.used]
}

// Len returns the size in bytes.
func (o *Object) Len() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.used
}

// PhysicalLen returns the size of the memory, which is that of the object rounded up.
func (o *Object) PhysicalLen() int { return roundUp(len(o.block.Bytes())) }

// Layout returns the shape. The caller must not change it.
func (o *Object) Layout() Layout {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.layout
}

// Header returns the header of the object.
func (o *Object) Header() Header {
	o.mu.Lock()
	defer o.mu.Unlock()
	return Header{Length: o.used, Format: o.layout.Format, DTypes: o.layout.DTypes, Shapes: o.layout.Shapes}
}

// Tokens returns how many tokens the object has.
func (o *Object) Tokens() int {
	l := o.Layout()
	if len(l.Shapes) == 0 || len(l.Shapes[0]) <= l.Format.TokenDim() {
		return 0
	}
	return l.Shapes[0][l.Format.TokenDim()]
}

// Retain adds a reference and returns the object.
func (o *Object) Retain() *Object {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.refs++
	return o
}

// Release drops a reference. Nil is allowed.
func (o *Object) Release() {
	if o == nil {
		return
	}
	o.mu.Lock()
	o.refs--
	o.settle()
}

// Pin keeps the object in memory beside its references; Unpin undoes it. Pins that
// are not there are not taken.
func (o *Object) Pin() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.pins++
}

// Unpin undoes one Pin.
func (o *Object) Unpin() {
	o.mu.Lock()
	o.pins = max(o.pins-1, 0)
	o.settle()
}

// settle frees what nobody holds, and unlocks.
func (o *Object) settle() {
	if o.refs < 0 {
		o.mu.Unlock()
		panic("engine: an object was released more often than it was retained")
	}
	free := o.refs == 0 && o.pins == 0 && !o.freed
	o.freed = o.freed || free
	o.mu.Unlock()
	if free {
		o.pool.free(o)
	}
}

// Refs returns the number of references.
func (o *Object) Refs() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.refs
}

// Pinned reports whether there are pins.
func (o *Object) Pinned() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.pins > 0
}

// Evictable reports whether only one holder is left, which is the cache, and no pin.
func (o *Object) Evictable() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.refs == 1 && o.pins == 0
}

// ErrPartial is matched by errors of [Object.Truncate].
var ErrPartial = errors.New("not a whole number of tokens")

// Truncate makes the object as large as the n bytes that were read into it, which
// must be a whole number of tokens: its shapes, all of them, shrink with it.
func (o *Object) Truncate(n int) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	full := o.used
	dim := o.layout.Format.TokenDim()
	tokens := 0
	if len(o.layout.Shapes) > 0 && len(o.layout.Shapes[0]) > dim {
		tokens = o.layout.Shapes[0][dim]
	}
	if tokens < 1 || full%tokens != 0 {
		return fmt.Errorf("%w: shapes %v of %d bytes do not divide into tokens", ErrPartial, o.layout.Shapes, full)
	}
	single := full / tokens
	if n <= 0 || n > full || n%single != 0 {
		return fmt.Errorf("%w: %d bytes, want a multiple of %d up to %d", ErrPartial, n, single, full)
	}
	o.layout = o.layout.clone()
	for _, s := range o.layout.Shapes {
		s[dim] = n / single
	}
	o.used = n
	return nil
}

// Pool returns where the object's memory is from.
func (o *Object) Pool() *Pool { return o.pool }
