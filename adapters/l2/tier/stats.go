package tier

import (
	"context"
	"errors"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/sixcall/sixcall/bridge/kv"
)

// class is a kind of call, each of which has its own record of failures: a
// member that stores well and loads nothing is not healthy.
type class int

const (
	classLookup class = iota
	classLoad
	classStore
	classDelete
	classes // how many there are
)

// unhealthyAfter is how many calls of a class must fail in a row for the tier to
// call the member unhealthy.
const unhealthyAfter = 3

type tierStats struct {
	prefetches, prefetchesFailed atomic.Int64
	stores, storing              atomic.Int64
	cells, found, hits, noMemory atomic.Int64
}

// prefetched counts a prefetch that was answered.
func (s *tierStats) prefetched(r *Result, g *grid) {
	s.prefetches.Add(1)
	s.cells.Add(int64(g.cells()))
	for i := range r.Hit {
		s.found.Add(int64(r.Found[i].Count()))
		s.hits.Add(int64(r.Hit[i].Count()))
	}
}

// memberStats are the counters of one member.
type memberStats struct {
	lookups, keysAsked, keysFound          atomic.Int64
	loads, keysPlanned, keysLoaded         atomic.Int64
	bytesLoaded                            atomic.Int64
	stores, storesFailed, storesDropped    atomic.Int64
	keysStored, bytesStored, bytesDropped  atomic.Int64
	lookupsFailed, loadsFailed, unanswered atomic.Int64
	deletesFailed                          atomic.Int64
	// strays counts calls that are running though nobody waits for them.
	strays atomic.Int64

	inARow    [classes]atomic.Int64 // failures since the last success
	lastError atomic.Pointer[string]
}

func (s *memberStats) lookup(r *MemberResult, keys int) {
	s.lookups.Add(1)
	s.keysAsked.Add(int64(keys))
	s.keysFound.Add(int64(r.Found))
}

func (s *memberStats) load(r *MemberResult, bytes int64) {
	s.loads.Add(1)
	s.keysPlanned.Add(int64(r.Planned))
	s.keysLoaded.Add(int64(r.Loaded))
	s.bytesLoaded.Add(bytes)
}

func (s *memberStats) store(answer *stored, g *task) {
	s.stores.Add(1)
	s.keysStored.Add(int64(answer.bits.Count()))
	for _, v := range kv.Gather(&answer.bits, g.values) {
		s.bytesStored.Add(int64(len(v)))
	}
}

// healthy reports whether no class of calls keeps failing.
func (s *memberStats) healthy() bool {
	for i := range s.inARow {
		if s.inARow[i].Load() >= unhealthyAfter {
			return false
		}
	}
	return true
}

// watch notes how a call of a member ended. What the host ended, and a member
// that is busy, say nothing about its health.
func (t *Tier) watch(run context.Context, m *member, c class, err error) {
	s := &m.stats
	if err == nil {
		if s.inARow[c].Swap(0) >= unhealthyAfter {
			t.log.Info("member answers again", zap.String("member", m.name))
		}
		return
	}
	if run.Err() != nil || errors.Is(err, kv.Busy) {
		return
	}
	failed := [classes]*atomic.Int64{&s.lookupsFailed, &s.loadsFailed, &s.storesFailed, &s.deletesFailed}
	failed[c].Add(1)
	if errors.Is(err, kv.Timeout) {
		s.unanswered.Add(1)
	}
	text := err.Error()
	s.lastError.Store(&text)
	if s.inARow[c].Add(1) == unhealthyAfter {
		t.log.Warn("member keeps failing", zap.String("member", m.name), zap.Error(err))
	}
}
