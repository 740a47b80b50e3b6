package storage

import (
	"context"

	"github.com/sixcall/sixcall/bridge/engine"
)

// Backend keeps chunks: LMCache's StorageBackendInterface. All methods are called
// from several goroutines at once.
//
// A key that is not there is a result and no error. An error says that the backend
// could not tell; the manager logs it and goes on as if the key were absent.
type Backend interface {
	// Contains reports whether key can be read. pin protects it from eviction
	// until Unpin, where the backend evicts.
	Contains(ctx context.Context, key engine.Key, pin bool) (bool, error)

	// InPutTasks reports whether key is being written.
	InPutTasks(key engine.Key) bool

	// SubmitPut stores objs[i] under keys[i], at once or later. done, which may be
	// nil, is called once per key, with nil after the key was stored. A backend
	// that keeps an object past its return takes a reference of its own. An error
	// means that nothing was accepted, and done is not called.
	SubmitPut(ctx context.Context, keys []engine.Key, objs []*engine.Object, done func(engine.Key, error)) error

	// Get returns the object, with one reference that is the caller's, or nil.
	Get(ctx context.Context, key engine.Key) (*engine.Object, error)

	// Pin and Unpin protect a key from eviction; false if it is not there.
	Pin(key engine.Key) bool
	Unpin(key engine.Key) bool

	// Remove removes key and reports whether it was there. force drops pins;
	// without it a pinned key stays.
	Remove(ctx context.Context, key engine.Key, force bool) (bool, error)

	// Close ends the backend, once.
	Close() error
}

// Allocator makes objects.
type Allocator interface {
	// Allocate returns an object with one reference, the caller's. It evicts if it
	// must. With wait it waits for room until ctx ends, otherwise a full pool is
	// [engine.ErrNoMemory] at once.
	Allocate(ctx context.Context, layout engine.Layout, wait bool) (*engine.Object, error)
	// Pool is the memory behind it, nil if there is none.
	Pool() *engine.Pool
}

// AllocatorProvider is implemented by backends that read into memory of their own.
// All others use the CPU backend's.
type AllocatorProvider interface{ Allocator() Allocator }

// BatchGetter is implemented by backends that read many keys at once. The result
// has one element per key, nil for a miss.
type BatchGetter interface {
	BatchedGet(ctx context.Context, keys []engine.Key) ([]*engine.Object, error)
}

// BatchContainer is implemented by backends that can look many keys up at once.
type BatchContainer interface {
	// BatchedContains returns how many of the leading keys are there.
	BatchedContains(ctx context.Context, keys []engine.Key, pin bool) (int, error)
}

// Toucher is implemented by backends whose order of eviction depends on use.
type Toucher interface{ Touch() }

// Clearer is implemented by backends that can be emptied.
type Clearer interface {
	// Clear removes all that is not in use and returns how many tokens that was.
	Clear(ctx context.Context) (tokens int, err error)
}

// HealthChecker is implemented by backends that can be out of order.
type HealthChecker interface {
	// CheckHealth tries to become healthy again; nil = it is.
	CheckHealth(ctx context.Context) error
}

// getAll reads keys one by one where the backend has no better way.
func getAll(ctx context.Context, b Backend, keys []engine.Key) ([]*engine.Object, error) {
	if g, ok := b.(BatchGetter); ok {
		objs, err := g.BatchedGet(ctx, keys)
		// A backend of a third party may return too few; what is missing is a miss.
		for len(objs) < len(keys) {
			objs = append(objs, nil)
		}
		for _, extra := range objs[len(keys):] {
			extra.Release()
		}
		return objs[:len(keys)], err
	}
	objs := make([]*engine.Object, len(keys))
	var first error
	for i, k := range keys {
		o, err := b.Get(ctx, k)
		if err != nil && first == nil {
			first = err
		}
		objs[i] = o
	}
	return objs, first
}

// leading returns how many of the leading keys the backend has.
func leading(ctx context.Context, b Backend, keys []engine.Key, pin bool) (int, error) {
	if c, ok := b.(BatchContainer); ok {
		n, err := c.BatchedContains(ctx, keys, pin)
		return min(max(n, 0), len(keys)), err
	}
	for i, k := range keys {
		ok, err := b.Contains(ctx, k, pin)
		if err != nil || !ok {
			return i, err
		}
	}
	return len(keys), nil
}
