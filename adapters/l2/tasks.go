package l2

import (
	"fmt"
	"sync"

	"github.com/sixcall/sixcall/bridge"
	"github.com/sixcall/sixcall/bridge/kv"
)

// DefaultMaxTasks is how many tasks a [Tasks] holds at a time unless it is told
// otherwise.
const DefaultMaxTasks = 1024

// Tasks keeps the tasks of an adapter that is written in Go: it checks what is
// submitted, gives out ids, holds results until the host takes them, and signals
// the event fds. Every started task is answered once, at the latest by Close.
//
// The adapter starts a task in its submit method, does the work elsewhere, keeps
// its accounts, and ends the task. Safe for concurrent use.
type Tasks struct {
	events *Notifiers
	limit  int

	mu      sync.Mutex // guards what follows
	closed  bool
	next    kv.TaskID
	running map[kv.TaskID]running
	stores  map[kv.TaskID]kv.StoreResult
	lookups map[kv.TaskID]kv.Bitmap
	loads   map[kv.TaskID]kv.Bitmap
}

// running is a task without a result.
type running struct {
	kind bridge.Kind
	keys int
}

// NewTasks returns an empty table with event fds of its own. limit is how many
// tasks may run at a time, 0 = [DefaultMaxTasks].
func NewTasks(limit int) (*Tasks, error) {
	events, err := NewNotifiers()
	if err != nil {
		return nil, err
	}
	if limit <= 0 {
		limit = DefaultMaxTasks
	}
	return &Tasks{
		events:  events,
		limit:   limit,
		running: map[kv.TaskID]running{},
		stores:  map[kv.TaskID]kv.StoreResult{},
		lookups: map[kv.TaskID]kv.Bitmap{},
		loads:   map[kv.TaskID]kv.Bitmap{},
	}, nil
}

// Notifiers returns the event fds.
func (t *Tasks) Notifiers() *Notifiers { return t.events }

// Start begins a task of kind [bridge.Store], [bridge.Lookup] or [bridge.Load]
// and returns its id. bufs is nil for lookups. Nothing is kept of keys and bufs.
// An empty batch is legal here.
//
// Errors: [kv.Invalid] (unequal lengths, an illegal key), [kv.Busy] (too many
// tasks run), [kv.Closed].
func (t *Tasks) Start(kind bridge.Kind, keys []kv.Key, bufs []kv.Buffer) (kv.TaskID, error) {
	fail := func(code kv.Code, err error) (kv.TaskID, error) {
		return -1, &kv.Error{Op: kind.String(), Code: code, Err: err}
	}
	if kind != bridge.Lookup && len(keys) != len(bufs) {
		return fail(kv.Invalid, fmt.Errorf("%d keys and %d buffers, want one buffer per key", len(keys), len(bufs)))
	}
	for i := range keys {
		if err := keys[i].Validate(); err != nil {
			return fail(kv.Invalid, fmt.Errorf("key %d: %w", i, err))
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.closed:
		return fail(kv.Closed, nil)
	case len(t.running) >= t.limit:
		return fail(kv.Busy, fmt.Errorf("%d tasks run, which is the limit; retry after a completion", t.limit))
	}
	id := t.next
	t.next++
	t.running[id] = running{kind, len(keys)}
	return id, nil
}

// EndStore answers a store task, once its bytes are accounted. An id that does
// not run is ignored: Close has answered it.
func (t *Tasks) EndStore(id kv.TaskID, r kv.StoreResult) {
	t.end(id, bridge.Store, func() { t.stores[id] = r })
}

// EndLookup answers a lookup task; see EndStore.
func (t *Tasks) EndLookup(id kv.TaskID, bits kv.Bitmap) {
	t.end(id, bridge.Lookup, func() { t.lookups[id] = bits })
}

// EndLoad answers a load task; see EndStore. Its buffers are the host's again.
func (t *Tasks) EndLoad(id kv.TaskID, bits kv.Bitmap) {
	t.end(id, bridge.Load, func() { t.loads[id] = bits })
}

// end publishes a result, then signals. Both happen under the mutex, so that
// Close does not take the event fd away between them.
func (t *Tasks) end(id kv.TaskID, kind bridge.Kind, publish func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if task, runs := t.running[id]; !runs || task.kind != kind {
		return
	}
	delete(t.running, id)
	publish()
	t.events.Signal(kind)
}

// PopCompletedStoreTasks is that of [Adapter].
func (t *Tasks) PopCompletedStoreTasks() map[kv.TaskID]kv.StoreResult {
	t.mu.Lock()
	defer t.mu.Unlock()
	done := t.stores
	t.stores = map[kv.TaskID]kv.StoreResult{}
	return done
}

// QueryLookupAndLockResult is that of [Adapter].
func (t *Tasks) QueryLookupAndLockResult(id kv.TaskID) (kv.Bitmap, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	bits, ok := t.lookups[id]
	delete(t.lookups, id)
	return bits, ok
}

// QueryLoadResult is that of [Adapter].
func (t *Tasks) QueryLoadResult(id kv.TaskID) (kv.Bitmap, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	bits, ok := t.loads[id]
	delete(t.loads, id)
	return bits, ok
}

// Running returns how many tasks have no result yet.
func (t *Tasks) Running() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.running)
}

// Closed reports whether Close was called.
func (t *Tasks) Closed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.closed
}

// Close answers every running task as failed and closes the event fds; results
// can still be taken. The adapter stops its own goroutines first: a buffer must
// not be touched after its task was answered. Further calls do nothing.
func (t *Tasks) Close() {
	t.mu.Lock()
	t.closed = true
	for id, task := range t.running {
		switch task.kind {
		case bridge.Store:
			t.stores[id] = kv.StoreResult{}
		case bridge.Lookup:
			t.lookups[id] = kv.NewBitmap(task.keys)
		case bridge.Load:
			t.loads[id] = kv.NewBitmap(task.keys)
		}
		t.events.Signal(task.kind)
	}
	clear(t.running)
	t.mu.Unlock()
	t.events.Close()
}
