package storage

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/engine"
)

// The names of the built-in backends. Plugins cannot have them.
const (
	NameLocalCPU  = "LocalCPUBackend"
	NameLocalDisk = "LocalDiskBackend"
	NameRemote    = "RemoteBackend"
	NameNixl      = "NixlStorageBackend"
	NameP2P       = "P2PBackend"
)

// reserved are those and LMCache's others.
var reserved = map[string]bool{
	NameLocalCPU: true, NameLocalDisk: true, NameRemote: true, NameNixl: true, NameP2P: true,
	"PDBackend": true, "GdsBackend": true, "MaruBackend": true,
}

// CPU keeps chunks in memory, and is where all others get theirs from. Safe for
// concurrent use.
type CPU struct {
	pool *engine.Pool

	mu      sync.Mutex // guards what follows
	hot     bool
	closed  bool
	objs    map[engine.Key]*engine.Object
	policy  policy
	touched []engine.Key // since the last Touch
}

var (
	_ Backend        = (*CPU)(nil)
	_ Allocator      = (*CPU)(nil)
	_ BatchContainer = (*CPU)(nil)
)

// NewCPU returns a backend with capacity bytes of the arena. Without hot it keeps
// nothing and only allocates.
func NewCPU(a *arena.Arena, capacity int64, policyName string, hot bool) (*CPU, error) {
	p, err := newPolicy(policyName)
	if err != nil {
		return nil, err
	}
	if capacity < arena.PageSize {
		return nil, fmt.Errorf("max_local_cpu_size is %d bytes, want %d or more", capacity, arena.PageSize)
	}
	return &CPU{pool: engine.NewPool(a, capacity), hot: hot, objs: map[engine.Key]*engine.Object{}, policy: p}, nil
}

// Pool implements [Allocator].
func (c *CPU) Pool() *engine.Pool { return c.pool }

// Allocate implements [Allocator].
func (c *CPU) Allocate(ctx context.Context, layout engine.Layout, wait bool) (*engine.Object, error) {
	for {
		freed := c.pool.Freed()
		o, err := c.pool.Allocate(layout)
		if err == nil || !errors.Is(err, engine.ErrNoMemory) {
			return o, err
		}
		if c.evict() {
			continue
		}
		if !wait {
			return nil, err
		}
		// An object that its last reader lets go becomes evictable and tells nobody.
		timer := time.NewTimer(10 * time.Millisecond)
		select {
		case <-freed:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, fmt.Errorf("%w: %w", err, context.Cause(ctx))
		}
		timer.Stop()
	}
}

// evict drops one object that nobody uses.
func (c *CPU) evict() bool {
	c.mu.Lock()
	key, ok := c.policy.victim(func(k engine.Key) bool { return c.objs[k].Evictable() })
	var o *engine.Object
	if ok {
		o = c.objs[key]
		c.drop(key)
	}
	c.mu.Unlock()
	o.Release()
	return ok
}

// drop forgets a key. mu is held; the reference is the caller's now.
func (c *CPU) drop(key engine.Key) {
	delete(c.objs, key)
	c.policy.removed(key)
}

// SetHot switches the cache on or off. What it holds when it is switched off is
// let go: nothing would ever evict it.
func (c *CPU) SetHot(hot bool) {
	c.mu.Lock()
	c.hot = hot
	var out []*engine.Object
	if !hot {
		for k, o := range c.objs {
			out = append(out, o)
			c.drop(k)
		}
	}
	c.mu.Unlock()
	for _, o := range out {
		o.Release()
	}
}

// Hot reports whether it keeps chunks.
func (c *CPU) Hot() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hot
}

// Keys returns how many chunks are held.
func (c *CPU) Keys() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.objs)
}

// Contains implements [Backend].
func (c *CPU) Contains(_ context.Context, key engine.Key, pin bool) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.contains(key, pin), nil
}

func (c *CPU) contains(key engine.Key, pin bool) bool {
	o := c.objs[key]
	if o == nil {
		return false
	}
	if pin {
		o.Pin()
		c.touched = append(c.touched, key)
	}
	return true
}

// BatchedContains implements [BatchContainer].
func (c *CPU) BatchedContains(_ context.Context, keys []engine.Key, pin bool) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, k := range keys {
		if !c.contains(k, pin) {
			return i, nil
		}
	}
	return len(keys), nil
}

// InPutTasks implements [Backend]: a put is done when it returns.
func (*CPU) InPutTasks(engine.Key) bool { return false }

// SubmitPut implements [Backend]. Without the hot cache nothing is kept, which is
// not an error.
func (c *CPU) SubmitPut(_ context.Context, keys []engine.Key, objs []*engine.Object, done func(engine.Key, error)) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return errors.New("the CPU backend is closed")
	}
	for i, k := range keys {
		if !c.hot {
			break
		}
		if c.objs[k] != nil {
			c.policy.used(k)
			continue
		}
		c.objs[k] = objs[i].Retain()
		c.policy.added(k)
	}
	c.mu.Unlock()
	if done != nil {
		for _, k := range keys {
			done(k, nil)
		}
	}
	return nil
}

// Get implements [Backend].
func (c *CPU) Get(_ context.Context, key engine.Key) (*engine.Object, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.objs[key]
	if o == nil {
		return nil, nil
	}
	c.policy.used(key)
	return o.Retain(), nil
}

// Touch makes the keys that were pinned since the last call the most recent ones,
// the first of a prompt last: a prefix is worth more than what follows it.
func (c *CPU) Touch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := len(c.touched) - 1; i >= 0; i-- {
		c.policy.used(c.touched[i])
	}
	c.touched = c.touched[:0]
}

// Pin implements [Backend].
func (c *CPU) Pin(key engine.Key) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.objs[key]
	if o != nil {
		o.Pin()
	}
	return o != nil
}

// Unpin implements [Backend].
func (c *CPU) Unpin(key engine.Key) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.objs[key]
	if o != nil {
		o.Unpin()
	}
	return o != nil
}

// Remove implements [Backend].
func (c *CPU) Remove(_ context.Context, key engine.Key, force bool) (bool, error) {
	c.mu.Lock()
	o := c.objs[key]
	if o == nil || !force && o.Pinned() {
		c.mu.Unlock()
		return false, nil
	}
	c.drop(key)
	c.mu.Unlock()
	for force && o.Pinned() {
		o.Unpin()
	}
	o.Release()
	return true, nil
}

// Clear implements [Clearer]: it removes what nobody uses.
func (c *CPU) Clear(context.Context) (tokens int, err error) {
	c.mu.Lock()
	var out []*engine.Object
	for k, o := range c.objs {
		if o.Evictable() {
			tokens += o.Tokens()
			out = append(out, o)
			c.drop(k)
		}
	}
	c.mu.Unlock()
	for _, o := range out {
		o.Release()
	}
	return tokens, nil
}

// Close implements [Backend].
func (c *CPU) Close() error {
	c.SetHot(false)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	return nil
}
