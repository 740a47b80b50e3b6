package bridgetest

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge/eventfd"
	"github.com/sixcall/sixcall/bridge/kv"
)

// Null is a connector that has every key and moves no bytes: what a benchmark
// over it measures is the bridge. It does not allocate in steady state.
type Null struct {
	event *eventfd.Event
	mu    sync.Mutex // guards queue
	queue []kv.Completion
}

// NewNull returns a connector that its bridge closes.
func NewNull(t testing.TB) *Null {
	t.Helper()
	event, err := eventfd.New()
	require.NoError(t, err)
	return &Null{event: event}
}

// Info implements [kv.Connector].
func (*Null) Info() kv.Info { return kv.Info{Name: "null", Version: "1.0.0", Caps: kv.CapDelete} }

// EventFD implements [kv.Connector].
func (n *Null) EventFD() int { return n.event.FD() }

// Submit implements [kv.Connector].
func (n *Null) Submit(b *kv.Batch) error {
	for i := range b.Status {
		b.Status[i] = kv.StatusHit
	}
	n.mu.Lock()
	n.queue = append(n.queue, kv.Completion{Ticket: b.Ticket, Op: b.Op, NOK: uint32(len(b.Status))})
	first := len(n.queue) == 1
	n.mu.Unlock()
	if first {
		n.event.Signal()
	}
	return nil
}

// Drain implements [kv.Connector].
func (n *Null) Drain(dst []kv.Completion) (int, error) {
	n.event.Clear()
	n.mu.Lock()
	defer n.mu.Unlock()
	taken := copy(dst, n.queue)
	n.queue = n.queue[:copy(n.queue, n.queue[taken:])]
	if len(n.queue) > 0 {
		n.event.Signal()
	}
	return taken, nil
}

// Close implements [kv.Connector].
func (n *Null) Close(time.Duration) error {
	n.event.Close()
	return nil
}
