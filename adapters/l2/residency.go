package l2

import (
	"sync/atomic"

	"github.com/sixcall/sixcall/bridge/kv"
)

// ResidencyKind says what happened to a key.
type ResidencyKind uint8

// The kinds of residency events.
const (
	Stored ResidencyKind = iota
	Accessed
	Deleted
)

// String returns the kind in lower case.
func (k ResidencyKind) String() string { return [...]string{"stored", "accessed", "deleted"}[k] }

// ResidencyEvent tells an index, such as a router's, where a key is.
type ResidencyEvent struct {
	Kind ResidencyKind
	Key  kv.Key
	// SizeBytes is what the key added to the usage, for Stored only.
	SizeBytes int64
	Adapter   string
	Tier      int // the adapter's place in its tier
}

// Residency is a [Listener] that sends an event per key to a channel. It never
// blocks: when the channel is full, events are dropped and counted, and the
// reader knows that its index has holes.
type Residency struct {
	adapter string
	tier    int
	events  chan<- ResidencyEvent
	dropped atomic.Int64
}

// NewResidency returns a listener that sends to events, which several adapters
// may share and which nobody closes.
func NewResidency(adapter string, tier int, events chan<- ResidencyEvent) *Residency {
	return &Residency{adapter: adapter, tier: tier, events: events}
}

// Dropped returns how many events found no room.
func (r *Residency) Dropped() int64 { return r.dropped.Load() }

// KeysStored implements [Listener].
func (r *Residency) KeysStored(keys []kv.Key, sizes []int64) {
	for i, key := range keys {
		r.send(ResidencyEvent{Kind: Stored, Key: key, SizeBytes: sizes[i]})
	}
}

// KeysAccessed implements [Listener].
func (r *Residency) KeysAccessed(keys []kv.Key) {
	for _, key := range keys {
		r.send(ResidencyEvent{Kind: Accessed, Key: key})
	}
}

// KeysDeleted implements [Listener].
func (r *Residency) KeysDeleted(keys []kv.Key) {
	for _, key := range keys {
		r.send(ResidencyEvent{Kind: Deleted, Key: key})
	}
}

func (r *Residency) send(e ResidencyEvent) {
	e.Adapter, e.Tier = r.adapter, r.tier
	select {
	case r.events <- e:
	default:
		r.dropped.Add(1)
	}
}
