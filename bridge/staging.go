package bridge

import (
	"math/bits"
	"sync"

	"github.com/sixcall/sixcall/bridge/arena"
)

// maxStagedIdle bounds the memory that idle staging blocks keep, in bytes.
const maxStagedIdle = 256 << 20

// stages keeps staging blocks for reuse, by power-of-two size.
type stages struct {
	arena *arena.Arena

	mu   sync.Mutex // guards what follows
	idle [64][]*arena.Block
	held int64 // bytes in idle
}

func sizeClass(n int) int { return bits.Len(uint(max(n, arena.PageSize) - 1)) }

// take returns a block of at least n bytes.
func (s *stages) take(n int) (*arena.Block, error) {
	class := sizeClass(n)
	s.mu.Lock()
	if l := s.idle[class]; len(l) > 0 {
		b := l[len(l)-1]
		s.idle[class] = l[:len(l)-1]
		s.held -= 1 << class
		s.mu.Unlock()
		return b, nil
	}
	s.mu.Unlock()
	return s.arena.Alloc(1 << class)
}

// give takes a block back that nobody touches any more.
func (s *stages) give(b *arena.Block) {
	class := sizeClass(len(b.Bytes()))
	s.mu.Lock()
	if s.held+1<<class <= maxStagedIdle {
		s.idle[class] = append(s.idle[class], b)
		s.held += 1 << class
		b = nil
	}
	s.mu.Unlock()
	if b != nil {
		b.Release()
	}
}

// drop releases the idle blocks.
func (s *stages) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for class, l := range s.idle {
		for _, b := range l {
			b.Release()
		}
		s.idle[class] = nil
	}
	s.held = 0
}
