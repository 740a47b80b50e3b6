package tier

import (
	"sync"
	"sync/atomic"

	"github.com/sixcall/sixcall/bridge/kv"
)

// EventKind says what happened to keys.
type EventKind string

// The kinds of events.
const (
	Stored   EventKind = "stored"
	Accessed EventKind = "accessed" // loaded; a lookup alone is no access
	Deleted  EventKind = "deleted"
)

// Event tells where values are. One operation of one member makes one event.
type Event struct {
	Kind EventKind
	Keys []kv.Key
	// Sizes has, for Stored, what each key added to the member's usage, in bytes:
	// 0 when it was stored before. nil for the other kinds.
	Sizes []int64
	// MemberID and Member name the member, Index is its place among the live
	// ones, 0 = asked first; -1 when it is being removed.
	MemberID int
	Member   string
	Index    int
	// Shared says that other hosts use the same backend.
	Shared bool
}

// feed is the bounded queue of events. Safe for concurrent use.
type feed struct {
	dropped atomic.Int64

	mu     sync.Mutex // guards closing against sends
	queue  chan Event // nil: no events
	closed bool
}

func newFeed(size int) *feed {
	f := &feed{}
	if size > 0 {
		f.queue = make(chan Event, size)
	}
	return f
}

// post queues an event or drops it. It never waits.
func (f *feed) post(e Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	select {
	case f.queue <- e:
	default:
		f.dropped.Add(1)
	}
}

func (f *feed) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	if f.queue != nil {
		close(f.queue)
	}
}

// Events returns the channel of residency events, which Close closes; nil when
// Options.EventBuffer is 0. The events of one member come in the order of its
// books. When nobody reads, events are dropped and counted in [Status], never
// waited for; a reader that missed some has to ask anew. Only members that are
// a [Reporter] have events.
func (t *Tier) Events() <-chan Event { return t.events.queue }

// listen makes a member report to the feed.
func (t *Tier) listen(m *member) {
	if r, ok := m.Member.(Reporter); ok && t.events.queue != nil {
		r.RegisterListener(listener{t, m})
	}
}

// listener turns what one member reports into events.
type listener struct {
	t *Tier
	m *member
}

// KeysStored implements [l2.Listener].
func (l listener) KeysStored(keys []kv.Key, sizes []int64) { l.post(Stored, keys, sizes) }

// KeysAccessed implements [l2.Listener].
func (l listener) KeysAccessed(keys []kv.Key) { l.post(Accessed, keys, nil) }

// KeysDeleted implements [l2.Listener].
func (l listener) KeysDeleted(keys []kv.Key) { l.post(Deleted, keys, nil) }

func (l listener) post(kind EventKind, keys []kv.Key, sizes []int64) {
	l.t.events.post(Event{
		Kind: kind, Keys: keys, Sizes: sizes,
		MemberID: l.m.id, Member: l.m.name, Index: l.t.index(l.m), Shared: l.m.opts.Shared,
	})
}

// index is a member's place among the live ones, or -1.
func (t *Tier) index(m *member) int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	i := 0
	for _, other := range t.members {
		switch {
		case other == m && m.state == Live:
			return i
		case other.state == Live:
			i++
		}
	}
	return -1
}
