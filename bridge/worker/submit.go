//go:build linux && (amd64 || arm64)

package worker

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/sixcall/sixcall/bridge/kv"
)

// slotBits is how many bits of a ticket are the slot; the rest is its generation.
const slotBits = 16

// Submit implements [kv.Connector]. It does not allocate when the batch is accepted
// or the queue is full, and all of its memory is shared with the worker. It may wait
// up to a second the first time that it meets a new segment of the arena.
func (c *Connector) Submit(b *kv.Batch) error {
	if c.closed.Load() {
		return c.fail("submit", kv.Closed, "the connector is closed")
	}
	if b.Op >= kv.Op(len(c.does)) || !c.does[b.Op] {
		return c.fail("submit", kv.Unsupported, "%q does not implement %s", c.info.Name, b.Op)
	}
	if err := c.check(b); err != nil {
		return err
	}
	for {
		l := c.current.Load()
		if l == nil {
			return c.unavailable()
		}
		accepted, err := l.submit(b)
		if accepted || err != nil {
			return err
		}
		// It ended, or was replaced, a moment ago.
		c.current.CompareAndSwap(l, nil)
	}
}

// check holds a batch to the contract. Everything after it relies on that.
func (c *Connector) check(b *kv.Batch) error {
	n := len(b.Ends)
	bad := func(format string, args ...any) error { return c.fail("submit", kv.Invalid, format, args...) }
	moves := b.Op == kv.OpGet || b.Op == kv.OpSet
	switch {
	case b.Op == kv.OpPing && n != 0:
		return bad("a ping has no keys, this one has %d", n)
	case b.Op != kv.OpPing && n == 0:
		return bad("a batch needs at least one key")
	case len(b.Scratch) < kv.ScratchBase+n*kv.ScratchPerKey || address(b.Scratch)%8 != 0:
		return bad("Scratch has %d bytes at %#x, want %d, 8-byte aligned", len(b.Scratch), address(b.Scratch), kv.ScratchBase+n*kv.ScratchPerKey)
	case b.Err != nil && len(b.Err) < errSize:
		return bad("Err has %d bytes, want %d", len(b.Err), errSize)
	case n > 0 && len(b.Status) != n:
		return bad("Status has %d bytes for %d keys", len(b.Status), n)
	case b.ValueLens != nil && len(b.ValueLens) != n:
		return bad("ValueLens has %d entries for %d keys", len(b.ValueLens), n)
	case moves && len(b.Bufs) != n:
		return bad("Bufs has %d entries for %d keys", len(b.Bufs), n)
	}
	start, limit := uint32(0), uint32(len(b.Keys))
	for _, end := range b.Ends {
		if end <= start || end > limit {
			return bad("Ends does not ascend within the %d bytes of Keys", len(b.Keys))
		}
		start = end
	}
	return nil
}

// submit gives a batch to the worker. Neither accepted nor an error means that this
// worker takes no batches any more.
func (l *life) submit(b *kv.Batch) (accepted bool, err error) {
	var s submission
	var copies *bounce
	if !l.encode(b, &s) {
		if copies, err = l.encodeSlow(b, &s); err != nil {
			return false, err
		}
	}
	s.Op, s.N = uint32(b.Op), uint32(len(b.Ends))
	if l.info.Caps.Has(kv.CapDeadline) {
		s.DeadlineNS = b.DeadlineNS
	}
	if b.MemHandle != 0 {
		theirs, ok := l.handle(b.MemHandle)
		if !ok {
			copies.drop()
			return false, l.c.fail("submit", kv.Invalid, "MemHandle is %d, which is not registered", b.MemHandle)
		}
		s.MemHandle = theirs
	}
	l.mu.Lock()
	if !l.serving {
		l.mu.Unlock()
		copies.drop()
		return false, nil
	}
	n := len(l.unused)
	if n == 0 {
		l.mu.Unlock()
		copies.drop()
		return false, l.c.busy
	}
	index := l.unused[n-1]
	slot := &l.slots[index]
	gen := (slot.gen + 1) & (1<<(63-slotBits) - 1)
	s.Ticket = gen<<slotBits | uint64(index)
	wake, full, ok := l.rings.push(&s)
	if full {
		l.mu.Unlock()
		copies.drop()
		if !ok {
			return false, l.broken("its head of the submissions is out of range")
		}
		return false, l.c.busy
	}
	l.unused = l.unused[:n-1]
	l.out++
	slot.gen, slot.out, slot.op, slot.user, slot.deadline, slot.batch, slot.copies = gen, true, b.Op, b.Ticket, b.DeadlineNS, b, copies
	if wake {
		l.waking.Add(1)
	}
	l.mu.Unlock()
	if wake {
		l.wake()
	}
	return true, nil
}

// wake makes the worker look at its submissions. The caller has counted itself in.
func (l *life) wake() {
	// A hostile worker can make this write block. The watchdog sees that and kills
	// it, and the counter is cleared then.
	l.wakingSince.Store(time.Now().UnixNano())
	_, _ = unix.Write(l.wakeup.num(), one[:])
	l.waking.Add(-1)
}

// encode writes the items of a batch, with the worker's addresses, into its scratch
// memory. false means that some of its memory is not known to be mapped.
func (l *life) encode(b *kv.Batch, s *submission) bool {
	known := *l.space.Load()
	// The parts of a batch mostly lie in one span: look there first.
	at := known.find(address(b.Scratch), uintptr(len(b.Scratch)))
	if at == nil {
		return false
	}
	here := at
	where := func(p uintptr, n uintptr) (uint64, bool) {
		if !here.has(p, n) {
			next := known.find(p, n)
			if next == nil {
				return 0, false
			}
			here = next
		}
		return uint64(p) + here.shift, true
	}
	var ok bool
	if b.Err != nil {
		if s.Err, ok = where(address(b.Err), errSize); !ok {
			return false
		}
	}
	n := len(b.Ends)
	if n == 0 {
		return true
	}
	s.Items = uint64(address(b.Scratch)) + kv.ScratchBase + at.shift
	if s.Status, ok = where(address(b.Status), uintptr(n)); !ok {
		return false
	}
	if b.ValueLens != nil {
		lens := bytesOf(b.ValueLens)
		if s.ValueLens, ok = where(address(lens), uintptr(len(lens))); !ok {
			return false
		}
	}
	keys, ok := where(address(b.Keys), uintptr(len(b.Keys)))
	if !ok {
		return false
	}
	items, start := itemsIn(b.Scratch[kv.ScratchBase:], n), uint32(0)
	for i, end := range b.Ends {
		items[i] = item{Key: keys + uint64(start), KeyLen: end - start}
		start = end
	}
	if b.Op == kv.OpGet || b.Op == kv.OpSet {
		for i, buf := range b.Bufs {
			if len(buf) == 0 {
				continue
			}
			if items[i].Buf, ok = where(address(buf), uintptr(len(buf))); !ok {
				return false
			}
			items[i].Len = uint64(len(buf))
		}
	}
	return true
}
