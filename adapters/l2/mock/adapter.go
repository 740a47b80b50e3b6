package mock

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

const typeName = "MockL2Adapter"

// Adapter is an [l2.Adapter] in memory. Safe for concurrent use.
type Adapter struct {
	opts     Options
	tasks    *l2.Tasks
	accounts *l2.Accounting

	// work is done in the order of the submits, by one goroutine; its capacity is
	// that of tasks, so that a submit never waits.
	work    chan func()
	stop    chan struct{}
	workers sync.WaitGroup // that goroutine, and one for each delay
	closing sync.Once

	mu     sync.Mutex // guards what follows
	values map[kv.Key][]byte
	pins   map[kv.Key]int
	used   int64 // bytes
	name   string
	shared bool
}

var _ l2.Adapter = (*Adapter)(nil)

// New returns an empty adapter.
func New(opts Options) (*Adapter, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	if opts.Logger == nil {
		opts.Logger = zap.NewNop()
	}
	tasks, err := l2.NewTasks(l2.DefaultMaxTasks)
	if err != nil {
		return nil, err
	}
	a := &Adapter{
		opts:     opts,
		tasks:    tasks,
		accounts: l2.NewAccounting(opts.MaxSizeBytes, opts.Logger),
		work:     make(chan func(), l2.DefaultMaxTasks),
		stop:     make(chan struct{}),
		values:   map[kv.Key][]byte{},
		pins:     map[kv.Key]int{},
		name:     typeName,
	}
	a.workers.Go(a.run)
	return a, nil
}

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

// delayed calls end when a transfer of n bytes that began at the given time
// would be over, or never when the adapter is closed first.
func (a *Adapter) delayed(began time.Time, n int64, end func()) {
	transfer := time.Duration(float64(n) / float64(a.opts.BandwidthBytesPerSecond) * float64(time.Second))
	rest := transfer - time.Since(began)
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

// SubmitStoreTask implements [l2.Adapter]. It succeeds even when nothing fits.
func (a *Adapter) SubmitStoreTask(keys []kv.Key, objects []kv.Buffer) (kv.TaskID, error) {
	id, err := a.tasks.Start(bridge.Store, keys, objects)
	if err != nil {
		return id, err
	}
	keys, objects = slices.Clone(keys), slices.Clone(objects)
	a.work <- func() {
		began := time.Now()
		stored := a.store(keys, objects)
		a.delayed(began, stored, func() { a.tasks.EndStore(id, kv.StoreResult{OK: true, Bytes: stored}) })
	}
	return id, nil
}

// SubmitLookupAndLockTask implements [l2.Adapter]. It has no delay.
func (a *Adapter) SubmitLookupAndLockTask(keys []kv.Key, _ map[int64]kv.Layout) (kv.TaskID, error) {
	id, err := a.tasks.Start(bridge.Lookup, keys, nil)
	if err != nil {
		return id, err
	}
	keys = slices.Clone(keys)
	a.work <- func() { a.tasks.EndLookup(id, a.lookup(keys)) }
	return id, nil
}

// SubmitLoadTask implements [l2.Adapter]. A buffer of another size than the
// value is a miss.
func (a *Adapter) SubmitLoadTask(keys []kv.Key, bufs []kv.Buffer) (kv.TaskID, error) {
	id, err := a.tasks.Start(bridge.Load, keys, bufs)
	if err != nil {
		return id, err
	}
	keys, bufs = slices.Clone(keys), slices.Clone(bufs)
	a.work <- func() {
		began := time.Now()
		bits, loaded := a.load(keys, bufs)
		a.delayed(began, loaded, func() { a.tasks.EndLoad(id, bits) })
	}
	return id, nil
}

// Close implements [l2.Adapter]. Tasks that run, or whose delay does, fail.
func (a *Adapter) Close() error {
	a.closing.Do(func() {
		close(a.stop)
		a.workers.Wait() // from here on no buffer is touched
		a.tasks.Close()
		a.accounts.Close()
	})
	return nil
}

// SetBackendIdentity implements [l2.Adapter].
func (a *Adapter) SetBackendIdentity(name string, shared bool) error {
	if name == "" {
		return &kv.Error{Op: "set backend identity", Connector: typeName, Code: kv.Invalid, Err: errors.New("the name is empty")}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.name, a.shared = name, shared
	return nil
}

// ListKeys implements [l2.Adapter]: as in LMCache the mock cannot list.
func (a *Adapter) ListKeys(context.Context, string, int, string) (l2.KeyPage, error) {
	return l2.KeyPage{}, &kv.Error{Op: "list", Connector: typeName, Code: kv.Unsupported}
}

// StoreEventFD implements [l2.Adapter].
func (a *Adapter) StoreEventFD() int { return a.tasks.Notifiers().StoreEventFD() }

// LookupAndLockEventFD implements [l2.Adapter].
func (a *Adapter) LookupAndLockEventFD() int { return a.tasks.Notifiers().LookupAndLockEventFD() }

// LoadEventFD implements [l2.Adapter].
func (a *Adapter) LoadEventFD() int { return a.tasks.Notifiers().LoadEventFD() }

// PopCompletedStoreTasks implements [l2.Adapter].
func (a *Adapter) PopCompletedStoreTasks() map[kv.TaskID]kv.StoreResult {
	return a.tasks.PopCompletedStoreTasks()
}

// QueryLookupAndLockResult implements [l2.Adapter].
func (a *Adapter) QueryLookupAndLockResult(id kv.TaskID) (kv.Bitmap, bool) {
	return a.tasks.QueryLookupAndLockResult(id)
}

// QueryLoadResult implements [l2.Adapter].
func (a *Adapter) QueryLoadResult(id kv.TaskID) (kv.Bitmap, bool) { return a.tasks.QueryLoadResult(id) }

// RegisterListener implements [l2.Adapter].
func (a *Adapter) RegisterListener(l l2.Listener) { a.accounts.RegisterListener(l) }

// SupportsGlobalEviction implements [l2.Adapter].
func (a *Adapter) SupportsGlobalEviction() bool { return a.accounts.SupportsGlobalEviction() }
