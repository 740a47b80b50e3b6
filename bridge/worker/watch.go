//go:build linux && (amd64 || arm64)

package worker

import (
	"fmt"
	"time"

	"github.com/sixcall/sixcall/bridge/eventfd"
)

// memoryEvery is how often the memory of a worker with a limit is looked at.
const memoryEvery = 100 * time.Millisecond

// watch looks at a worker that serves until it ends, and kills one that hangs or
// uses too much memory.
func (l *life) watch() {
	every := l.c.opts.PingInterval
	if l.c.opts.MemoryLimit > 0 {
		every = min(every, memoryEvery)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	var pinged time.Time
	for {
		select {
		case <-l.proc.ended:
			return
		case now := <-tick.C:
			l.weigh()
			if now.Sub(pinged) >= l.c.opts.PingInterval {
				pinged = now
				l.ping()
				if text := l.hangs(now); text != "" {
					l.kill(ReasonHang, "%s", text)
				}
			}
		}
	}
}

// ping asks for a sign of life, unless one is asked for already; nobody waits for it.
func (l *life) ping() {
	if q := l.pinged; q != nil {
		select {
		case <-q.answer:
		default:
			return // hangs judges it
		}
	}
	l.pinged, _ = l.control.send(l.c.opts.PingInterval, request{kind: pingRequest{}})
}

// weigh reads how much private memory the worker has.
func (l *life) weigh() {
	used := privateMemory(l.proc.pid)
	if used == 0 {
		return
	}
	l.rss.Store(used)
	if limit := l.c.opts.MemoryLimit; limit > 0 && used > limit {
		l.kill(ReasonMemoryLimit, "it used %d bytes of private memory, the limit is %d", used, limit)
	}
}

// hangs says in what the worker hangs, or "".
func (l *life) hangs(now time.Time) string {
	limit := l.c.opts.HangTimeout
	if text := l.batchHangs(limit); text != "" {
		return text
	}
	if kind := l.control.late(now, limit); kind != nil {
		if _, ok := kind.(pingRequest); ok {
			return fmt.Sprintf("it did not answer for %v", limit)
		}
		return fmt.Sprintf("%s did not return for %v", requestName(kind), limit)
	}
	if l.waking.Load() > 0 && now.Sub(time.Unix(0, l.wakingSince.Load())) > limit {
		return fmt.Sprintf("it could not be woken for %v", limit)
	}
	return ""
}

// batchHangs looks at the call that the worker is in, and at deadlines.
func (l *life) batchHangs(limit time.Duration) string {
	mono := eventfd.MonotonicNS()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rings == nil {
		return ""
	}
	head := l.rings.head
	// The two words are not written at once: only what two looks see is true.
	since := head.CallSinceNS.Load()
	name := callName(head.Call.Load())
	long := name != "" && since != 0 && since < mono && mono-since > uint64(limit)
	if long && since == l.suspect {
		return fmt.Sprintf("%s did not return for %v", name, limit)
	}
	l.suspect = 0
	if long {
		l.suspect = since
	}
	for i := range l.slots {
		s := &l.slots[i]
		if s.out && s.deadline != 0 && mono > s.deadline && mono-s.deadline > uint64(limit) {
			return fmt.Sprintf("a batch of %s with %d keys was not done %v after its deadline", s.op, s.batch.Len(), limit)
		}
	}
	return ""
}
