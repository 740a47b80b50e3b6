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

// open sets the limit; below 0 is never.
func (s *spinner) open(limit time.Duration) {
	s.limit = max(int64(limit), 0)
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
// it is there.
func (b *Bridge) spin(kind Kind, w *waiter) bool {
	return b.look(kind, func() bool { return len(w.ready) > 0 })
}

// Look is for a caller of the event-fd face that has just submitted a task of the
// kind and is about to wait for it: for as long as [Options.Spin] says it looks for
// the completion itself, as Do does. Then its signal is there before the wait, which
// costs no wake-up. It reports whether no task is in flight any more.
func (b *Bridge) Look(kind Kind) bool {
	return b.look(kind, func() bool { return b.inFlight.Load() == 0 })
}

// look drains until answered, as long as that may pay. Between two looks others get
// their turn: goroutines of this thread, which may submit as well, and then it is
// time to park; and threads of this CPU, one of which may be the connector's.
func (b *Bridge) look(kind Kind, answered func() bool) bool {
	s := &b.spinners[kind]
	if b.inFlight.Load() != 1 || !s.wanted() || !looking.CompareAndSwap(false, true) {
		return answered()
	}
	defer looking.Store(false)
	end := b.now() + s.limit
	for {
		runtime.Gosched()
		if b.inFlight.Load() > 1 {
			return answered()
		}
		b.drain()
		found, late := answered(), b.now() >= end
		if found || late {
			s.ended(!late)
			return found
		}
		eventfd.Yield()
	}
}
