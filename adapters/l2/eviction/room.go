package eviction

import (
	"context"
	"errors"
	"fmt"

	"github.com/sixcall/sixcall/bridge/kv"
)

// MakeRoom evicts from an adapter until bytes more fit into its capacity, and
// waits for that. It takes no more keys than are needed, in the order of the
// policy; with IsolatedLRU from the salts that use most of their quota. Keys that
// could not be removed lately come last.
//
// It counts what is stored, not what stores in flight will add: a caller that has
// some running adds their bytes.
//
// Errors: [kv.NoSpace] when the capacity is smaller than bytes, or when what is
// left is pinned, unknown here, or belongs to a policy that evicts nothing;
// [kv.Invalid] for an unknown id or negative bytes; [kv.Closed]; the adapter's; the
// context's. An adapter without a capacity always has room.
func (c *Controller) MakeRoom(ctx context.Context, id string, bytes int64) error {
	m, err := c.find(id, false)
	if err != nil {
		return err
	}
	if bytes < 0 {
		return named(id, &kv.Error{Op: "eviction", Code: kv.Invalid, Err: fmt.Errorf("bytes is %d, want 0 or more", bytes)})
	}
	ctx, stop := c.merge(ctx)
	defer stop()
	report := Evicted{Trigger: TriggerRoom}
	err = c.room(ctx, m, bytes, &report)
	c.tell(m, report)
	if err != nil && c.ctx.Err() != nil {
		err = &kv.Error{Op: "eviction", Code: kv.Closed}
	}
	if err != nil {
		return named(id, err)
	}
	return nil
}

func (c *Controller) room(ctx context.Context, m *member, bytes int64, report *Evicted) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	defer m.leave()
	if m.detached {
		return &kv.Error{Op: "eviction", Code: kv.Closed, Err: errors.New("the adapter was removed")}
	}
	tried := map[kv.Key]bool{} // in an earlier round
	lenient := false           // takes penalized keys as well
	for {
		u, err := m.usage()
		if err != nil {
			c.conclude(ctx, m, err)
			return err
		}
		over := u.BytesUsed - (u.BytesCapacity - bytes)
		if u.BytesCapacity <= 0 || over <= 0 {
			return nil
		}
		if bytes > u.BytesCapacity {
			return noSpace("%d bytes do not fit into a capacity of %d", bytes, u.BytesCapacity)
		}
		if m.off != "" {
			return noSpace("%d bytes must go, but nothing is evicted: %s", over, m.off)
		}
		victims, _, err := m.choose(func(policy Policy) []goal {
			if p, ok := policy.(SaltPolicy); ok {
				return roomGoals(u, over, c.opts.Quotas, p)
			}
			return []goal{{want: Want{Bytes: over, Assume: mean(u.BytesUsed, max(u.Keys, int64(policy.Len())))}}}
		}, func(k kv.Key) bool { return tried[k] || !lenient && m.penalties.applies(k) })
		if err != nil {
			return err
		}
		if len(victims) == 0 {
			if lenient {
				return noSpace("%d bytes more must go, and no key is left that could", over)
			}
			lenient = true
			continue
		}
		err = c.evict(ctx, m, victims, report)
		c.conclude(ctx, m, err)
		if err != nil {
			return err
		}
		for _, v := range victims {
			tried[v.Key] = true
		}
	}
}

func noSpace(format string, args ...any) error {
	return &kv.Error{Op: "eviction", Code: kv.NoSpace, Err: fmt.Errorf(format, args...)}
}
