package eviction

import "go.uber.org/zap"

// Trigger says what made a pass evict.
type Trigger string

// The triggers.
const (
	TriggerWatermark Trigger = "watermark" // of the capacity
	TriggerQuota     Trigger = "quota"     // of a salt
	TriggerRoom      Trigger = "room"      // MakeRoom
)

// Evicted is what one pass did to one adapter. It counts keys that are really
// gone, whether the pass found them or they were gone before it.
type Evicted struct {
	Adapter   string
	Trigger   Trigger
	Requested int
	Removed   int
	// Bytes and PerSalt (keys) are those of the removed keys. They lack keys that
	// an adapter removed beside others that it did not, without an event.
	Bytes   int64
	PerSalt map[string]int
}

// add adds one delete.
func (e *Evicted) add(batch, gone []Victim, removed int) {
	e.Requested += len(batch)
	e.Removed += removed
	if e.PerSalt == nil {
		e.PerSalt = map[string]int{}
	}
	for _, v := range gone {
		e.Bytes += v.Size
		e.PerSalt[v.Key.Salt]++
	}
}

// tell reports a pass that tried to remove keys. No lock is held.
func (c *Controller) tell(m *member, e Evicted) {
	if e.Requested == 0 || c.opts.OnEvicted == nil {
		return
	}
	e.Adapter = m.id
	if err := m.guard("OnEvicted", func() error { c.opts.OnEvicted(e); return nil }); err != nil {
		c.log.Error("callback panicked", zap.String("adapter", m.id), zap.Error(err))
	}
}

// Stats counts what happened to one adapter.
type Stats struct {
	Passes    int64 // looks at its usage
	Paused    int64 // cycles that it sat out because it failed before
	Triggered int64 // passes, and rounds of MakeRoom, that wanted to evict
	Starved   int64 // of those, with no key to take
	Requested int64 // keys
	Removed   int64 // keys that were removed, or gone already
	Bytes     int64 // of removed keys
	Pinned    int64 // keys that were not removed because a lookup holds them
	Failed    int64 // keys that were not removed otherwise
	Busy      int64 // passes that ended because the adapter was busy
	Errors    int64 // passes that failed
	Panics    int64 // of the adapter and of callbacks
	Failures  int   // passes in a row that failed, up to now
	Tracked   int   // keys that could be evicted
	Penalized int   // of those, skipped for now
	LastError string
}

// Stats returns a snapshot of an adapter's counters; false for an unknown id.
func (c *Controller) Stats(id string) (Stats, bool) {
	m, err := c.find(id, false)
	if err != nil {
		return Stats{}, false
	}
	return m.snapshot(), true
}

func (m *member) snapshot() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.stats
	if m.policy != nil {
		s.Tracked = m.policy.Len()
	}
	s.Penalized = m.penalties.active()
	return s
}

// Status reports health and counters, as a host shows them. It is healthy while
// it is not closed and no adapter fails.
func (c *Controller) Status() map[string]any {
	c.mu.Lock()
	healthy := !c.closed
	members := append([]*member(nil), c.members...)
	c.mu.Unlock()
	adapters := make(map[string]any, len(members))
	for _, m := range members {
		s := m.snapshot()
		healthy = healthy && s.Failures == 0
		adapters[m.id] = map[string]any{
			"is_healthy":        s.Failures == 0,
			"enabled":           m.off == "",
			"reason":            m.off,
			"eviction_policy":   m.config.Policy,
			"trigger_watermark": m.config.TriggerWatermark,
			"eviction_ratio":    m.config.EvictionRatio,
			"tracked_keys":      s.Tracked,
			"penalized_keys":    s.Penalized,
			"passes":            s.Passes,
			"paused":            s.Paused,
			"triggered":         s.Triggered,
			"starved":           s.Starved,
			"requested_keys":    s.Requested,
			"removed_keys":      s.Removed,
			"removed_bytes":     s.Bytes,
			"pinned_keys":       s.Pinned,
			"failed_keys":       s.Failed,
			"busy":              s.Busy,
			"errors":            s.Errors,
			"panics":            s.Panics,
			"failures_in_a_row": s.Failures,
			"last_error":        s.LastError,
		}
	}
	return map[string]any{
		"is_healthy": healthy,
		"period_ms":  c.opts.Period.Milliseconds(),
		"cycles":     c.cycles.Load(),
		"adapters":   adapters,
	}
}
