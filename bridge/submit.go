package bridge

import (
	"errors"

	"github.com/sixcall/sixcall/bridge/kv"
)

// Submit starts a task and returns its id. It does not wait for the backend.
//
// Keys are copied. bufs (Load, Store) is lent until sink has the result; see
// [BufferMode] for what happens to memory that is not the arena's.
//
// Errors come before anything was started, and then sink is not called:
// [kv.Invalid] (no keys, unequal lengths, an illegal key, a quarantined buffer),
// [kv.Busy] (MaxInFlight batches are pending), [kv.NoSpace] (the capacity),
// [kv.Unsupported] (the connector cannot delete), [kv.Closed].
func (b *Bridge) Submit(kind Kind, keys []kv.Key, bufs []kv.Buffer, sink Sink) (kv.TaskID, error) {
	t, err := b.submit(kind, keys, bufs, sink)
	if err != nil {
		return -1, err
	}
	id := t.res.ID
	b.release(t)
	return id, nil
}

// submit starts a task and leaves the caller with a reference to it.
func (b *Bridge) submit(kind Kind, keys []kv.Key, bufs []kv.Buffer, sink Sink) (*task, error) {
	if err := b.enter(kind.String()); err != nil {
		return nil, err
	}
	defer b.gate.leave()
	if err := b.check(kind, keys, bufs); err != nil {
		return nil, err
	}
	t := b.newTask(kind, len(keys))
	t.res.ID = kv.TaskID(b.nextID.Add(1) - 1)
	if b.lengths(kind) {
		t.res.Lengths = make([]int64, len(keys))
	}
	t.sink = sink
	pass, trial := b.breakers[kind].allow(t.started)
	if !pass {
		_, reason := b.breakers[kind].why()
		t.claim()
		b.drop(t, &kv.Error{Op: kind.String(), Connector: b.opts.Name, Code: kv.Unavailable, Err: textError(reason)})
		return t, nil
	}
	t.trial = trial
	if err := b.prepare(t, keys, bufs); err != nil {
		b.unwind(t)
		return nil, err
	}
	b.stats.submitted[kind].Add(1)
	if len(t.slots) == 0 { // no key may go to the connector
		b.finish(t, nil)
		return t, nil
	}
	if err := b.launch(t); err != nil {
		switch {
		case !t.claim(): // the bridge has died meanwhile, and that was its answer
			b.finishLate(t)
			return t, nil
		case errors.Is(err, kv.Unavailable): // no worker serves: as with an open breaker
			b.stats.submitted[kind].Add(-1)
			b.vacate(t)
			b.drop(t, err)
			return t, nil
		}
		b.stats.submitted[kind].Add(-1)
		b.unwind(t)
		return nil, err
	}
	if limit := b.opts.Deadlines.of(kind); limit > 0 && !t.unsafe {
		t.deadline.Store(t.started + int64(limit))
	}
	b.sweep.wake()
	return t, nil
}

// newTask returns a task of the connector's and the caller's reference.
func (b *Bridge) newTask(kind Kind, n int) *task {
	t := b.tasks.Get().(*task)
	t.res = Result{ID: -1, Kind: kind, Bits: kv.NewBitmap(n)}
	t.started = b.now()
	t.refs.Store(2)
	return t
}

// drop answers a claimed task that does not reach the connector, because it is known
// to be away: an open breaker, or no worker process.
func (b *Bridge) drop(t *task, why error) {
	t.res.Outcome, t.res.Err = Dropped, why
	if t.res.Kind == Delete {
		t.res.Deleted.Failed = t.res.Bits.Len()
	}
	b.stats.submitted[t.res.Kind].Add(1)
	b.stats.finished(&t.res, 0)
	deliver(t.sink, &t.res, nil)
	b.release(t)
}

// enter counts the caller in, unless the bridge is closed or dead.
func (b *Bridge) enter(op string) error {
	if !b.gate.enter() {
		return &kv.Error{Op: op, Connector: b.opts.Name, Code: kv.Closed}
	}
	if state, reason := b.health.get(); state == stateDead {
		b.gate.leave()
		return b.errorf(op, kv.Unavailable, "%s", reason)
	}
	return nil
}

func (b *Bridge) check(kind Kind, keys []kv.Key, bufs []kv.Buffer) error {
	if len(keys) == 0 {
		return b.errorf(kind.String(), kv.Invalid, "keys list is empty, want 1 key or more")
	}
	if (kind == Load || kind == Store) && len(keys) != len(bufs) {
		return b.errorf(kind.String(), kv.Invalid, "%d keys and %d buffers, want one buffer per key", len(keys), len(bufs))
	}
	if kind == Delete && !b.info.Caps.Has(kv.CapDelete) {
		return b.errorf(kind.String(), kv.Unsupported, "connector %s has no submit_batch_delete", b.info.Name)
	}
	return nil
}

// prepare cuts the task into slots and fills them. Nothing is submitted yet.
func (b *Bridge) prepare(t *task, keys []kv.Key, bufs []kv.Buffer) error {
	kind := t.res.Kind
	t.keys = append(t.keys, keys...) // the caller may change its own meanwhile
	text, longest := textLen(keys)
	keep := b.screen(t, keys, bufs, longest)
	n := len(keys)
	if keep != nil {
		n = len(keep)
		keys, bufs = pick(keys, keep), pick(bufs, keep)
	}
	step := n
	if b.maxBatch > 0 {
		step = min(step, b.maxBatch)
	}
	for first := 0; first < n; first += step {
		last := min(first+step, n)
		s, err := b.takeSlot(t)
		if err != nil {
			return err
		}
		t.slots = append(t.slots, s)
		if s.first, s.keep = first, nil; keep != nil {
			s.keep = keep[first:last]
		}
		if last-first < len(t.keys) {
			text, _ = textLen(keys[first:last])
		}
		if err := s.encode(b.arena, kind.op(), keys[first:last], text, b.opts.RawKeys, b.lengths(kind)); err != nil {
			return b.named(kind, err)
		}
		s.batch.Ticket, s.batch.MemHandle = s.ticket(), 0
		if limit := b.opts.Deadlines.of(kind); limit > 0 {
			s.batch.DeadlineNS = b.epochNS + uint64(t.started) + uint64(limit)
		}
		if bufs != nil {
			if err := b.lend(t, s, bufs[first:last]); err != nil {
				return err
			}
		}
		b.hide(t, s)
	}
	return b.reserve(t)
}

// lengths reports whether a task of this class asks for the stored sizes. A GET
// asks any connector: one that finds another size may know it.
func (b *Bridge) lengths(kind Kind) bool {
	return b.opts.Lengths && (kind == Load || kind == Lookup && b.info.Caps.Has(kv.CapValueLens))
}

// named puts the connector's name into an error from a lower layer.
func (b *Bridge) named(kind Kind, err error) error {
	code := kv.NoMemory
	var e *kv.Error
	if errors.As(err, &e) {
		code = e.Code
	}
	return &kv.Error{Op: kind.String(), Connector: b.opts.Name, Code: code, Err: err}
}

// launch hands the slots of a task to the connector. An error means that it
// refused the first one and that nothing is running; a later refusal fails its
// keys only.
func (b *Bridge) launch(t *task) error {
	t.parts.Store(int32(len(t.slots)))
	t.launched.Store(true)
	// The task may be answered, and its slots reused, while this runs: the
	// caller's reference keeps t, and a slot is not looked at after its submit.
	slots := t.slots
	for i, s := range slots {
		err := b.submitSlot(s, t.res.Kind == Lookup)
		switch {
		case err == nil:
		case i == 0:
			return err
		default:
			b.completeLocally(s, err)
		}
	}
	return nil
}

// submitSlot gives a slot to the connector, or to the backlog when the
// connector is busy. Lookups pass the backlog: they must not wait behind bulk
// transfers.
func (b *Bridge) submitSlot(s *slot, pass bool) error {
	b.slotMu.Lock()
	if len(b.backlog) > 0 && !pass {
		b.backlog = append(b.backlog, s)
		b.slotMu.Unlock()
		return nil
	}
	s.phase = inFlight
	b.slotMu.Unlock()
	err := b.conn.Submit(&s.batch)
	if err == nil {
		return nil
	}
	b.slotMu.Lock()
	defer b.slotMu.Unlock()
	s.phase = encoding
	if errors.Is(err, kv.Busy) {
		b.stats.busy.Add(1)
		b.backlog = append(b.backlog, s)
		return nil
	}
	return err
}

// pump gives the backlog another try.
func (b *Bridge) pump() {
	if !b.pumpMu.TryLock() {
		return
	}
	defer b.pumpMu.Unlock()
	for {
		b.slotMu.Lock()
		if len(b.backlog) == 0 {
			b.slotMu.Unlock()
			return
		}
		s := b.backlog[0]
		b.backlog = append(b.backlog[:0], b.backlog[1:]...)
		stale := s.task.state.Load() != running
		s.phase = inFlight
		b.slotMu.Unlock()
		var err error = kv.Cancelled
		if !stale {
			err = b.conn.Submit(&s.batch)
		}
		switch {
		case err == nil:
			continue
		case errors.Is(err, kv.Busy):
			b.slotMu.Lock()
			s.phase = encoding
			b.backlog = append([]*slot{s}, b.backlog...)
			b.slotMu.Unlock()
			return
		}
		b.completeLocally(s, err)
	}
}

// takeSlot returns a slot for t.
func (b *Bridge) takeSlot(t *task) (*slot, error) {
	b.slotMu.Lock()
	defer b.slotMu.Unlock()
	var s *slot
	switch n := len(b.freeList); {
	case n > 0:
		s = b.slots[b.freeList[n-1]]
		b.freeList = b.freeList[:n-1]
	case len(b.slots) < b.opts.MaxInFlight:
		s = &slot{index: uint32(len(b.slots))}
		b.slots = append(b.slots, s)
	default:
		return nil, b.errorf(t.res.Kind.String(), kv.Busy, "%d batches are in flight, which is MaxInFlight; retry after a completion", len(b.slots))
	}
	if s.gen = (s.gen + 1) & maxGen; s.gen == 0 {
		s.gen = 1
	}
	s.phase, s.task, s.rc, s.text = encoding, t, kv.OK, ""
	b.flying++
	b.inFlight.Store(int32(b.flying))
	return s, nil
}

// vacate gives back what a task has that did not reach the connector.
func (b *Bridge) vacate(t *task) {
	if t.trial {
		b.breakers[t.res.Kind].giveUp(b.now())
	}
	b.settleReservation(t)
	b.index.mu.Lock()
	b.releaseHeld(t)
	b.index.mu.Unlock()
	b.freeSlots(t, false)
}

// unwind undoes a submit of which nothing reached the connector, nor anybody else.
func (b *Bridge) unwind(t *task) {
	t.claim()
	b.vacate(t)
	t.refs.Store(0)
	t.reset()
	b.tasks.Put(t)
}

// freeSlots ends the loans of a task's slots and gives them back. early says
// that the task was answered before its completion, so that its blocks are in
// quarantine.
func (b *Bridge) freeSlots(t *task, early bool) {
	if early {
		b.slotMu.Lock()
		for _, s := range t.slots {
			for _, block := range s.lent {
				block.Pardon()
			}
		}
		b.slotMu.Unlock()
		b.stats.quarantined.Add(-int64(len(t.slots)))
	}
	for _, s := range t.slots {
		for _, f := range s.foreign {
			b.stage.give(f.stage)
		}
		for _, block := range s.lent {
			block.Return()
		}
		clear(s.lent)
		clear(s.bufs)
		clear(s.foreign)
		s.lent, s.bufs, s.foreign = s.lent[:0], s.bufs[:0], s.foreign[:0]
		s.batch.Bufs = nil
	}
	b.slotMu.Lock()
	defer b.slotMu.Unlock()
	for _, s := range t.slots {
		s.phase, s.task = free, nil
		b.freeList = append(b.freeList, s.index)
		b.flying--
	}
	b.inFlight.Store(int32(b.flying))
	if b.flying == 0 && b.idle != nil {
		close(b.idle)
		b.idle = nil
	}
}

// release drops one reference to a task and pools it after the last.
func (b *Bridge) release(t *task) {
	if t.refs.Add(-1) == 0 {
		t.reset()
		b.tasks.Put(t)
	}
}
