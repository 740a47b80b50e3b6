package engine

import (
	"errors"
	"fmt"
	"sync"

	"github.com/sixcall/sixcall/bridge/arena"
)

// ErrNoMemory is returned when a pool is full.
var ErrNoMemory = errors.New("the memory of the pool is used up")

// Pool is bounded memory for objects. Safe for concurrent use.
type Pool struct {
	arena    *arena.Arena
	capacity int64 // bytes

	mu    sync.Mutex // guards what follows
	inUse int64      // bytes, in whole pages
	freed chan struct{}
}

// NewPool returns a pool of capacity bytes of the arena.
func NewPool(a *arena.Arena, capacity int64) *Pool {
	return &Pool{arena: a, capacity: capacity, freed: make(chan struct{})}
}

// Arena returns the memory behind the pool.
func (p *Pool) Arena() *arena.Arena { return p.arena }

// Capacity returns the bound in bytes.
func (p *Pool) Capacity() int64 { return p.capacity }

// InUse returns the bytes of objects that were not released, in whole pages.
func (p *Pool) InUse() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.inUse
}

func roundUp(n int) int { return (n + arena.PageSize - 1) / arena.PageSize * arena.PageSize }

// Allocate returns an object with one reference, which is the caller's. Its content
// is undefined. The error is [ErrNoMemory] when there is no room now.
func (p *Pool) Allocate(l Layout) (*Object, error) {
	n := l.Bytes()
	if n < 1 || len(l.Shapes) != len(l.DTypes) {
		return nil, fmt.Errorf("an object with shapes %v and data types %v has no size", l.Shapes, l.DTypes)
	}
	size := int64(roundUp(n))
	p.mu.Lock()
	if inUse := p.inUse; inUse+size > p.capacity {
		p.mu.Unlock()
		return nil, fmt.Errorf("%w: %d of %d bytes are in use, %d are needed", ErrNoMemory, inUse, p.capacity, size)
	}
	p.inUse += size
	p.mu.Unlock()
	block, err := p.arena.Alloc(n)
	if err != nil {
		p.give(size)
		return nil, fmt.Errorf("%w: %w", ErrNoMemory, err)
	}
	return &Object{pool: p, block: block, layout: l.clone(), used: n, refs: 1}, nil
}

// Freed returns a channel that is closed when memory comes back.
func (p *Pool) Freed() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.freed
}

func (p *Pool) free(o *Object) {
	size := int64(o.PhysicalLen())
	o.block.Release()
	p.give(size)
}

func (p *Pool) give(size int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inUse -= size
	close(p.freed)
	p.freed = make(chan struct{})
}
