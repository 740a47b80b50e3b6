package eviction

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/sixcall/sixcall/bridge/kv"
)

// maxPause is how many cycles at most an adapter sits out that keeps failing.
const maxPause = 31

// look makes a pass over a member and reports what it removed.
func (c *Controller) look(ctx context.Context, m *member) error {
	var report Evicted
	err := c.pass(ctx, m, &report)
	c.tell(m, report)
	return err
}

func (c *Controller) pass(ctx context.Context, m *member, report *Evicted) error {
	if err := m.enter(ctx); err != nil {
		return named(m.id, err)
	}
	defer m.leave()
	switch {
	case m.detached:
		return nil
	case m.pause > 0:
		m.pause--
		m.count(func(s *Stats) { s.Paused++ })
		return nil
	}
	m.count(func(s *Stats) { s.Passes++ })
	err := c.watch(ctx, m, report)
	c.conclude(ctx, m, err)
	if err != nil {
		return named(m.id, err)
	}
	return nil
}

// watch evicts what a watermark or a quota asks for. The token is held.
func (c *Controller) watch(ctx context.Context, m *member, report *Evicted) error {
	u, err := m.usage()
	if err != nil {
		return err
	}
	report.Trigger = TriggerWatermark
	victims, wanted, err := m.choose(func(policy Policy) []goal {
		if p, ok := policy.(SaltPolicy); ok {
			report.Trigger = TriggerQuota
			return quotaGoals(u, m.config, c.opts.Quotas, p)
		}
		return watermarkGoal(u, m.config, policy.Len())
	}, m.penalties.applies)
	starving := wanted && err == nil && len(victims) == 0
	if starving && !m.starving {
		c.log.Warn("eviction is needed, but no key is left that could go: what was stored before eviction began is not known, and keys that cannot be removed are left alone for a while",
			zap.String("adapter", m.id), zap.Int64("bytes_used", u.BytesUsed), zap.Int64("bytes_capacity", u.BytesCapacity))
	}
	m.starving = starving
	if err != nil {
		return err
	}
	return c.evict(ctx, m, victims, report)
}

// choose asks the policy for the victims of a plan; wanted is false when the plan
// has no goal. skip runs under mu.
func (m *member) choose(plan func(Policy) []goal, skip func(kv.Key) bool) (victims []Victim, wanted bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	goals := plan(m.policy)
	if len(goals) == 0 {
		return nil, false, nil
	}
	m.penalties.now++
	m.stats.Triggered++
	for _, g := range goals {
		g.want.Skip = skip
		var more []Victim
		if p, ok := m.policy.(SaltPolicy); ok {
			more = p.VictimsOf(g.salt, g.want)
		} else if more, err = m.policy.Victims(g.want); err != nil {
			return nil, true, err
		}
		victims = append(victims, more...)
	}
	if len(victims) == 0 {
		m.stats.Starved++
	}
	return victims, true, nil
}

// evict deletes victims and adds what was removed to report. An error means that
// the adapter, rather than single keys, is at fault; the rest was not tried. The
// token is held.
func (c *Controller) evict(ctx context.Context, m *member, victims []Victim, report *Evicted) error {
	patience := c.opts.EventWait
	for len(victims) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		batch := victims[:min(m.chunk, len(victims))]
		m.begin(batch)
		r, err := c.delete(ctx, m, batch)
		if r == (kv.DeleteResult{}) && errors.Is(err, kv.Busy) {
			// Nothing was started. A smaller delete may find room.
			m.abort()
			if len(batch) == 1 {
				m.count(func(s *Stats) { s.Busy++ })
				return err
			}
			m.chunk = len(batch) / 2
			continue
		}
		m.chunk = min(2*m.chunk, m.maxChunk)
		victims = victims[len(batch):]
		if err := m.settle(ctx, batch, r, err, &patience, report); err != nil {
			return err
		}
	}
	return nil
}

func (c *Controller) delete(ctx context.Context, m *member, batch []Victim) (r kv.DeleteResult, err error) {
	keys := make([]kv.Key, len(batch))
	for i := range batch {
		keys[i] = batch[i].Key
	}
	ctx, cancel := context.WithTimeout(ctx, c.opts.DeleteTimeout)
	defer cancel()
	err = m.guard("delete", func() (err error) { r, err = m.target.Delete(ctx, keys); return err })
	return r, err
}

// begin puts a batch on trial.
func (m *member) begin(batch []Victim) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.trial, m.heard = make(map[kv.Key]Victim, len(batch)), nil
	for _, v := range batch {
		m.trial[v.Key] = v
	}
	select {
	case <-m.told:
	default:
	}
}

func (m *member) abort() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.trial, m.heard = nil, nil
}

// settle finds out which keys of a batch are gone, tells the policy, and punishes
// the others. The error is not nil when the adapter is at fault. patience is how
// long to wait for its events, and becomes 0 when it owes some.
//
// A delete says how many keys it removed. When that is all of them, the policy is
// told at once: the adapter's events say the same later and find nothing to do,
// or find that the key was stored again, in that order. When it is some of them,
// only the events say which.
func (m *member) settle(ctx context.Context, batch []Victim, r kv.DeleteResult, err error, patience *time.Duration, report *Evicted) error {
	removed := min(max(r.Deleted, 0)+max(r.Absent, 0), len(batch))
	silent := err == nil && r == (kv.DeleteResult{}) // no count at all: perhaps events
	expect := removed
	if silent {
		expect = len(batch)
	}
	if expect > 0 && removed < len(batch) && *patience > 0 && !m.await(ctx, expect, *patience) {
		*patience = 0
	}
	blameless := ctx.Err() != nil || errors.Is(err, kv.Unavailable) || errors.Is(err, kv.Closed)

	m.mu.Lock()
	defer m.mu.Unlock()
	gone := m.heard
	if removed == len(batch) {
		gone = batch
	}
	removed = max(removed, len(gone))
	var open []kv.Key // no event told their fate; in the policy's order
	for i := range batch {
		if _, ok := m.trial[batch[i].Key]; ok {
			open = append(open, batch[i].Key)
		}
	}
	switch {
	case removed == len(batch):
		m.policy.Removed(open)
		for _, k := range open {
			m.penalties.forgive(k)
		}
	case !blameless:
		for _, k := range open {
			m.penalties.impose(k)
		}
	}
	m.trial, m.heard = nil, nil
	report.add(batch, gone, removed)
	m.stats.Requested += int64(len(batch))
	m.stats.Removed += int64(removed)
	for _, v := range gone {
		m.stats.Bytes += v.Size
	}
	pinned := min(max(r.Pinned, 0), len(batch)-removed)
	m.stats.Pinned += int64(pinned)
	m.stats.Failed += int64(len(batch) - removed - pinned)
	switch {
	case removed > 0:
		return nil
	case silent:
		return fmt.Errorf("delete of %d keys removed none of them and gave no reason; can the adapter delete?", len(batch))
	}
	return err
}

// await waits until events have called n keys of the trial deleted; false when
// they do not come. They may be on their way, on a goroutine of the adapter's.
func (m *member) await(ctx context.Context, n int, limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		m.mu.Lock()
		enough := len(m.heard) >= n || len(m.trial) == 0
		m.mu.Unlock()
		if enough {
			return true
		}
		select {
		case <-m.told:
		case <-timer.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// conclude keeps the books of an adapter's failures: the first of a series is
// logged, and a long series makes the adapter sit cycles out. The token is held.
func (c *Controller) conclude(ctx context.Context, m *member, err error) {
	if err != nil && (ctx.Err() != nil || errors.Is(err, kv.Busy)) {
		return // says nothing of the adapter
	}
	m.mu.Lock()
	before := m.stats.Failures
	if err == nil {
		m.stats.Failures = 0
	} else {
		m.stats.Failures++
		m.stats.Errors++
		m.stats.LastError = err.Error()
	}
	m.mu.Unlock()
	adapter := zap.String("adapter", m.id)
	switch {
	case err != nil:
		m.pause = min(1<<min(before, 30)-1, maxPause)
		if before == 0 {
			fields := []zap.Field{adapter, zap.Error(err)}
			if p := (*panicked)(nil); errors.As(err, &p) {
				fields = append(fields, zap.ByteString("stack", p.stack))
			}
			c.log.Warn("eviction failed; it is tried again", fields...)
		}
	case before > 0:
		m.pause = 0
		c.log.Info("eviction works again", adapter, zap.Int("failures", before))
	}
}
