//go:build linux && (amd64 || arm64)

package worker

import (
	"github.com/sixcall/sixcall/bridge/kv"
)

// Drain implements [kv.Connector]. It does not allocate. Batches of a worker that
// has ended complete with kv.IO.
func (c *Connector) Drain(dst []kv.Completion) (int, error) {
	if len(dst) == 0 {
		return 0, nil
	}
	if !c.draining.TryLock() {
		return 0, c.fail("drain", kv.Invalid, "another drain is running")
	}
	defer c.draining.Unlock()
	if c.closed.Load() {
		return 0, c.fail("drain", kv.Closed, "the connector is closed")
	}
	c.event.clear() // before looking, so that nothing stays behind a silent fd
	n, more := 0, false
	for _, l := range *c.lives.Load() {
		got, left := l.drain(dst[n:])
		n += got
		more = more || left
	}
	if more {
		c.event.raise()
	}
	return n, nil
}

// drain takes completions of one worker. left says that more may be waiting.
func (l *life) drain(dst []kv.Completion) (n int, left bool) {
	if l.freed {
		return 0, false
	}
	buried := l.buried.Load() // before looking: then what there is is all there will be
	for !l.distrusted {
		waiting, ok := l.rings.waiting()
		if !ok {
			l.distrusted = true
			_ = l.broken("its tail of the completions is out of range")
			break
		}
		if waiting > 0 {
			n += l.take(dst[n:], waiting)
			if n == len(dst) {
				return n, true
			}
			continue
		}
		l.rings.sleep()
		if waiting, _ = l.rings.waiting(); waiting == 0 {
			break
		}
	}
	if !buried {
		return n, false
	}
	n += l.failRest(dst[n:])
	if l.failedUpTo < len(l.slots) {
		return n, true
	}
	l.c.forget(l)
	l.free()
	return n, false
}

// take moves up to waiting records into dst. Records that fit no batch that is out
// are counted and dropped.
func (l *life) take(dst []kv.Completion, waiting uint32) (n int) {
	c := l.c
	var back []returned
	l.mu.Lock()
	for ; waiting > 0 && n < len(dst); waiting-- {
		r := l.rings.pop()
		index := r.Ticket & (1<<slotBits - 1)
		if index >= uint64(len(l.slots)) || !l.slots[index].out || l.slots[index].gen != r.Ticket>>slotBits {
			c.unknownTickets.Add(1)
			continue
		}
		s := &l.slots[index]
		if r.Op != uint32(s.op) {
			c.wrongOps.Add(1)
		}
		dst[n] = kv.Completion{Ticket: s.user, RC: kv.CodeOf(r.RC), Op: kv.Op(r.Op), NOK: r.NOK, Flags: r.Flags, DoneNS: r.DoneNS}
		n++
		if s.copies != nil {
			back = append(back, returned{s.copies, s.batch})
		}
		l.give(uint32(index))
	}
	l.rings.popped()
	l.mu.Unlock()
	for _, r := range back {
		r.copies.finish(r.batch, false)
	}
	return n
}

// returned is a batch that was copied and is to be copied back.
type returned struct {
	copies *bounce
	batch  *kv.Batch
}

// give frees a slot. mu is held.
func (l *life) give(index uint32) {
	s := &l.slots[index]
	s.out, s.batch, s.copies = false, nil, nil
	l.unused = append(l.unused, index)
	l.out--
}

// failRest completes the batches that the worker took with it.
func (l *life) failRest(dst []kv.Completion) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for ; l.failedUpTo < len(l.slots) && n < len(dst); l.failedUpTo++ {
		s := &l.slots[l.failedUpTo]
		if !s.out {
			continue
		}
		b := s.batch
		s.copies.finish(b, true)
		// A byte that says "hit" proves nothing: it counts when the batch completes.
		for i := range b.Status {
			b.Status[i] = kv.StatusError
		}
		if b.Err != nil {
			b.Err.Reset() // what the worker wrote may be torn
			b.Err.Set(kv.IO, 0, l.ending.text)
		}
		dst[n] = kv.Completion{Ticket: s.user, RC: kv.IO, Op: s.op}
		n++
		l.c.failedBatches.Add(1)
		l.give(uint32(l.failedUpTo))
	}
	return n
}
