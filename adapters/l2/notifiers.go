package l2

import (
	"github.com/sixcall/sixcall/bridge"
	"github.com/sixcall/sixcall/bridge/eventfd"
	"github.com/sixcall/sixcall/bridge/kv"
)

// Notifiers are the three event fds of an adapter. Safe for concurrent use.
type Notifiers struct {
	store, lookup, load *eventfd.Event
}

// NewNotifiers returns three silent event fds.
func NewNotifiers() (*Notifiers, error) {
	n := &Notifiers{}
	for _, event := range []**eventfd.Event{&n.store, &n.lookup, &n.load} {
		var err error
		if *event, err = eventfd.New(); err != nil {
			n.Close()
			return nil, &kv.Error{Op: "create", Code: kv.Internal, Err: err}
		}
	}
	return n, nil
}

// StoreEventFD returns the descriptor of [Adapter].StoreEventFD.
func (n *Notifiers) StoreEventFD() int { return n.store.FD() }

// LookupAndLockEventFD returns the descriptor of [Adapter].LookupAndLockEventFD.
func (n *Notifiers) LookupAndLockEventFD() int { return n.lookup.FD() }

// LoadEventFD returns the descriptor of [Adapter].LoadEventFD.
func (n *Notifiers) LoadEventFD() int { return n.load.FD() }

// Signal tells the host that a task of the kind has its result, which must be
// there before. It does nothing after Close, and for deletes, which have no fd.
func (n *Notifiers) Signal(kind bridge.Kind) {
	switch kind {
	case bridge.Store:
		n.store.Signal()
	case bridge.Lookup:
		n.lookup.Signal()
	case bridge.Load:
		n.load.Signal()
	}
}

// Close gives the descriptors back; they are -1 from now on. Further calls do
// nothing.
func (n *Notifiers) Close() {
	for _, event := range []*eventfd.Event{n.store, n.lookup, n.load} {
		if event != nil {
			event.Close()
		}
	}
}
