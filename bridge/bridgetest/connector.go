package bridgetest

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge/eventfd"
	"github.com/sixcall/sixcall/bridge/kv"
)

// Connector is an in-memory [kv.Connector] that completes every batch within
// its Submit, unless it is told otherwise. The fields are set before first use;
// the methods may be used at any time. Safe for concurrent use.
type Connector struct {
	// Hold keeps accepted batches until Release.
	Hold bool
	// NoDelete takes the delete capability away.
	NoDelete bool
	// Limits and ExtraCaps go into Info.
	Limits    kv.Limits
	ExtraCaps kv.Caps
	// OnSubmit may refuse a batch.
	OnSubmit func(b *kv.Batch) error
	// OnComplete may change the status bytes and the record of a batch that was
	// just executed, before it is published.
	OnComplete func(b *kv.Batch, c *kv.Completion)
	// OnDrain may fail a drain.
	OnDrain func() error
	// CloseErr is what Close returns.
	CloseErr error
	// PanicOnClose makes Close panic.
	PanicOnClose bool

	event *eventfd.Event

	mu      sync.Mutex // guards what follows
	values  map[string][]byte
	held    []*kv.Batch
	queue   []kv.Completion
	submits int
	closed  int
}

// NewConnector returns an empty connector. The test fails if it was not closed
// exactly once by the end.
func NewConnector(t testing.TB) *Connector {
	t.Helper()
	event, err := eventfd.New()
	require.NoError(t, err)
	c := &Connector{event: event, values: map[string][]byte{}}
	t.Cleanup(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if !t.Failed() {
			require.Equal(t, 1, c.closed, "the connector is closed exactly once")
		}
		event.Close()
	})
	return c
}

// Info implements [kv.Connector].
func (c *Connector) Info() kv.Info {
	caps := kv.CapDelete | kv.CapReadYourWrites | c.ExtraCaps
	if c.NoDelete {
		caps &^= kv.CapDelete
	}
	return kv.Info{Name: "test", Version: "1.0.0", Vendor: "bridgetest", Caps: caps, Limits: c.Limits}
}

// EventFD implements [kv.Connector].
func (c *Connector) EventFD() int { return c.event.FD() }

// Submit implements [kv.Connector].
func (c *Connector) Submit(b *kv.Batch) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.submits++
	if c.OnSubmit != nil {
		if err := c.OnSubmit(b); err != nil {
			return err
		}
	}
	if c.Hold {
		c.held = append(c.held, b)
		return nil
	}
	c.run(b)
	return nil
}

// run executes a batch and publishes its completion. c.mu is held.
func (c *Connector) run(b *kv.Batch) {
	for i := range b.Len() {
		b.Status[i] = c.one(b, i)
	}
	record := kv.Completion{Ticket: b.Ticket, Op: b.Op, NOK: uint32(bytes.Count(b.Status, []byte{kv.StatusHit}))}
	if c.OnComplete != nil {
		c.OnComplete(b, &record)
	}
	c.publish(record)
}

func (c *Connector) one(b *kv.Batch, i int) byte {
	key := string(b.Key(i))
	value, ok := c.values[key]
	switch b.Op {
	case kv.OpSet:
		c.values[key] = bytes.Clone(b.Bufs[i])
		return kv.StatusHit
	case kv.OpDelete:
		delete(c.values, key)
	case kv.OpGet:
		if ok && len(value) != len(b.Bufs[i]) {
			return kv.StatusSize
		}
		if ok {
			copy(b.Bufs[i], value)
		}
	}
	if !ok {
		return kv.StatusMiss
	}
	return kv.StatusHit
}

func (c *Connector) publish(records ...kv.Completion) {
	c.queue = append(c.queue, records...)
	c.event.Signal()
}

// Publish queues records as they are: unknown tickets, second completions.
func (c *Connector) Publish(records ...kv.Completion) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.publish(records...)
}

// Signal raises the event fd without a completion.
func (c *Connector) Signal() { c.event.Signal() }

// Held returns how many batches wait for Release.
func (c *Connector) Held() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.held)
}

// Release executes the oldest n held batches.
func (c *Connector) Release(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n = min(n, len(c.held))
	for _, b := range c.held[:n] {
		c.run(b)
	}
	c.held = c.held[n:]
}

// ReleaseLast executes the newest held batch.
func (c *Connector) ReleaseLast() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.held); n > 0 {
		c.run(c.held[n-1])
		c.held = c.held[:n-1]
	}
}

// SetHold changes Hold while the connector is in use.
func (c *Connector) SetHold(hold bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Hold = hold
}

// Submits returns how many batches reached the connector.
func (c *Connector) Submits() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.submits
}

// Has reports whether a key is stored.
func (c *Connector) Has(key kv.Key) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.values[key.String()]
	return ok
}

// Forget removes a key behind the bridge's back.
func (c *Connector) Forget(key kv.Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.values, key.String())
}

// Drain implements [kv.Connector].
func (c *Connector) Drain(dst []kv.Completion) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.OnDrain != nil {
		if err := c.OnDrain(); err != nil {
			return 0, err
		}
	}
	c.event.Clear()
	n := copy(dst, c.queue)
	c.queue = c.queue[n:]
	if len(c.queue) > 0 {
		c.event.Signal()
	}
	return n, nil
}

// Close implements [kv.Connector].
func (c *Connector) Close(time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed++
	if c.PanicOnClose {
		panic("close is broken")
	}
	return c.CloseErr
}

// listPage is how many entries a page of List has.
const listPage = 10

// List implements [kv.Lister]; it takes kv.CapList in ExtraCaps to be used.
func (c *Connector) List(_ context.Context, cursor []byte) ([]kv.KeyEntry, []byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	keys := slices.Sorted(maps.Keys(c.values))
	from, _ := slices.BinarySearch(keys, string(cursor))
	var page []kv.KeyEntry
	for _, key := range keys[from:min(from+listPage, len(keys))] {
		page = append(page, kv.KeyEntry{Key: key, Size: int64(len(c.values[key]))})
	}
	if from+listPage >= len(keys) {
		return page, nil, nil
	}
	return page, []byte(keys[from+listPage]), nil
}

// Put stores a value behind the bridge's back.
func (c *Connector) Put(key string, value []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.values[key] = bytes.Clone(value)
}
