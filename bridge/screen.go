package bridge

import (
	"fmt"

	"github.com/sixcall/sixcall/bridge/kv"
)

// screen returns the positions of the keys that may go to the connector, nil
// for all of them. Left out are keys and values above its limits, which fail
// alone instead of having it refuse the batch, and pinned keys of a delete. longest
// is what the text of no key exceeds, in bytes.
func (b *Bridge) screen(t *task, keys []kv.Key, bufs []kv.Buffer, longest int) []int {
	limits := &b.info.Limits
	long := limits.MaxKeyLen > 0 && longest > limits.MaxKeyLen // perhaps
	if !long && (limits.MaxValueLen == 0 || bufs == nil) && t.res.Kind != Delete {
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
		case long && len(keys[i].String()) > limits.MaxKeyLen:
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

// holdUnpinned hides the keys of a delete while it runs, so that no lookup pins
// what is about to go. It returns which keys are pinned already and are to be
// left alone, nil for none; a delete of the bridge's own spares no pin, because
// its keys must not be served to whoever holds one.
func (b *Bridge) holdUnpinned(t *task, keys []kv.Key) []bool {
	b.index.mu.Lock()
	defer b.index.mu.Unlock()
	b.index.foldPins()
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
func (b *Bridge) hide(t *task, s *slot) {
	s.hidden = nil
	op := s.batch.Op
	if op != kv.OpGet && op != kv.OpExists || b.index.hiding.Load() == 0 {
		return
	}
	b.index.mu.Lock()
	defer b.index.mu.Unlock()
	for i, h := range s.hashed(b.index, t.keys) {
		if b.index.hidden(h) {
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
			need += b.index.missing(s.hashed(b.index, t.keys)[i], b.valueLen(buf))
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
