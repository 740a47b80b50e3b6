package eviction

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/bridge/kv"
)

// Target is what eviction needs of an adapter; every [l2.Adapter] is one. Safe
// for concurrent use. Delete and Usage may fail and may panic.
type Target interface {
	// Usage returns a detached snapshot.
	Usage() kv.Usage
	// Delete removes keys and waits for the backend.
	Delete(ctx context.Context, keys []kv.Key) (kv.DeleteResult, error)
	// RegisterListener adds a listener, for good.
	RegisterListener(l l2.Listener)
	// SupportsGlobalEviction reports whether a capacity is set.
	SupportsGlobalEviction() bool
}

var _ Target = l2.Adapter(nil)

// describer is implemented by targets that know what their connector can do.
type describer interface{ Info() kv.Info }

// Controller evicts keys from adapters. Safe for concurrent use, but not from a
// [l2.Listener], whose goroutine a pass may wait for.
//
// A pass is one look at one adapter with what follows from it. There is one at a
// time per adapter.
type Controller struct {
	opts Options
	log  *zap.Logger

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup
	cycles atomic.Int64

	mu      sync.Mutex // guards what follows; a leaf
	members []*member  // in the order of Add
	closed  bool
}

// NewController starts a controller without adapters.
func NewController(opts Options) (*Controller, error) {
	if err := opts.Validate(); err != nil {
		return nil, &kv.Error{Op: "eviction", Code: kv.Invalid, Err: err}
	}
	opts = opts.withDefaults()
	c := &Controller{opts: opts, log: opts.Logger}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	if opts.Period > 0 {
		c.wg.Go(c.run)
	}
	return c, nil
}

func (c *Controller) run() {
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-c.opts.Clock.After(c.opts.Period):
		}
		_ = c.Cycle(c.ctx) // counted and logged by the passes
	}
}

// Add starts eviction from an adapter, under an id of the caller's choice. What
// was stored before is not known and not evicted, so Add comes before traffic.
//
// A policy that needs a capacity, on an adapter without one, is skipped with a
// warning: the adapter is in Status, and nothing is evicted.
//
// Errors: [kv.Invalid] (the config, an id in use, IsolatedLRU without
// Options.Quotas), [kv.Unsupported] (the adapter cannot delete), [kv.Closed].
func (c *Controller) Add(id string, target Target, config Config) error {
	if err := config.Validate(); err != nil {
		return named(id, err)
	}
	policy, err := New(config.Policy)
	if err != nil {
		return named(id, err)
	}
	m := newMember(id, target, config, policy, c.opts.DeleteBatch)
	if err := m.guard("add", func() (err error) { m.off, err = c.judge(target, policy); return err }); err != nil {
		return named(id, err)
	}
	if err := c.insert(m); err != nil {
		return named(id, err)
	}
	if m.off != "" {
		if m.off == offNoCapacity {
			c.log.Warn("eviction is off: its policy needs a capacity, and the adapter has none",
				zap.String("adapter", id), zap.String("eviction_policy", config.Policy))
		}
		return nil
	}
	if err := m.guard("register a listener", func() error { target.RegisterListener(listener{m}); return nil }); err != nil {
		_ = c.Remove(id)
		return named(id, err)
	}
	return nil
}

// Reasons why an adapter is not evicted from.
const (
	offNoop       = "the policy is noop"
	offNoCapacity = "the adapter has no capacity"
)

// judge says whether a policy can work on a target: not at all (err), it needs
// not (off), or it can.
func (c *Controller) judge(target Target, policy Policy) (off string, err error) {
	if _, ok := policy.(Noop); ok {
		return offNoop, nil
	}
	if d, ok := target.(describer); ok && !d.Info().Caps.Has(kv.CapDelete) {
		return "", &kv.Error{Op: "eviction", Code: kv.Unsupported,
			Err: fmt.Errorf("connector %s has no submit_batch_delete; leave eviction out or use %q", d.Info().Name, PolicyNoop)}
	}
	if _, ok := policy.(SaltPolicy); ok {
		if c.opts.Quotas == nil {
			return "", &kv.Error{Op: "eviction", Code: kv.Invalid,
				Err: errors.New("IsolatedLRU goes by quotas, and Options.Quotas is nil")}
		}
		return "", nil
	}
	if !target.SupportsGlobalEviction() {
		return offNoCapacity, nil
	}
	return "", nil
}

func (c *Controller) insert(m *member) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return &kv.Error{Op: "eviction", Code: kv.Closed}
	}
	if c.index(m.id) >= 0 {
		return &kv.Error{Op: "eviction", Code: kv.Invalid, Err: errors.New("the id is in use")}
	}
	c.members = append(c.members, m)
	return nil
}

// index returns the place of an id in members, or -1. mu is held.
func (c *Controller) index(id string) int {
	return slices.IndexFunc(c.members, func(m *member) bool { return m.id == id })
}

// find returns the member with an id, or an error; take says to remove it.
func (c *Controller) find(id string, take bool) (*member, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, &kv.Error{Op: "eviction", Connector: id, Code: kv.Closed}
	}
	i := c.index(id)
	if i < 0 {
		return nil, &kv.Error{Op: "eviction", Connector: id, Code: kv.Invalid, Err: errors.New("no adapter has this id")}
	}
	m := c.members[i]
	if take {
		c.members = slices.Delete(c.members, i, i+1)
	}
	return m, nil
}

// Remove ends eviction from an adapter and returns when no pass of it runs any
// more; then the adapter may be closed. An unknown id is [kv.Invalid].
func (c *Controller) Remove(id string) error {
	m, err := c.find(id, true)
	if err != nil {
		return err
	}
	m.detach()
	return nil
}

// Cycle makes one pass over each adapter, in the order of Add, and returns what
// went wrong, or nil. The adapters are named in the errors; one that fails does not
// keep the others from their pass. It is [kv.Closed] after Close.
func (c *Controller) Cycle(ctx context.Context) error {
	c.mu.Lock()
	closed, members := c.closed, slices.Clone(c.members)
	c.mu.Unlock()
	if closed {
		return &kv.Error{Op: "eviction", Code: kv.Closed}
	}
	ctx, stop := c.merge(ctx)
	defer stop()
	c.cycles.Add(1)
	var errs []error
	for _, m := range members {
		if m.off == "" {
			errs = append(errs, c.look(ctx, m))
		}
	}
	return errors.Join(errs...)
}

// merge returns a context that also ends with the controller.
func (c *Controller) merge(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(c.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}

// Close ends passes, removes all adapters and returns when nothing runs any more.
// A pass ends as soon as the adapter's Delete returns, whose context is cancelled.
// Further calls do nothing.
func (c *Controller) Close() {
	c.mu.Lock()
	c.closed = true
	members := c.members
	c.members = nil
	c.mu.Unlock()
	c.cancel()
	c.wg.Wait()
	for _, m := range members {
		m.detach()
	}
}

// named puts the id of an adapter into an error.
func named(id string, err error) error {
	code := kv.Internal
	var e *kv.Error
	switch {
	case errors.As(err, &e):
		if e.Connector == "" && e.Op == "eviction" {
			return &kv.Error{Op: e.Op, Connector: id, Code: e.Code, Err: e.Err}
		}
		code = e.Code
	case errors.As(err, &code):
	case errors.Is(err, context.Canceled):
		code = kv.Cancelled
	case errors.Is(err, context.DeadlineExceeded):
		code = kv.Timeout
	}
	return &kv.Error{Op: "eviction", Connector: id, Code: code, Err: err}
}
