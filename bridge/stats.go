package bridge

import (
	"sync/atomic"
	"time"
)

// ClassStats counts the tasks of one class.
type ClassStats struct {
	Submitted int64
	Done      int64
	Failed    int64
	Deadline  int64
	Cancelled int64
	Closed    int64
	Dropped   int64 // while the breaker was open
	// Latency is the sum over finished tasks, from submit to answer.
	Latency time.Duration
}

// Misbehaviour counts what a connector did against its contract. Each of these
// is survived; the key in question is a miss.
type Misbehaviour struct {
	UnknownTickets    int64 // completions for a ticket that was never given out
	DoubleCompletions int64
	BadStatus         int64 // status bytes left unset, or of no known value
	WrongOps          int64 // completions that name another operation
	DrainErrors       int64
}

// Stats is a snapshot of a bridge's counters.
type Stats struct {
	Classes      map[string]ClassStats
	InFlight     int   // batches that the connector or the backlog has
	Backlog      int   // of those, refused as busy and waiting for another try
	Quarantined  int64 // batches answered early whose memory is still lent
	Late         int64 // tasks that completed after their answer
	Busy         int64 // submits that the connector refused as busy
	KeyFailures  int64 // keys that failed, misses not counted
	Capacity     int64 // stores refused because of MaxCapacityBytes
	Cleanups     int64 // deletes after failed, late or corrupt values
	Corrupt      int64 // values that failed their checksum
	Pins         int64
	Hidden       int64 // keys that are not served because a store of them failed
	CopiedBytes  int64 // through staging buffers
	Panics       int64 // of listeners
	Misbehaviour Misbehaviour
	// Errors counts failures of tasks and keys by class and code.
	Errors    map[ErrorCount]ErrorStat
	LastError string
}

type counters struct {
	submitted [kinds]atomic.Int64
	outcomes  [kinds][outcomes]atomic.Int64
	latency   [kinds]atomic.Int64 // ns

	quarantined, late, busy, keyFailures, capacityRefused atomic.Int64
	cleanups, copiedBytes, listenerPanics, corrupt        atomic.Int64
	unknownTickets, doubleCompletions, badStatus          atomic.Int64
	wrongOps, drainErrors                                 atomic.Int64
	drainAgain                                            atomic.Bool
}

func (c *counters) finished(r *Result, ns int64) {
	c.outcomes[r.Kind][r.Outcome].Add(1)
	c.latency[r.Kind].Add(ns)
}

// InFlight returns how many batches are pending.
func (b *Bridge) InFlight() int {
	b.slotMu.Lock()
	defer b.slotMu.Unlock()
	return b.flying
}

// Stats returns a snapshot of the counters.
func (b *Bridge) Stats() Stats {
	c := &b.stats
	s := Stats{
		Classes:     map[string]ClassStats{},
		Quarantined: c.quarantined.Load(), Late: c.late.Load(), Busy: c.busy.Load(),
		KeyFailures: c.keyFailures.Load(), Capacity: c.capacityRefused.Load(),
		Cleanups: c.cleanups.Load(), Corrupt: c.corrupt.Load(), CopiedBytes: c.copiedBytes.Load(), Panics: c.listenerPanics.Load(),
		Misbehaviour: Misbehaviour{
			UnknownTickets: c.unknownTickets.Load(), DoubleCompletions: c.doubleCompletions.Load(),
			BadStatus: c.badStatus.Load(), WrongOps: c.wrongOps.Load(), DrainErrors: c.drainErrors.Load(),
		},
	}
	for k := range kinds {
		o := &c.outcomes[k]
		s.Classes[k.String()] = ClassStats{
			Submitted: c.submitted[k].Load(), Done: o[Done].Load(), Failed: o[Failed].Load(),
			Deadline: o[Deadline].Load(), Cancelled: o[Cancelled].Load(), Closed: o[Closed].Load(), Dropped: o[Dropped].Load(),
			Latency: time.Duration(c.latency[k].Load()),
		}
	}
	b.slotMu.Lock()
	s.InFlight, s.Backlog = b.flying, len(b.backlog)
	b.slotMu.Unlock()
	b.index.mu.Lock()
	s.Pins, s.Hidden = b.index.pins, b.index.tainted
	b.index.mu.Unlock()
	s.Errors, s.LastError = b.errors.snapshot()
	return s
}
