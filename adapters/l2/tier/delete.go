package tier

import (
	"context"
	"errors"
	"slices"

	"github.com/sixcall/sixcall/bridge/kv"
)

// MemberDelete is one member's part in a delete.
type MemberDelete struct {
	ID     int
	Name   string
	Result kv.DeleteResult
	// Err is why the delete failed, nil if it did not. A member that cannot
	// delete reports nothing done and no error.
	Err error
}

// Delete removes keys from all members at once that are not read-only. Keys that are pinned there are
// skipped. Keys are copied.
//
// An error is about the request: [kv.Invalid] (an illegal key), [kv.Cancelled]
// or [kv.Timeout] (ctx ended), [kv.Closed]. What the members did is in the
// result, in their order. Safe for concurrent use; it waits for the slowest
// member or its deadline.
func (t *Tier) Delete(ctx context.Context, keys []kv.Key) ([]MemberDelete, error) {
	const op = "delete"
	if err := checkKeys(keys); err != nil {
		return nil, &kv.Error{Op: op, Connector: "tier", Code: kv.Invalid, Err: err}
	}
	if err := t.enter(op); err != nil {
		return nil, err
	}
	defer t.ops.done()
	run, cancel := scope(ctx, t.writing)
	defer cancel()
	phase, stop := within(run, t.opts.Deadlines.Delete)
	defer stop()
	keys = slices.Clone(keys)
	members := t.acquire(writable)
	calls := make([]*call[MemberDelete], len(members))
	for i, m := range members {
		calls[i] = begin(func() MemberDelete {
			defer m.uses.done()
			r, err := m.Delete(phase, keys)
			return MemberDelete{m.id, m.name, r, err}
		}, func(MemberDelete) { m.stats.strays.Add(-1) })
	}
	results := make([]MemberDelete, len(members))
	for i, m := range members {
		r, ok := calls[i].wait(phase)
		if !ok {
			m.stats.strays.Add(1)
			r = MemberDelete{m.id, m.name, kv.DeleteResult{Failed: len(keys)}, m.silent(run, op, t.opts.Deadlines.Delete)}
		}
		results[i] = r
		if !errors.Is(r.Err, kv.Unsupported) {
			t.watch(run, m, classDelete, r.Err)
		}
	}
	return results, over(run, t.writing, op)
}
