package arena

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// PageSize is the granularity of blocks, in bytes.
const PageSize = 4096

// Options configures an Arena. The zero value is ready to use.
type Options struct {
	// SegmentBytes is the size of each mapping; a larger block gets a mapping of
	// its own. Default 64 MiB, rounded up to whole pages.
	SegmentBytes int64
	// MaxBytes bounds the sum of all mappings. Default 0: no bound.
	MaxBytes int64
	// HugePages asks for 2 MiB pages: reserved ones if the system has them,
	// else transparent ones. Best effort.
	HugePages bool
	// Prefault touches every page of a new mapping, on several threads, so that
	// the first transfer does not pay for it.
	Prefault bool
	// Poison overwrites memory as it comes back, so that a late reader or
	// writer shows. For tests.
	Poison bool
}

// Validate reports every problem at once.
func (o Options) Validate() error {
	var errs []error
	if o.SegmentBytes < 0 {
		errs = append(errs, fmt.Errorf("SegmentBytes is %d, want 1 or more, or 0 for the default", o.SegmentBytes))
	}
	if o.MaxBytes < 0 {
		errs = append(errs, fmt.Errorf("MaxBytes is %d, want 1 or more, or 0 for no bound", o.MaxBytes))
	}
	return errors.Join(errs...)
}

// ErrNoMemory is returned when MaxBytes or the system allow no further mapping.
var ErrNoMemory = errors.New("arena: out of memory")

// Arena is a set of shared mappings that blocks are cut from. Safe for
// concurrent use.
type Arena struct {
	opts Options
	// segments, sorted by address, is replaced under mu and read without it.
	segments atomic.Pointer[[]*segment]

	mu     sync.Mutex // guards what follows and the free lists of all segments
	mapped int64      // bytes
	inUse  int64      // bytes of blocks that were not freed
	closed bool
}

// New returns an empty arena; memory is mapped when it is first needed.
func New(opts Options) (*Arena, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	if opts.SegmentBytes == 0 {
		opts.SegmentBytes = 64 << 20
	}
	a := &Arena{opts: opts}
	a.segments.Store(new([]*segment))
	return a, nil
}

// Alloc returns a block of n bytes (at least 1). Its content is undefined.
func (a *Arena) Alloc(n int) (*Block, error) {
	if n < 1 {
		return nil, fmt.Errorf("arena: block of %d bytes, want 1 or more", n)
	}
	pages := (n + PageSize - 1) / PageSize
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil, errors.New("arena: closed")
	}
	for _, s := range *a.segments.Load() {
		if off, ok := s.take(pages); ok {
			return a.block(s, off, pages, n), nil
		}
	}
	s, err := a.grow(int64(pages) * PageSize)
	if err != nil {
		return nil, err
	}
	off, _ := s.take(pages)
	return a.block(s, off, pages, n), nil
}

func (a *Arena) block(s *segment, off, pages, n int) *Block {
	b := &Block{seg: s, off: off, pages: pages, bytes: s.mem[off : off+n : off+n]}
	s.own(b, b)
	a.inUse += int64(pages) * PageSize
	return b
}

// grow maps a segment of at least need bytes. a.mu is held.
func (a *Arena) grow(need int64) (*segment, error) {
	size := max(need, (a.opts.SegmentBytes+PageSize-1)/PageSize*PageSize)
	if limit := a.opts.MaxBytes; limit > 0 && a.mapped+size > limit {
		if size = limit - a.mapped; size/PageSize*PageSize < need {
			return nil, fmt.Errorf("%w: %d bytes are mapped, %d more are needed, MaxBytes is %d", ErrNoMemory, a.mapped, need, limit)
		}
		size = size / PageSize * PageSize
	}
	s, err := newSegment(a, int(size))
	if err != nil {
		return nil, fmt.Errorf("%w: map %d bytes: %w", ErrNoMemory, size, err)
	}
	segs := append(slices.Clone(*a.segments.Load()), s)
	slices.SortFunc(segs, func(x, y *segment) int {
		if x.base < y.base {
			return -1
		}
		return 1
	})
	a.segments.Store(&segs)
	a.mapped += size
	return s, nil
}

func (a *Arena) free(b *Block) {
	if a.opts.Poison {
		mem := b.seg.mem[b.off : b.off+b.pages*PageSize]
		for i := range mem {
			mem[i] = poison
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	b.seg.own(b, nil)
	b.seg.give(b.off, b.pages)
	a.inUse -= int64(b.pages) * PageSize
	if a.closed && a.inUse == 0 {
		_ = a.unmap()
	}
}

const poison = 0xDB

// BlockOf returns the block that p lies in, or nil when p is empty or not
// memory of this arena. p must be part of a block that was not released.
func (a *Arena) BlockOf(p []byte) *Block {
	if len(p) == 0 {
		return nil
	}
	at := addressOf(p)
	segs := *a.segments.Load()
	lo, hi := 0, len(segs)
	for lo < hi {
		mid := (lo + hi) / 2
		if segs[mid].base <= at {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == 0 {
		return nil
	}
	s := segs[lo-1]
	if at-s.base >= uintptr(len(s.mem)) {
		return nil
	}
	return s.owner[(at-s.base)/PageSize].Load()
}

// Segment describes one mapping, for registration with a transport or for
// sending it to another process.
type Segment struct {
	Bytes []byte
	FD    int // the memfd behind the mapping; owned by the arena
	Huge  bool
}

// Segments lists the mappings. More may follow; none goes away before Close.
func (a *Arena) Segments() []Segment {
	var out []Segment
	for _, s := range *a.segments.Load() {
		out = append(out, Segment{Bytes: s.mem, FD: s.fd, Huge: s.huge})
	}
	return out
}

// Stats are the sizes of an arena in bytes.
type Stats struct {
	Mapped int64 // of all mappings
	InUse  int64 // of blocks that were not given back, in whole pages
}

// Stats returns the present sizes.
func (a *Arena) Stats() Stats {
	a.mu.Lock()
	defer a.mu.Unlock()
	return Stats{Mapped: a.mapped, InUse: a.inUse}
}

// ErrInUse is returned by Close when blocks are out.
var ErrInUse = errors.New("arena: blocks are in use")

// Close ends the arena: Alloc fails from now on, and the memory is unmapped.
// While blocks are in use, lent ones included, it reports [ErrInUse], and the
// memory stays until the last of them comes back. Further calls are harmless.
func (a *Arena) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	if a.inUse > 0 {
		return fmt.Errorf("%w: %d bytes", ErrInUse, a.inUse)
	}
	return a.unmap()
}

// unmap gives all mappings back. a.mu is held and no block is in use.
func (a *Arena) unmap() error {
	var errs []error
	for _, s := range *a.segments.Load() {
		errs = append(errs, s.unmap())
	}
	a.segments.Store(new([]*segment))
	a.mapped = 0
	return errors.Join(errs...)
}
