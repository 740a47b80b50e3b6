package bridge

import (
	"runtime"
	"sync/atomic"
	"time"

	"github.com/sixcall/sixcall/bridge/eventfd"
)

// A waiting caller may look for its completion itself for a moment before it
// parks: a connector that answers within microseconds is then answered without a
// wake-up, which costs more than the operation. It looks only while its task is the
// only one in flight, and it learns: after a look that found nothing it pauses, for
// twice as many tasks each time.
const (
	// defaultSpin is a little more than a wake-up on another CPU takes.
	defaultSpin = 50 * time.Microsecond
	// maxSpinPause is the longest pause, in tasks: a spin in vain per so many.
	maxSpinPause = 1 << 12
)

// looking is set while a caller of any bridge looks: one CPU is enough for that.
var looking atomic.Bool

// spinner decides whether a caller looks. Safe for concurrent use: a race between
// two callers costs one of them a look.
type spinner struct {
	limit int64        // ns; 0 = never
	skip  atomic.Int32 // tasks until the next look
	pause atomic.Int32 // the pause after the next look in vain
}

// open sets the limit. On a single CPU only one look is taken: the connector
// cannot work while the caller looks.
func (s *spinner) open(limit time.Duration) {
	if limit < 0 {
		limit = 0
	}
	s.limit = int64(limit)
	s.pause.Store(1)
}

// wanted reports whether the caller of a task is to look.
func (s *spinner) wanted() bool {
	if s.limit == 0 {
		return false
	}
	if n := s.skip.Load(); n > 0 {
		s.skip.Store(n - 1)
		return false
	}
	return true
}

// ended notes how a look went.
func (s *spinner) ended(found bool) {
	if found {
		s.pause.Store(1)
		return
	}
	n := s.pause.Load()
	s.skip.Store(n)
	s.pause.Store(min(2*n, maxSpinPause))
}

// spin looks for the result of a task that was just submitted and reports whether
// it is there. Between two looks others get their turn: goroutines of this thread,
// which may submit as well, and then it is time to park; and threads of this CPU,
// one of which may be the connector's.
func (b *Bridge) spin(w *waiter) bool {
	if b.inFlight.Load() != 1 || !b.spinner.wanted() || !looking.CompareAndSwap(false, true) {
		return len(w.ready) > 0
	}
	defer looking.Store(false)
	end := b.now() + b.spinner.limit
	for {
		runtime.Gosched()
		if b.inFlight.Load() > 1 {
			return len(w.ready) > 0
		}
		b.drain()
		found, late := len(w.ready) > 0, b.now() >= end
		if found || late {
			b.spinner.ended(!late)
			return found
		}
		eventfd.Yield()
	}
}
