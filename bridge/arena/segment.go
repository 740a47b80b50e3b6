package arena

import (
	"slices"
	"sync/atomic"
	"unsafe"
)

// segment is one mapping. Its free list is guarded by the arena's mutex.
type segment struct {
	arena *Arena
	mem   []byte
	base  uintptr // address of mem
	fd    int
	huge  bool
	// owner has the block of each page, so that a slice finds its block.
	owner []atomic.Pointer[Block]
	free  []extent // sorted by off, never adjacent
}

// extent is a run of free memory.
type extent struct{ off, pages int } // off in bytes

func newSegment(a *Arena, size int) (*segment, error) {
	mem, fd, huge, err := mapShared(size, a.opts.HugePages)
	if err != nil {
		return nil, err
	}
	if a.opts.Prefault {
		prefault(mem)
	}
	pages := len(mem) / PageSize
	return &segment{
		arena: a, mem: mem, base: addressOf(mem), fd: fd, huge: huge,
		owner: make([]atomic.Pointer[Block], pages),
		free:  []extent{{0, pages}},
	}, nil
}

// take cuts the first run of enough pages.
func (s *segment) take(pages int) (off int, ok bool) {
	for i, e := range s.free {
		switch {
		case e.pages == pages:
			s.free = slices.Delete(s.free, i, i+1)
			return e.off, true
		case e.pages > pages:
			s.free[i] = extent{e.off + pages*PageSize, e.pages - pages}
			return e.off, true
		}
	}
	return 0, false
}

// give puts a run back and joins it with its neighbours.
func (s *segment) give(off, pages int) {
	i, _ := slices.BinarySearchFunc(s.free, off, func(e extent, off int) int { return e.off - off })
	s.free = slices.Insert(s.free, i, extent{off, pages})
	if next := i + 1; next < len(s.free) && s.free[i].end() == s.free[next].off {
		s.free[i].pages += s.free[next].pages
		s.free = slices.Delete(s.free, next, next+1)
	}
	if prev := i - 1; prev >= 0 && s.free[prev].end() == s.free[i].off {
		s.free[prev].pages += s.free[i].pages
		s.free = slices.Delete(s.free, i, i+1)
	}
}

func (e extent) end() int { return e.off + e.pages*PageSize }

// own records owner as the block of b's pages.
func (s *segment) own(b, owner *Block) {
	first := b.off / PageSize
	for p := first; p < first+b.pages; p++ {
		s.owner[p].Store(owner)
	}
}

// addressOf returns where p begins. p is memory that does not move: an arena
// compares it with its own mappings only.
func addressOf(p []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(p))) }

// Within reports whether p is part of whole. Both are memory that does not move.
func Within(p, whole []byte) bool {
	at, from := addressOf(p), addressOf(whole)
	return at >= from && at-from <= uintptr(len(whole)) && uintptr(len(p)) <= uintptr(len(whole))-(at-from)
}

// Aligned reports whether p begins at a multiple of align, a power of two or 0.
func Aligned(p []byte, align int) bool {
	return align <= 1 || len(p) == 0 || addressOf(p)&uintptr(align-1) == 0
}
