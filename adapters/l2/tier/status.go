package tier

import (
	"slices"

	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/kv"
)

// Status is a snapshot of a tier. The names in JSON are LMCache's where it has
// the number.
type Status struct {
	// Healthy is true when the tier is open and every member is healthy.
	Healthy bool `json:"is_healthy"`

	Prefetching  int   `json:"num_inflight_l2_loads"`  // prefetches that are served
	Queued       int   `json:"queued_prefetches"`      // and those that wait for their turn
	Storing      int   `json:"num_inflight_l2_stores"` // stores of the host
	LoadBytes    int64 `json:"inflight_load_memory_usage_bytes"`
	WaitForBytes int   `json:"prefetches_waiting_for_bytes"`

	Prefetches       int64 `json:"prefetches"`        // answered
	PrefetchesFailed int64 `json:"prefetches_failed"` // failed as a whole
	Cells            int64 `json:"cells"`             // asked for by those that were answered
	CellsFound       int64 `json:"cells_found"`
	CellsHit         int64 `json:"cells_hit"`
	NoMemory         int64 `json:"no_memory"` // prefetches or cells that the arena had no room for
	Stores           int64 `json:"stores"`
	EventsDropped    int64 `json:"events_dropped"`

	Arena   arena.Stats    `json:"arena"`
	Members []MemberStatus `json:"members"` // in order
}

// MemberStatus is a snapshot of one member.
type MemberStatus struct {
	ID    int    `json:"id"`
	Name  string `json:"name"`
	State State  `json:"state"`
	// Healthy is what the member says of itself, and false as well while one
	// class of its calls keeps failing.
	Healthy   bool   `json:"is_healthy"`
	LastError string `json:"last_error"`
	ReadOnly  bool   `json:"read_only"`
	// ZeroCopy is false when the member has another arena and copies values.
	ZeroCopy bool `json:"zero_copy"`
	// InFlight counts uses: calls that run, and requests that hold pins.
	InFlight int `json:"in_flight"`
	// Strays are calls that run though nobody waits for them any more.
	Strays     int64 `json:"strays"`
	StoreBytes int64 `json:"inflight_store_bytes"`

	Lookups       int64 `json:"lookups"`
	LookupsFailed int64 `json:"lookups_failed"`
	KeysAsked     int64 `json:"keys_asked"`
	KeysFound     int64 `json:"keys_found"`
	Loads         int64 `json:"loads"`
	LoadsFailed   int64 `json:"loads_failed"`
	KeysPlanned   int64 `json:"keys_planned"`
	KeysLoaded    int64 `json:"keys_loaded"`
	BytesLoaded   int64 `json:"bytes_loaded"`
	Stores        int64 `json:"stores"` // tasks
	StoresFailed  int64 `json:"stores_failed"`
	StoresDropped int64 `json:"stores_dropped"` // requests, not tasks
	BytesDropped  int64 `json:"bytes_dropped"`
	KeysStored    int64 `json:"keys_stored"`
	BytesStored   int64 `json:"bytes_stored"`
	DeletesFailed int64 `json:"deletes_failed"`
	Unanswered    int64 `json:"unanswered"` // calls past their deadline

	Usage  kv.Usage       `json:"usage"`
	Detail map[string]any `json:"status"` // the member's own
}

// Status returns a snapshot. It does not wait for a backend.
func (t *Tier) Status() Status {
	t.mu.RLock()
	members, closed := slices.Clone(t.members), t.closed
	states := make([]State, len(members))
	for i, m := range members {
		states[i] = m.state
	}
	t.mu.RUnlock()
	c := &t.stats
	s := Status{
		Healthy: !closed, Storing: int(c.storing.Load()),
		Prefetches: c.prefetches.Load(), PrefetchesFailed: c.prefetchesFailed.Load(),
		Cells: c.cells.Load(), CellsFound: c.found.Load(), CellsHit: c.hits.Load(),
		NoMemory: c.noMemory.Load(), Stores: c.stores.Load(),
		EventsDropped: t.events.dropped.Load(), Arena: t.arena.Stats(),
		Members: make([]MemberStatus, len(members)),
	}
	prefetching, queued := t.slots.level()
	s.Prefetching, s.Queued = int(prefetching), queued
	s.LoadBytes, s.WaitForBytes = t.room.level()
	for i, m := range members {
		s.Members[i] = m.status(states[i])
		s.Healthy = s.Healthy && s.Members[i].Healthy
	}
	return s
}

func (m *member) status(state State) MemberStatus {
	c := &m.stats
	s := MemberStatus{
		ID: m.id, Name: m.name, State: state, ReadOnly: m.opts.ReadOnly, ZeroCopy: m.zeroCopy,
		InFlight: m.uses.count(), Strays: max(c.strays.Load(), 0),
		Lookups: c.lookups.Load(), LookupsFailed: c.lookupsFailed.Load(),
		KeysAsked: c.keysAsked.Load(), KeysFound: c.keysFound.Load(),
		Loads: c.loads.Load(), LoadsFailed: c.loadsFailed.Load(),
		KeysPlanned: c.keysPlanned.Load(), KeysLoaded: c.keysLoaded.Load(), BytesLoaded: c.bytesLoaded.Load(),
		Stores: c.stores.Load(), StoresFailed: c.storesFailed.Load(), StoresDropped: c.storesDropped.Load(),
		BytesDropped: c.bytesDropped.Load(), KeysStored: c.keysStored.Load(), BytesStored: c.bytesStored.Load(),
		DeletesFailed: c.deletesFailed.Load(), Unanswered: c.unanswered.Load(),
		Usage: m.Usage(), Detail: m.Status(),
	}
	s.StoreBytes, _ = m.storeRoom.level()
	if text := c.lastError.Load(); text != nil {
		s.LastError = *text
	}
	said, ok := s.Detail["is_healthy"].(bool)
	s.Healthy = c.healthy() && (said || !ok)
	return s
}
