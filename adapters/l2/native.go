package l2

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/sixcall/sixcall/bridge"
	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/kv"
)

// Options configures a NativeAdapter; see [bridge.Options].
type Options = bridge.Options

// Deadlines is how long tasks of each class may take; see [bridge.Deadlines].
type Deadlines = bridge.Deadlines

// BufferMode says what happens to memory that is not the arena's; see
// [bridge.BufferMode].
type BufferMode = bridge.BufferMode

// BreakerOptions configures the circuit breakers; see [bridge.BreakerOptions].
type BreakerOptions = bridge.BreakerOptions

// IntegrityXXH3 makes values carry a checksum; see [bridge.Integrity].
const IntegrityXXH3 = bridge.IntegrityXXH3

// The buffer modes.
const (
	BuffersCopy   = bridge.BuffersCopy
	BuffersDirect = bridge.BuffersDirect
)

// NativeAdapter is an L2 adapter on a connector: LMCache's
// NativeConnectorL2Adapter. It has both faces, [Adapter] and [Client]. Safe for
// concurrent use.
type NativeAdapter struct {
	bridge *bridge.Bridge

	stores  taskQueue
	lookups taskQueue
	loads   taskQueue

	extraStatus atomic.Pointer[func() map[string]any]

	identity sync.RWMutex // guards what follows
	name     string
	shared   bool
	makeRoom RoomMaker
}

// RoomMaker evicts until bytes more fit below the capacity of an adapter, or
// says why they cannot.
type RoomMaker func(ctx context.Context, bytes int64) error

var (
	_ Adapter = (*NativeAdapter)(nil)
	_ Client  = (*NativeAdapter)(nil)
)

// New returns an adapter on conn, which it owns from now on: Close, or a failed
// New, closes it.
func New(conn kv.Connector, opts Options) (*NativeAdapter, error) {
	a := &NativeAdapter{}
	queues := []*taskQueue{&a.stores, &a.lookups, &a.loads}
	for _, q := range queues {
		if err := q.open(); err != nil {
			for _, q := range queues {
				q.close()
			}
			_ = conn.Close(opts.CloseGrace)
			return nil, &kv.Error{Op: "create", Connector: opts.Name, Code: kv.Internal, Err: err}
		}
	}
	b, err := bridge.New(conn, opts)
	if err != nil {
		for _, q := range queues {
			q.close()
		}
		return nil, err
	}
	a.bridge, a.name = b, b.Name()
	return a, nil
}

// Arena returns the memory that transfers without a copy.
func (a *NativeAdapter) Arena() *arena.Arena { return a.bridge.Arena() }

// Info describes the connector.
func (a *NativeAdapter) Info() kv.Info { return a.bridge.Info() }

// Stats returns a snapshot of the counters.
func (a *NativeAdapter) Stats() bridge.Stats { return a.bridge.Stats() }

// StoreEventFD implements [Adapter].
func (a *NativeAdapter) StoreEventFD() int { return a.stores.event.FD() }

// LookupAndLockEventFD implements [Adapter].
func (a *NativeAdapter) LookupAndLockEventFD() int { return a.lookups.event.FD() }

// LoadEventFD implements [Adapter].
func (a *NativeAdapter) LoadEventFD() int { return a.loads.event.FD() }

// SubmitStoreTask implements [Adapter].
func (a *NativeAdapter) SubmitStoreTask(keys []kv.Key, objects []kv.Buffer) (kv.TaskID, error) {
	return a.bridge.Submit(bridge.Store, keys, objects, &a.stores)
}

// PopCompletedStoreTasks implements [Adapter].
func (a *NativeAdapter) PopCompletedStoreTasks() map[kv.TaskID]kv.StoreResult {
	return a.stores.popAll()
}

// SubmitLookupAndLockTask implements [Adapter].
func (a *NativeAdapter) SubmitLookupAndLockTask(keys []kv.Key, _ map[int64]kv.Layout) (kv.TaskID, error) {
	return a.bridge.Submit(bridge.Lookup, keys, nil, &a.lookups)
}

// QueryLookupAndLockResult implements [Adapter].
func (a *NativeAdapter) QueryLookupAndLockResult(id kv.TaskID) (kv.Bitmap, bool) {
	return a.lookups.pop(id)
}

// Look looks for the completion of a task that was just submitted; see [bridge.Bridge.Look].
func (a *NativeAdapter) Look(kind bridge.Kind) bool { return a.bridge.Look(kind) }

// SubmitUnlock implements [Adapter].
func (a *NativeAdapter) SubmitUnlock(keys []kv.Key) { a.bridge.Unlock(keys) }

// SubmitLoadTask implements [Adapter].
func (a *NativeAdapter) SubmitLoadTask(keys []kv.Key, bufs []kv.Buffer) (kv.TaskID, error) {
	return a.bridge.Submit(bridge.Load, keys, bufs, &a.loads)
}

// QueryLoadResult implements [Adapter].
func (a *NativeAdapter) QueryLoadResult(id kv.TaskID) (kv.Bitmap, bool) {
	return a.loads.pop(id)
}

// Store implements [Client].
func (a *NativeAdapter) Store(ctx context.Context, keys []kv.Key, values []kv.Buffer) (kv.StoreResult, error) {
	r, err := a.store(ctx, keys, values)
	return storeResult(&r), err
}

// StoreKeys is Store with one bit per key, set if it was stored, and the bytes
// that these keys added.
func (a *NativeAdapter) StoreKeys(ctx context.Context, keys []kv.Key, values []kv.Buffer) (stored kv.Bitmap, bytes int64, err error) {
	r, err := a.store(ctx, keys, values)
	return r.Bits, r.Bytes, err
}

func (a *NativeAdapter) store(ctx context.Context, keys []kv.Key, values []kv.Buffer) (bridge.Result, error) {
	r, err := a.bridge.Do(ctx, bridge.Store, keys, values)
	// Other stores may take the room that was made, so try a few times.
	for range roomAttempts {
		if err == nil || !a.roomFor(ctx, err) {
			break
		}
		r, err = a.bridge.Do(ctx, bridge.Store, keys, values)
	}
	return r, err
}

// roomAttempts is how often a store that did not fit makes room.
const roomAttempts = 4

// roomFor makes room for a store that was refused because of the capacity.
func (a *NativeAdapter) roomFor(ctx context.Context, refusal error) bool {
	var full *bridge.CapacityError
	if !errors.As(refusal, &full) {
		return false
	}
	a.identity.RLock()
	makeRoom := a.makeRoom
	a.identity.RUnlock()
	return makeRoom != nil && makeRoom(ctx, full.Need+full.Reserved) == nil
}

// SetRoomMaker makes Store evict, instead of failing, when a value does not fit
// below the capacity. [Adapter.SubmitStoreTask] never waits and still refuses.
func (a *NativeAdapter) SetRoomMaker(f RoomMaker) {
	a.identity.Lock()
	defer a.identity.Unlock()
	a.makeRoom = f
}

// Recover accounts what the connector already holds; see [bridge.Bridge.Recover].
func (a *NativeAdapter) Recover(ctx context.Context) (int, error) { return a.bridge.Recover(ctx) }

// Lookup implements [Client].
func (a *NativeAdapter) Lookup(ctx context.Context, keys []kv.Key) (kv.Bitmap, error) {
	r, err := a.bridge.Do(ctx, bridge.Lookup, keys, nil)
	return r.Bits, err
}

// Unlock implements [Client].
func (a *NativeAdapter) Unlock(keys []kv.Key) { a.bridge.Unlock(keys) }

// Load implements [Client].
func (a *NativeAdapter) Load(ctx context.Context, keys []kv.Key, bufs []kv.Buffer) (kv.Bitmap, error) {
	r, err := a.bridge.Do(ctx, bridge.Load, keys, bufs)
	return r.Bits, err
}

// Delete implements [Adapter] and [Client].
func (a *NativeAdapter) Delete(ctx context.Context, keys []kv.Key) (kv.DeleteResult, error) {
	if len(keys) == 0 || !a.Info().Caps.Has(kv.CapDelete) {
		return kv.DeleteResult{}, nil
	}
	r, err := a.bridge.Do(ctx, bridge.Delete, keys, nil)
	return r.Deleted, err
}

func storeResult(r *bridge.Result) kv.StoreResult {
	if r.Outcome != bridge.Done {
		return kv.StoreResult{}
	}
	return kv.StoreResult{OK: true, Bytes: r.Bytes}
}

// RegisterListener implements [Adapter].
func (a *NativeAdapter) RegisterListener(l Listener) { a.bridge.Listen(l) }

// SetBackendIdentity implements [Adapter].
func (a *NativeAdapter) SetBackendIdentity(name string, shared bool) error {
	if name == "" {
		return &kv.Error{Op: "set backend identity", Connector: a.bridge.Name(), Code: kv.Invalid, Err: errors.New("the name is empty")}
	}
	a.identity.Lock()
	defer a.identity.Unlock()
	a.name, a.shared = name, shared
	return nil
}

// BackendIdentity returns the name and whether several hosts share the backend.
func (a *NativeAdapter) BackendIdentity() (name string, shared bool) {
	a.identity.RLock()
	defer a.identity.RUnlock()
	return a.name, a.shared
}

// SupportsGlobalEviction implements [Adapter].
func (a *NativeAdapter) SupportsGlobalEviction() bool { return a.bridge.Capacity() > 0 }

// Usage implements [Adapter].
func (a *NativeAdapter) Usage() kv.Usage { return a.bridge.Usage() }

// Close implements [Adapter]. The results of tasks that ended with it can still
// be taken.
func (a *NativeAdapter) Close() error {
	err := a.bridge.Close()
	a.stores.close()
	a.lookups.close()
	a.loads.close()
	return err
}
