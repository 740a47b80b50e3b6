package bridge

import (
	"encoding/binary"

	"go.uber.org/zap"

	"github.com/sixcall/sixcall/bridge/kv"
)

// settle turns status bytes into the result and keeps the books. The task is
// claimed by the caller, or internal.
func (b *Bridge) settle(t *task) {
	var dirty []kv.Key
	event := event{on: b.events.listening(), kind: t.res.Kind}
	plain := !event.on && t.res.Lengths == nil && !t.internal
	for _, s := range t.slots {
		plain = b.judge(t, s) && plain
	}
	x := b.index
	x.mu.Lock()
	b.releaseHeld(t)
	plain = plain && x.hiding.Load() == 0
	for _, s := range t.slots {
		switch kind := t.res.Kind; {
		case (kind == Lookup || kind == Load) && plain && s.plain():
			t.res.Bits.SetWhere(s.first, s.batch.Status)
		case kind == Lookup:
			b.settleLookup(t, s)
		case kind == Load:
			dirty = b.settleLoad(t, s, &event, dirty)
		case kind == Store:
			for i, status := range s.batch.Status {
				if !b.settleStored(t, s, i, &event) && needsDelete(status) {
					dirty = append(dirty, t.keys[s.at(i)])
				}
			}
		case kind == Delete:
			for i := range s.batch.Status {
				b.settleDeleted(t, s, i, &event)
			}
		}
	}
	if t.res.Kind == Lookup && !t.internal {
		t.keys = x.pinAll(keepSet(t.keys, &t.res.Bits))
	}
	x.reserved -= t.reserved
	t.reserved = 0
	b.events.post(event) // under the mutex: events keep the order of the books
	x.mu.Unlock()
	for _, s := range t.slots {
		for _, f := range s.foreign {
			if t.res.Kind == Load && t.res.Bits.Test(s.at(f.at)) {
				copy(f.buf, f.stage.Bytes())
			}
		}
	}
	b.conclude(t)
	b.deleteDirty(dirty)
}

// plain reports whether the keys of a slot are in a row, and all of them were
// visible at submit.
func (s *slot) plain() bool { return s.keep == nil && s.hidden == nil }

// settleLookup sets the bits of a lookup's slot, key by key. index.mu is held.
func (b *Bridge) settleLookup(t *task, s *slot) {
	x := b.index
	if s.rc != kv.OK || t.internal {
		return
	}
	for i, status := range s.batch.Status {
		if status != kv.StatusHit || s.hidden != nil && s.hidden[i] {
			continue
		}
		if x.hiding.Load() > 0 && x.hidden(s.hashed(x, t.keys)[i]) {
			continue
		}
		at := s.at(i)
		t.res.Bits.Set(at)
		if t.res.Lengths != nil {
			t.res.Lengths[at] = max(int64(s.batch.ValueLens[i]), -1)
		}
	}
}

// settleLoad sets the bits of a load's slot, key by key, and adds the keys that
// are corrupt to dirty. index.mu is held.
func (b *Bridge) settleLoad(t *task, s *slot, ev *event, dirty []kv.Key) []kv.Key {
	x := b.index
	for i, status := range s.batch.Status {
		at := s.at(i)
		if t.res.Lengths != nil {
			t.res.Lengths[at] = -1
			if status == kv.StatusSize {
				t.res.Lengths[at] = max(int64(s.batch.ValueLens[i]), -1)
			}
		}
		if status == kv.StatusCorrupt && b.opts.Integrity != IntegrityOff {
			dirty = append(dirty, t.keys[at])
		}
		if status != kv.StatusHit || s.hidden != nil && s.hidden[i] {
			continue
		}
		if x.hiding.Load() > 0 && x.hidden(s.hashed(x, t.keys)[i]) {
			continue
		}
		t.res.Bits.Set(at)
		ev.add(t, at, 0)
	}
	return dirty
}

// keepSet moves the keys whose bit is set to the front and returns them.
func keepSet(keys []kv.Key, bits *kv.Bitmap) []kv.Key {
	if bits.Count() == len(keys) {
		return keys
	}
	n := 0
	for i := range keys {
		if bits.Test(i) {
			if n != i {
				keys[n] = keys[i]
			}
			n++
		}
	}
	clear(keys[n:])
	return keys[:n]
}

// judge counts what the connector did wrong in a slot and notes its first error.
// It reports whether there was nothing: every status byte is a hit or a miss.
func (b *Bridge) judge(t *task, s *slot) (clean bool) {
	t.judged += len(s.batch.Status)
	bad := byte(kv.StatusHit)
	if clean = onlyResults(s.batch.Status); !clean {
		bad = b.judgeKeys(t, s)
	}
	code := s.rc
	if code == kv.OK && bad == kv.StatusHit {
		if code = s.batch.Err.Code(); code == kv.OK {
			return true
		}
	}
	vendorCode, text := s.batch.Err.VendorCode(), s.text
	if text == "" {
		text = s.batch.Err.Message()
	}
	if code == kv.OK {
		code = s.batch.Err.Code()
	}
	if code == kv.OK {
		code = codeOfStatus(bad)
	}
	t.fail(b.opts.Name, code, vendorCode, text)
	b.errors.note(t.res.Kind.String(), t.res.Err, b.log)
	if s.rc != kv.OK {
		t.res.Outcome = Failed
		t.sick = t.sick || s.rc != kv.NoSpace
	}
	return false
}

// judgeKeys counts the keys of a slot that failed and returns the first status
// that says so.
func (b *Bridge) judgeKeys(t *task, s *slot) byte {
	bad := byte(kv.StatusHit)
	for _, status := range s.batch.Status {
		if status <= kv.StatusHit {
			continue
		}
		if status == kv.StatusUnset || status > kv.StatusCorrupt {
			b.stats.badStatus.Add(1)
		}
		if status == kv.StatusError || status == kv.StatusTimeout || status == kv.StatusUnset {
			t.hard++
		}
		b.stats.keyFailures.Add(1)
		if bad == kv.StatusHit {
			bad = status
		}
	}
	return bad
}

// onlyResults reports whether every status byte is a hit or a miss. It looks at
// eight at a time.
func onlyResults(status []byte) bool {
	for ; len(status) >= 8; status = status[8:] {
		if binary.LittleEndian.Uint64(status)&^0x0101010101010101 != 0 {
			return false
		}
	}
	for _, s := range status {
		if s > kv.StatusHit {
			return false
		}
	}
	return true
}

// codeOfStatus is the error of a status byte that is one.
func codeOfStatus(status byte) kv.Code {
	switch status {
	case kv.StatusCancelled:
		return kv.Cancelled
	case kv.StatusTimeout:
		return kv.Timeout
	case kv.StatusRefused:
		return kv.NoSpace
	case kv.StatusCorrupt:
		return kv.Corrupt
	case kv.StatusSize:
		return kv.Invalid
	case kv.StatusError:
		return kv.IO
	}
	return kv.Internal
}

// needsDelete says whether a store that failed with status may have left
// something behind.
func needsDelete(status byte) bool { return status != kv.StatusRefused && status != kv.StatusMiss }

// settleStored accounts key i of a store slot; false if it was not stored.
func (b *Bridge) settleStored(t *task, s *slot, i int, ev *event) bool {
	if s.batch.Status[i] != kv.StatusHit {
		return false
	}
	at := s.at(i)
	h := s.hashed(b.index, t.keys)[i]
	added := b.index.stored(h, t.keys[at].Salt, b.valueLen(s.batch.Bufs[i]))
	b.index.untaint(h)
	t.res.Bits.Set(at)
	t.res.Bytes += max(added, 0)
	ev.add(t, at, added)
	return true
}

// settleDeleted takes key i of a delete slot out of the books. A key that was
// not there is gone as well.
func (b *Bridge) settleDeleted(t *task, s *slot, i int, ev *event) {
	status := s.batch.Status[i]
	if status > kv.StatusHit {
		t.res.Deleted.Failed++
		return
	}
	at := s.at(i)
	if status == kv.StatusHit {
		t.res.Deleted.Deleted++
	} else {
		t.res.Deleted.Absent++
	}
	h := s.hashed(b.index, t.keys)[i]
	if b.index.gone(h, t.keys[at].Salt) {
		ev.add(t, at, 0)
	}
	b.index.untaint(h)
}

// conclude decides the outcome from the bits.
func (b *Bridge) conclude(t *task) {
	switch t.res.Kind {
	case Store:
		if t.res.Bits.Count() < t.res.Bits.Len() {
			t.res.Outcome = Failed
			// What was stored stays and is accounted; the task added nothing that
			// its caller may count on.
			t.res.Bytes = 0
			t.fail(b.opts.Name, kv.IO, 0, "the connector did not store every key")
		}
	case Delete:
		t.res.Deleted.Pinned = t.pinned
		if t.res.Deleted.Failed > 0 {
			t.res.Outcome = Failed
		}
	}
}

// settleLate keeps the books for a task that was answered before it completed.
func (b *Bridge) settleLate(t *task) {
	b.stats.late.Add(1)
	x := b.index
	var dirty []kv.Key
	event := event{on: b.events.listening(), kind: t.res.Kind}
	x.mu.Lock()
	b.releaseHeld(t)
	for _, s := range t.slots {
		for i := range s.batch.Status {
			switch t.res.Kind {
			case Store:
				// The key was tainted when the task was answered. It shows again
				// when it was deleted, or stored whole once more.
				h := s.hashed(x, t.keys)[i]
				x.release(h)
				if s.batch.Status[i] == kv.StatusHit {
					event.add(t, s.at(i), x.stored(h, t.keys[s.at(i)].Salt, b.valueLen(s.batch.Bufs[i])))
				}
				dirty = append(dirty, t.keys[s.at(i)])
			case Delete:
				b.settleDeleted(t, s, i, &event)
			}
		}
	}
	b.events.post(event)
	x.mu.Unlock()
	b.settleReservation(t)
	b.deleteDirty(dirty)
}

func (b *Bridge) settleReservation(t *task) {
	if t.reserved != 0 {
		b.index.mu.Lock()
		b.index.reserved -= t.reserved
		b.index.mu.Unlock()
		t.reserved = 0
	}
}

// deleteDirty removes what failed or late stores may have left. The keys stay
// hidden until that is done. Without a delete call late ones stay hidden until
// they are stored whole again.
func (b *Bridge) deleteDirty(keys []kv.Key) {
	if len(keys) == 0 || !b.info.Caps.Has(kv.CapDelete) {
		return
	}
	b.index.mu.Lock()
	h := b.index.hasher()
	for i := range keys {
		b.index.taint(h.of(&keys[i]))
	}
	b.index.mu.Unlock()
	t, err := b.submitInternal(keys)
	if err != nil {
		b.log.Debug("delete after a failed store was not possible; its keys stay hidden", zap.Error(err))
		return
	}
	b.release(t)
}

// submitInternal starts a delete that nobody waits for. It ignores pins: the
// value must not be served to whoever holds one.
func (b *Bridge) submitInternal(keys []kv.Key) (*task, error) {
	if err := b.enter(Delete.String()); err != nil {
		return nil, err
	}
	defer b.gate.leave()
	t := b.newTask(Delete, len(keys))
	t.internal = true
	if err := b.prepare(t, keys, nil); err != nil {
		b.unwind(t)
		return nil, err
	}
	if err := b.launch(t); err != nil {
		b.unwind(t)
		return nil, err
	}
	b.stats.cleanups.Add(1)
	b.sweep.wake()
	return t, nil
}
