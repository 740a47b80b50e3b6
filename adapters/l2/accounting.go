package l2

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"go.uber.org/zap"

	"github.com/sixcall/sixcall/bridge/kv"
)

// Accounting keeps what an adapter holds, in bytes and per salt, and tells
// listeners about it. An adapter accounts an operation before it publishes the
// result, and under the mutex that orders its operations: no call waits for a
// listener.
//
// Listeners run one after the other, in the order of the accounting calls, on a
// goroutine of their own. They may use the adapter, but not close it. A panic is
// caught, logged and counted. Safe for concurrent use.
type Accounting struct {
	capacity int64
	log      *zap.Logger

	mu     sync.Mutex // guards what follows
	total  int64      // the sum of salts
	salts  map[string]int64
	queue  []notice
	wake   *sync.Cond
	closed bool
	panics int64
	// listeners only grows; the first one starts the goroutine.
	listeners []Listener
	running   sync.WaitGroup
}

// notice is one call of the listeners that were there when it was made.
type notice struct {
	call      func(Listener)
	listeners []Listener
}

// NewAccounting returns empty books. capacityBytes is what the adapter declares,
// 0 = unknown or unlimited; it bounds nothing here. log may be nil.
func NewAccounting(capacityBytes int64, log *zap.Logger) *Accounting {
	if log == nil {
		log = zap.NewNop()
	}
	a := &Accounting{capacity: capacityBytes, log: log, salts: map[string]int64{}}
	a.wake = sync.NewCond(&a.mu)
	return a
}

// Stored adds sizes[i] bytes for keys[i]: 0 when the key was there already, or
// the difference when its size changed. Unequal lengths are [kv.Invalid], and
// nothing changes.
func (a *Accounting) Stored(keys []kv.Key, sizes []int64) error {
	if err := sameLength("stored", keys, sizes); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, key := range keys {
		a.add(key.Salt, sizes[i])
	}
	if a.listened(keys) {
		keys, sizes := slices.Clone(keys), slices.Clone(sizes)
		a.post(func(l Listener) { l.KeysStored(keys, sizes) })
	}
	return nil
}

// Accessed tells that keys were loaded.
func (a *Accounting) Accessed(keys []kv.Key) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.listened(keys) {
		keys := slices.Clone(keys)
		a.post(func(l Listener) { l.KeysAccessed(keys) })
	}
}

// Deleted takes sizes[i] bytes off for keys[i], which are gone. More than a salt
// has is cut to that and logged: the total stays the sum of the salts. Unequal
// lengths are [kv.Invalid], and nothing changes.
func (a *Accounting) Deleted(keys []kv.Key, sizes []int64) error {
	if err := sameLength("deleted", keys, sizes); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	var excess int64
	for i, key := range keys {
		excess += a.add(key.Salt, -sizes[i])
	}
	if excess > 0 {
		a.log.Warn("more bytes were deleted than stored; the excess is ignored", zap.Int64("bytes", excess))
	}
	if a.listened(keys) {
		keys := slices.Clone(keys)
		a.post(func(l Listener) { l.KeysDeleted(keys) })
	}
	return nil
}

func sameLength(what string, keys []kv.Key, sizes []int64) error {
	if len(keys) == len(sizes) {
		return nil
	}
	return &kv.Error{Op: "account", Code: kv.Invalid,
		Err: fmt.Errorf("%d keys %s with %d sizes, want one size per key", len(keys), what, len(sizes))}
}

// add changes the books of one salt and returns how much of delta did not fit
// because it would have led below 0. mu is held.
func (a *Accounting) add(salt string, delta int64) (excess int64) {
	was := a.salts[salt]
	now := max(was+delta, 0)
	a.total += now - was
	if now == 0 {
		delete(a.salts, salt)
	} else {
		a.salts[salt] = now
	}
	return now - (was + delta)
}

// Usage returns a detached snapshot. Keys is 0: the adapter knows how many it
// has.
func (a *Accounting) Usage() kv.Usage {
	a.mu.Lock()
	defer a.mu.Unlock()
	return kv.Usage{BytesUsed: a.total, BytesCapacity: a.capacity, BytesBySalt: maps.Clone(a.salts)}
}

// SupportsGlobalEviction reports whether a capacity is declared.
func (a *Accounting) SupportsGlobalEviction() bool { return a.capacity > 0 }

// ListenerPanics returns how many calls of listeners panicked.
func (a *Accounting) ListenerPanics() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.panics
}

// RegisterListener adds a listener, which hears of what is accounted from now
// on. It does nothing after Close.
func (a *Accounting) RegisterListener(l Listener) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return
	}
	if len(a.listeners) == 0 {
		a.running.Go(a.run)
	}
	a.listeners = append(a.listeners, l)
}

// Close delivers what is queued and ends the goroutine. Usage still answers.
// Further calls do nothing.
func (a *Accounting) Close() {
	a.mu.Lock()
	a.closed = true
	a.wake.Signal()
	a.mu.Unlock()
	a.running.Wait()
}

// listened reports whether somebody is to hear about keys. mu is held.
func (a *Accounting) listened(keys []kv.Key) bool {
	return len(keys) > 0 && len(a.listeners) > 0 && !a.closed
}

// post queues one call of every listener. mu is held.
func (a *Accounting) post(call func(Listener)) {
	a.queue = append(a.queue, notice{call, slices.Clip(a.listeners)})
	a.wake.Signal()
}

func (a *Accounting) run() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for {
		for len(a.queue) == 0 {
			if a.closed {
				return
			}
			a.wake.Wait()
		}
		queue := a.queue
		a.queue = nil
		a.mu.Unlock()
		panics := int64(0)
		for _, n := range queue {
			for _, l := range n.listeners {
				panics += a.guard(l, n.call)
			}
		}
		a.mu.Lock()
		a.panics += panics
	}
}

// guard calls one listener and returns 1 if it panicked.
func (a *Accounting) guard(l Listener, call func(Listener)) (panicked int64) {
	defer func() {
		if p := recover(); p != nil {
			panicked = 1
			a.log.Error("listener panicked", zap.String("listener", fmt.Sprintf("%T", l)), zap.Any("panic", p), zap.Stack("stack"))
		}
	}()
	call(l)
	return 0
}
