package bridge

import (
	"errors"
	"fmt"

	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/eventfd"
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
	defer b.entering.Done()
	if err := b.check(kind, keys, bufs); err != nil {
		return nil, err
	}
	t := b.newTask(kind, len(keys))
	t.res.ID = kv.TaskID(b.nextID.Add(1) - 1)
	t.sink = sink
	pass, trial := b.breakers[kind].allow(t.started)
	if !pass {
		b.drop(t)
		return t, nil
	}
	t.trial = trial
	if err := b.prepare(t, keys, bufs); err != nil {
		b.unwind(t)
		return nil, err
	}
	b.stats.submitted[kind].Add(1)
	if len(t.slots) == 0 { // no key may go to the connector
		b.finish(t)
		return t, nil
	}
	if err := b.launch(t); err != nil {
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

// drop answers a task that an open breaker stopped.
func (b *Bridge) drop(t *task) {
	t.claim()
	_, reason := b.breakers[t.res.Kind].why()
	t.res.Outcome = Dropped
	t.res.Err = &kv.Error{Op: t.res.Kind.String(), Connector: b.opts.Name, Code: kv.Unavailable, Err: textError(reason)}
	if t.res.Kind == Delete {
		t.res.Deleted.Failed = t.res.Bits.Len()
	}
	b.stats.submitted[t.res.Kind].Add(1)
	b.stats.finished(&t.res, 0)
	if t.sink != nil {
		t.sink.Done(&t.res)
	}
	b.release(t)
}

// enter counts the caller in, unless the bridge is closed or dead.
func (b *Bridge) enter(op string) error {
	b.closeMu.RLock()
	defer b.closeMu.RUnlock()
	if b.closed {
		return &kv.Error{Op: op, Connector: b.opts.Name, Code: kv.Closed}
	}
	if state, reason := b.health.get(); state == stateDead {
		return b.errorf(op, kv.Unavailable, "%s", reason)
	}
	b.entering.Add(1)
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
	if kind == Store || kind == Delete || b.opts.Integrity != IntegrityOff || b.events.listening() {
		t.keys = append(t.keys, keys...)
	}
	keep := b.screen(t, keys, bufs)
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
		if err := s.encode(b.arena, kind.op(), keys[first:last], b.index.hasher()); err != nil {
			return b.named(kind, err)
		}
		s.batch.Ticket = s.ticket()
		if limit := b.opts.Deadlines.of(kind); limit > 0 && b.info.Caps.Has(kv.CapDeadline) {
			s.batch.DeadlineNS = eventfd.MonotonicNS() + uint64(limit)
		}
		if bufs != nil {
			if err := b.lend(t, s, bufs[first:last]); err != nil {
				return err
			}
		}
		b.hide(s)
	}
	return b.reserve(t)
}

func pick[T any](all []T, at []int) []T {
	if all == nil {
		return nil
	}
	out := make([]T, len(at))
	for i, j := range at {
		out[i] = all[j]
	}
	return out
}

// screen returns the positions of the keys that may go to the connector, nil
// for all of them. Left out are keys and values above its limits, which fail
// alone instead of having it refuse the batch, and pinned keys of a delete.
func (b *Bridge) screen(t *task, keys []kv.Key, bufs []kv.Buffer) []int {
	limits := &b.info.Limits
	if limits.MaxKeyLen == 0 && limits.MaxValueLen == 0 && t.res.Kind != Delete {
		return nil
	}
	var pinned []bool
	if t.res.Kind == Delete {
		pinned = b.holdUnpinned(t, keys)
	}
	var keep []int
	for i := range keys {
		ok := true
		switch {
		case pinned != nil && pinned[i]:
			t.pinned++
			ok = false
		case limits.MaxKeyLen > 0 && keys[i].MaxTextLen() > limits.MaxKeyLen && len(keys[i].String()) > limits.MaxKeyLen:
			t.fail(b.opts.Name, kv.Invalid, 0, fmt.Sprintf("key %d has %d bytes of text, the connector takes %d", i, len(keys[i].String()), limits.MaxKeyLen))
			ok = false
		case limits.MaxValueLen > 0 && bufs != nil && int64(len(bufs[i])) > limits.MaxValueLen:
			t.fail(b.opts.Name, kv.Invalid, 0, fmt.Sprintf("value %d has %d bytes, the connector takes %d", i, len(bufs[i]), limits.MaxValueLen))
			ok = false
		}
		switch {
		case !ok && keep == nil:
			keep = make([]int, 0, len(keys))
			for j := range i {
				keep = append(keep, j)
			}
		case ok && keep != nil:
			keep = append(keep, i)
		}
		if !ok && (pinned == nil || !pinned[i]) {
			b.stats.keyFailures.Add(1)
			if t.res.Kind == Delete {
				t.res.Deleted.Failed++
			}
		}
	}
	return keep
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

// holdUnpinned hides the keys of a delete while it runs, so that no lookup pins
// what is about to go. It returns which keys are pinned already and are to be
// left alone, nil for none; a delete of the bridge's own spares no pin, because
// its keys must not be served to whoever holds one.
func (b *Bridge) holdUnpinned(t *task, keys []kv.Key) []bool {
	b.index.mu.Lock()
	defer b.index.mu.Unlock()
	var out []bool
	h := b.index.hasher()
	for i := range keys {
		key := h.of(&keys[i])
		if !t.internal && b.index.pinned(key) {
			if out == nil {
				out = make([]bool, len(keys))
			}
			out[i] = true
			continue
		}
		b.index.hold(key)
		t.held = append(t.held, key)
	}
	return out
}

// releaseHeld ends the holds of a delete. index.mu is held.
func (b *Bridge) releaseHeld(t *task) {
	for _, h := range t.held {
		b.index.release(h)
	}
	t.held = t.held[:0]
}

// hide notes the keys that are hidden now: a load or lookup of them misses,
// whatever happens to them until it completes.
func (b *Bridge) hide(s *slot) {
	s.hidden = nil
	op := s.batch.Op
	if op != kv.OpGet && op != kv.OpExists || b.index.hiding.Load() == 0 {
		return
	}
	b.index.mu.Lock()
	defer b.index.mu.Unlock()
	for i := range s.batch.Ends {
		if b.index.hidden(s.hashes[i]) {
			if s.hidden == nil {
				s.hidden = make([]bool, s.batch.Len())
			}
			s.hidden[i] = true
		}
	}
}

// CapacityError is the cause of a store that was refused because of
// MaxCapacityBytes. All fields are bytes.
type CapacityError struct {
	Need     int64 // what the store would add
	Used     int64 // what is stored
	Reserved int64 // what stores in flight may still add
	Capacity int64
}

// Error implements the error interface.
func (e *CapacityError) Error() string {
	return fmt.Sprintf("%d bytes more do not fit: %d are stored and %d reserved by stores in flight, the capacity is %d",
		e.Need, e.Used, e.Reserved, e.Capacity)
}

// reserve holds room for a store under the capacity.
func (b *Bridge) reserve(t *task) error {
	limit := b.opts.MaxCapacityBytes
	if t.res.Kind != Store || limit == 0 {
		return nil
	}
	b.index.mu.Lock()
	defer b.index.mu.Unlock()
	var need int64
	for _, s := range t.slots {
		for i, buf := range s.batch.Bufs {
			need += b.index.missing(s.hashes[i], b.valueLen(buf))
		}
	}
	if need > 0 && b.index.bytes+b.index.reserved+need > limit {
		b.stats.capacityRefused.Add(1)
		cause := &CapacityError{Need: need, Used: b.index.bytes, Reserved: b.index.reserved, Capacity: limit}
		return &kv.Error{Op: "store", Connector: b.opts.Name, Code: kv.NoSpace, Err: cause}
	}
	t.reserved = need
	b.index.reserved += need
	return nil
}

// lend takes the buffers of a slot. Memory of the arena is lent as it is; other
// memory is staged, or passed on when the caller vouches for it.
func (b *Bridge) lend(t *task, s *slot, bufs []kv.Buffer) error {
	checked := b.opts.Integrity != IntegrityOff
	for i, buf := range bufs {
		block := b.arena.BlockOf(buf)
		if block != nil && block.Quarantined() {
			return b.errorf(t.res.Kind.String(), kv.Invalid,
				"buffer %d is still lent to a task that was answered early; release it and allocate another", s.at(i))
		}
		switch {
		case checked, block == nil && len(buf) > 0 && b.opts.Buffers == BuffersCopy, !arena.Aligned(buf, b.info.Limits.BufAlign):
			staged, err := b.staged(t, s, i, buf)
			if err != nil {
				return err
			}
			buf = staged
		case block != nil:
			block.Lend()
			s.lent = append(s.lent, block)
		case len(buf) > 0:
			t.unsafe = true
		}
		s.bufs = append(s.bufs, buf)
	}
	s.batch.Bufs = s.bufs
	return nil
}

// staged returns the staging buffer that stands for buf, with room for a
// trailer if values carry one. A store's is filled.
func (b *Bridge) staged(t *task, s *slot, i int, buf kv.Buffer) (kv.Buffer, error) {
	n := len(buf)
	if b.opts.Integrity != IntegrityOff {
		n += trailerSize
	}
	stage, err := b.stage.take(n)
	if err != nil {
		return nil, b.named(t.res.Kind, err)
	}
	s.foreign = append(s.foreign, foreign{i, buf, stage})
	out := stage.Bytes()[:n:n]
	if t.res.Kind == Store {
		copy(out, buf)
		if n > len(buf) {
			seal(out, s.batch.Key(i))
		}
	}
	b.stats.copiedBytes.Add(int64(len(buf)))
	return out, nil
}

// valueLen is the size of the caller's value in a buffer of a batch.
func (b *Bridge) valueLen(buf kv.Buffer) int64 {
	if b.opts.Integrity != IntegrityOff {
		return int64(len(buf) - trailerSize)
	}
	return int64(len(buf))
}

// launch hands the slots of a task to the connector. An error means that it
// refused the first one and that nothing is running; a later refusal fails its
// keys only.
func (b *Bridge) launch(t *task) error {
	t.parts.Store(int32(len(t.slots)))
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
	return s, nil
}

// unwind undoes a submit of which nothing reached the connector.
func (b *Bridge) unwind(t *task) {
	t.claim()
	if t.trial {
		b.breakers[t.res.Kind].giveUp(b.now())
	}
	b.settleReservation(t)
	b.index.mu.Lock()
	b.releaseHeld(t)
	b.index.mu.Unlock()
	b.freeSlots(t, false)
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
