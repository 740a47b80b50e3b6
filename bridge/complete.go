package bridge

import (
	"fmt"

	"go.uber.org/zap"

	"github.com/sixcall/sixcall/bridge/kv"
)

// stageCopyLimit is how many staged bytes the draining goroutine copies itself;
// larger loads are finished on a goroutine of their own, so that they do not
// hold up other completions.
const stageCopyLimit = 64 << 10

// drain takes all completions there are. It may be called at any time from any
// goroutine; a call that finds another one running does nothing, because that
// one sees everything that was signalled before it ends, and the next signal is
// a new edge.
func (b *Bridge) drain() {
	if !b.drainMu.TryLock() {
		// The holder may be past its last look: leave a note for it.
		b.stats.drainAgain.Store(true)
		if !b.drainMu.TryLock() {
			return
		}
	}
	for {
		b.stats.drainAgain.Store(false)
		b.drainLocked()
		b.drainMu.Unlock()
		if !b.stats.drainAgain.Load() || !b.drainMu.TryLock() {
			break
		}
	}
	b.pump()
}

func (b *Bridge) drainLocked() {
	for {
		n, err := b.conn.Drain(b.records)
		if err != nil {
			b.drainFailed(err)
			return
		}
		b.sweep.drainWorked(b)
		if n > 0 {
			b.drainedAt = b.now()
			b.route(b.records[:n])
		}
		if n < len(b.records) {
			return
		}
	}
}

// route matches records with slots, then finishes the tasks that are complete.
func (b *Bridge) route(records []kv.Completion) {
	b.slotMu.Lock()
	for i := range records {
		c := &records[i]
		s := b.match(c)
		if s == nil {
			continue
		}
		s.phase, s.rc = done, c.RC
		s.keepStatus()
		if t := s.task; t.parts.Add(-1) == 0 {
			b.ready = append(b.ready, t)
		}
	}
	b.slotMu.Unlock()
	for i, t := range b.ready {
		b.ready[i] = nil
		b.finish(t, &b.flushes)
		if len(b.flushes) >= flushEvery {
			b.flush()
		}
	}
	b.ready = b.ready[:0]
	b.flush()
}

// flushEvery is how many results a sink gets before it is flushed: enough to make
// the system call of a signal small, too few to hold the first one up.
const flushEvery = 32

// flush tells the sinks that their results are complete. drainMu is held.
func (b *Bridge) flush() {
	for i, f := range b.flushes {
		b.flushes[i] = nil
		f.Flush()
	}
	b.flushes = b.flushes[:0]
}

// deliver hands a result to a sink, which may be nil. A sink that wants a flush
// gets it at once, or is added to later.
func deliver(s Sink, r *Result, later *[]Flusher) {
	if s == nil {
		return
	}
	s.Done(r)
	f, ok := s.(Flusher)
	switch {
	case !ok:
	case later == nil:
		f.Flush()
	default:
		*later = append(*later, f)
	}
}

// keepStatus takes the status bytes out of the memory that the connector had: they
// are looked at more than once, and a connector that writes late must not change
// the bridge's mind in between.
func (s *slot) keepStatus() {
	s.status = append(s.status[:0], s.batch.Status...)
	s.batch.Status = s.status
}

// match returns the slot that a record completes, or nil for a record that no
// slot waits for. slotMu is held.
func (b *Bridge) match(c *kv.Completion) *slot {
	index, gen := uint32(c.Ticket), uint32(c.Ticket>>32)
	if int(index) >= len(b.slots) || gen == 0 || gen > b.slots[index].gen {
		b.stats.unknownTickets.Add(1)
		return nil
	}
	s := b.slots[index]
	if gen < s.gen || s.phase != inFlight {
		b.stats.doubleCompletions.Add(1)
		return nil
	}
	if c.Op != s.batch.Op {
		b.stats.wrongOps.Add(1)
	}
	return s
}

// completeLocally ends a slot that the connector does not have.
func (b *Bridge) completeLocally(s *slot, err error) {
	code := kv.Internal
	if c, ok := codeOf(err); ok {
		code = c
	}
	for i := range s.batch.Status {
		s.batch.Status[i] = kv.StatusCancelled
	}
	b.slotMu.Lock()
	s.phase, s.rc, s.text = done, code, err.Error()
	t := s.task
	last := t.parts.Add(-1) == 0
	b.slotMu.Unlock()
	if last {
		b.finish(t, nil)
	}
}

// finish ends a task whose slots have all completed. later collects the sinks that
// want a flush; nil if they get it at once.
func (b *Bridge) finish(t *task, later *[]Flusher) {
	if !t.claim() {
		b.finishLate(t)
		return
	}
	if t.res.Kind == Load && stagedBytes(t) > stageCopyLimit {
		b.finishers.Go(func() { b.publish(t, nil) })
		return
	}
	b.publish(t, later)
}

// finishLate ends a task that was answered before.
func (b *Bridge) finishLate(t *task) {
	b.awaitEarly()
	b.settleLate(t)
	b.freeSlots(t, true)
	b.release(t)
}

// awaitEarly waits until whoever has just claimed a task early has finished with
// its slots.
func (b *Bridge) awaitEarly() {
	b.slotMu.Lock()
	defer b.slotMu.Unlock()
}

// publish settles a task that nobody answered before and answers it.
func (b *Bridge) publish(t *task, later *[]Flusher) {
	b.verify(t)
	b.settle(t)
	if all := b.judgeTask(t); t.res.Err != nil && t.res.Outcome == Done {
		if all {
			t.res.AllFailed = t.res.Err
		}
		t.res.Err = nil // single keys of a load or lookup; counted, not an error
	}
	if !t.internal {
		var now int64
		if later != nil {
			now = b.drainedAt
		} else {
			now = b.now()
		}
		b.stats.finished(&t.res, now-t.started)
	}
	b.freeSlots(t, false)
	deliver(t.sink, &t.res, later)
	b.release(t)
}

// verify checks the trailers of loaded values; what fails becomes a corrupt key.
func (b *Bridge) verify(t *task) {
	if b.opts.Integrity == IntegrityOff || t.res.Kind != Load {
		return
	}
	for _, s := range t.slots {
		for i, status := range s.batch.Status {
			if status == kv.StatusHit && !sealed(s.batch.Bufs[i], s.batch.Key(i)) {
				s.batch.Status[i] = kv.StatusCorrupt
				s.batch.Err.Set(kv.Corrupt, 0, "the value does not match its checksum; it is deleted")
				b.stats.corrupt.Add(1)
			}
		}
	}
}

// judgeTask tells the breaker how a task ended. Keys that were refused, corrupt
// or of another size are no sign of a sick backend. It says whether the connector
// could answer for no key at all.
func (b *Bridge) judgeTask(t *task) (allFailed bool) {
	if t.internal && !t.trial {
		return false
	}
	allFailed = t.judged > 0 && t.hard == t.judged
	b.judged(t, t.sick || allFailed)
	return allFailed
}

// judged records a good or a bad end with the breaker of the task's class.
func (b *Bridge) judged(t *task, bad bool) {
	k := &b.breakers[t.res.Kind]
	if !bad {
		if k.success(t.trial) {
			b.log.Info("breaker closed", zap.Stringer("class", t.res.Kind))
		}
		return
	}
	reason := "no answer by the deadline"
	if t.res.Err != nil {
		reason = t.res.Err.Error()
	}
	if k.failure(t.trial, b.now(), reason) {
		b.log.Warn("breaker opened", zap.Stringer("class", t.res.Kind), zap.String("reason", reason))
		b.sweep.wake()
	}
}

func stagedBytes(t *task) int {
	n := 0
	for _, s := range t.slots {
		for _, f := range s.foreign {
			n += len(f.buf)
		}
	}
	return n
}

// answerEarly ends a task that the connector still works on. The caller has
// claimed it through claimEarly, and holds a reference.
func (b *Bridge) answerEarly(t *task, outcome Outcome, cause error) Result {
	r := Result{ID: t.res.ID, Kind: t.res.Kind, Outcome: outcome, Bits: kv.NewBitmap(t.res.Bits.Len())}
	code := map[Outcome]kv.Code{Deadline: kv.Timeout, Cancelled: kv.Cancelled, Closed: kv.Closed, Failed: kv.IO}[outcome]
	r.Err = &kv.Error{Op: r.Kind.String(), Connector: b.opts.Name, Code: code, Err: cause}
	if r.Kind == Delete {
		r.Deleted = kv.DeleteResult{Failed: r.Bits.Len() - t.pinned, Pinned: t.pinned}
	}
	if !t.internal {
		b.stats.finished(&r, b.now()-t.started)
	}
	switch {
	case outcome == Deadline:
		b.judged(t, true)
	case t.trial:
		b.breakers[r.Kind].giveUp(b.now())
	}
	return r
}

// claimEarly claims a running task whose memory may be left to the connector:
// it takes a reference, puts the memory into quarantine and hides the keys of a
// store. slotMu is held.
func (b *Bridge) claimEarly(t *task) bool {
	if !t.claim() {
		return false
	}
	t.refs.Add(1)
	b.stats.quarantined.Add(int64(len(t.slots)))
	for _, s := range t.slots {
		for _, block := range s.lent {
			block.Quarantine()
		}
	}
	if t.res.Kind == Store {
		b.index.mu.Lock()
		for _, s := range t.slots {
			for _, h := range s.hashed(b.index, t.keys) {
				b.index.taint(h)
				b.index.hold(h)
			}
		}
		b.index.mu.Unlock()
	}
	return true
}

func codeOf(err error) (kv.Code, bool) {
	switch e := err.(type) {
	case kv.Code:
		return e, true
	case *kv.Error:
		return e.Code, true
	}
	return kv.Internal, false
}

// drainFailed handles a Drain that returned an error. drainMu is held.
func (b *Bridge) drainFailed(err error) {
	b.stats.drainErrors.Add(1)
	failures := b.sweep.drainFailed(b.now())
	b.errors.note("drain", err, b.log)
	if failures == deadAfter {
		b.health.set(stateDead, fmt.Sprintf("drain failed %d times in a row: %v", failures, err), b.log)
	}
}
