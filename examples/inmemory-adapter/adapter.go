package inmemory

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/bridge"
	"github.com/sixcall/sixcall/bridge/kv"
)

// maxTasks is how many tasks may run at a time.
const maxTasks = 1024

// Adapter is an [l2.Adapter] in memory. Safe for concurrent use.
type Adapter struct {
	config Config
	memory *memory

	// tasks gives out ids, keeps results and signals the event fds; accounts keep
	// usage and tell listeners. Most of an adapter's methods are theirs.
	tasks    *l2.Tasks
	accounts *l2.Accounting

	// A submit must not do the work itself. It queues it, for one goroutine that
	// does it in order. The queue has room for every task that tasks lets in.
	work    chan func()
	stop    chan struct{}
	workers sync.WaitGroup // that goroutine, and one for each simulated transfer
	closing sync.Once

	mu     sync.Mutex // guards what follows
	name   string
	shared bool
}

var _ l2.Adapter = (*Adapter)(nil)

// New returns an empty adapter. log may be nil.
func New(config Config, log *zap.Logger) (*Adapter, error) {
	if err := config.Validate(); err != nil {
		return nil, &kv.Error{Op: "create", Connector: ClassName, Code: kv.Config, Err: err}
	}
	tasks, err := l2.NewTasks(maxTasks)
	if err != nil {
		return nil, err
	}
	accounts := l2.NewAccounting(config.capacity(), log)
	a := &Adapter{
		config:   config,
		memory:   newMemory(config.capacity(), accounts),
		tasks:    tasks,
		accounts: accounts,
		work:     make(chan func(), maxTasks),
		stop:     make(chan struct{}),
		name:     ClassName,
	}
	a.workers.Go(a.run)
	return a, nil
}

// run is the goroutine that does the work.
func (a *Adapter) run() {
	for {
		select {
		case f := <-a.work:
			f()
		case <-a.stop:
			return
		}
	}
}

// transfer calls end when n bytes that began to move at the given time would be
// through, or never if the adapter is closed before. Transfers overlap.
func (a *Adapter) transfer(began time.Time, n int64, end func()) {
	var rest time.Duration
	if bandwidth := a.config.bandwidth(); bandwidth > 0 {
		rest = time.Duration(float64(n)/bandwidth*float64(time.Second)) - time.Since(began)
	}
	if rest <= 0 {
		end()
		return
	}
	a.workers.Go(func() {
		timer := time.NewTimer(rest)
		defer timer.Stop()
		select {
		case <-timer.C:
			end()
		case <-a.stop:
		}
	})
}

// SubmitStoreTask implements [l2.Adapter]. The task fails when a value does not
// fit beside those that are pinned.
func (a *Adapter) SubmitStoreTask(keys []kv.Key, objects []kv.Buffer) (kv.TaskID, error) {
	id, err := a.tasks.Start(bridge.Store, keys, objects)
	if err != nil {
		return id, err
	}
	keys, objects = slices.Clone(keys), slices.Clone(objects) // the slices are the caller's again, the bytes are lent
	a.work <- func() {
		began := time.Now()
		added, ok := a.memory.store(keys, objects)
		result := kv.StoreResult{OK: ok}
		if ok {
			result.Bytes = added
		}
		a.transfer(began, added, func() { a.tasks.EndStore(id, result) })
	}
	return id, nil
}

// SubmitLookupAndLockTask implements [l2.Adapter].
func (a *Adapter) SubmitLookupAndLockTask(keys []kv.Key, _ map[int64]kv.Layout) (kv.TaskID, error) {
	id, err := a.tasks.Start(bridge.Lookup, keys, nil)
	if err != nil {
		return id, err
	}
	keys = slices.Clone(keys)
	a.work <- func() { a.tasks.EndLookup(id, a.memory.lookup(keys)) }
	return id, nil
}

// SubmitLoadTask implements [l2.Adapter].
func (a *Adapter) SubmitLoadTask(keys []kv.Key, bufs []kv.Buffer) (kv.TaskID, error) {
	id, err := a.tasks.Start(bridge.Load, keys, bufs)
	if err != nil {
		return id, err
	}
	keys, bufs = slices.Clone(keys), slices.Clone(bufs)
	a.work <- func() {
		began := time.Now()
		bits, loaded := a.memory.load(keys, bufs)
		a.transfer(began, loaded, func() { a.tasks.EndLoad(id, bits) })
	}
	return id, nil
}

// SubmitUnlock implements [l2.Adapter].
func (a *Adapter) SubmitUnlock(keys []kv.Key) { a.memory.unlock(keys) }

// Delete implements [l2.Adapter].
func (a *Adapter) Delete(_ context.Context, keys []kv.Key) (kv.DeleteResult, error) {
	if a.tasks.Closed() {
		return kv.DeleteResult{Failed: len(keys)}, &kv.Error{Op: "delete", Connector: ClassName, Code: kv.Closed}
	}
	return a.memory.delete(keys), nil
}

// ListKeys implements [l2.Adapter]: this one cannot.
func (a *Adapter) ListKeys(context.Context, string, int, string) (l2.KeyPage, error) {
	return l2.KeyPage{}, &kv.Error{Op: "list", Connector: ClassName, Code: kv.Unsupported}
}

// Usage implements [l2.Adapter].
func (a *Adapter) Usage() kv.Usage { return a.memory.usage() }

// Status implements [l2.Adapter].
func (a *Adapter) Status() map[string]any {
	usage := a.Usage()
	a.mu.Lock()
	defer a.mu.Unlock()
	return map[string]any{
		"is_healthy":     !a.tasks.Closed(),
		"type":           ClassName,
		"name":           a.name,
		"shared":         a.shared,
		"bytes_used":     usage.BytesUsed,
		"bytes_capacity": usage.BytesCapacity,
		"keys":           usage.Keys,
		"in_flight":      a.tasks.Running(),
	}
}

// SetBackendIdentity implements [l2.Adapter].
func (a *Adapter) SetBackendIdentity(name string, shared bool) error {
	if name == "" {
		return &kv.Error{Op: "set backend identity", Connector: ClassName, Code: kv.Invalid, Err: errors.New("the name is empty")}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.name, a.shared = name, shared
	return nil
}

// Close implements [l2.Adapter]. The order matters: first the goroutines, so that
// no buffer is touched any more; then the tasks, which answers those that are
// left; then the listeners.
func (a *Adapter) Close() error {
	a.closing.Do(func() {
		close(a.stop)
		a.workers.Wait()
		a.tasks.Close()
		a.accounts.Close()
	})
	return nil
}
