package eviction_test

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/adapters/l2/eviction"
	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
)

// fake is a target whose keys are a map. Its events come before its calls
// return. The fields are set before first use, unless under mu.
type fake struct {
	capacity int64
	// mute sends no events of deletes; countless returns no counts of them.
	mute, countless bool
	// async sends events of deletes from another goroutine, sometime.
	async bool
	// onDelete runs before a delete; an error ends it.
	onDelete func(ctx context.Context, keys []kv.Key) error
	onUsage  func()
	// onDeleted runs after the keys are gone and before Delete returns.
	onDeleted func()

	mu        sync.Mutex // guards what follows
	values    map[kv.Key]int64
	stuck     map[kv.Key]bool // pinned
	listeners []l2.Listener
	deletes   [][]kv.Key
}

func newFake(capacity int64) *fake {
	return &fake{capacity: capacity, values: map[kv.Key]int64{}, stuck: map[kv.Key]bool{}}
}

func (f *fake) SupportsGlobalEviction() bool { return f.capacity > 0 }

func (f *fake) RegisterListener(l l2.Listener) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.listeners = append(f.listeners, l)
}

func (f *fake) Usage() kv.Usage {
	if f.onUsage != nil {
		f.onUsage()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	u := kv.Usage{BytesCapacity: f.capacity, Keys: int64(len(f.values)), BytesBySalt: map[string]int64{}}
	for k, size := range f.values {
		u.BytesUsed += size
		u.BytesBySalt[k.Salt] += size
	}
	return u
}

func (f *fake) Delete(ctx context.Context, keys []kv.Key) (r kv.DeleteResult, err error) {
	f.mu.Lock()
	f.deletes = append(f.deletes, slices.Clone(keys))
	f.mu.Unlock()
	if f.onDelete != nil {
		if err := f.onDelete(ctx, keys); err != nil {
			return kv.DeleteResult{}, err
		}
	}
	f.mu.Lock()
	var gone []kv.Key
	for _, k := range keys {
		switch _, ok := f.values[k]; {
		case f.stuck[k]:
			r.Pinned++
		case !ok:
			r.Absent++
		default:
			r.Deleted++
			delete(f.values, k)
			gone = append(gone, k)
		}
	}
	listeners := slices.Clone(f.listeners)
	f.mu.Unlock()
	if len(gone) > 0 && !f.mute {
		send := func() {
			for _, l := range listeners {
				l.KeysDeleted(gone)
			}
		}
		if f.async {
			time.AfterFunc(5*time.Millisecond, send)
		} else {
			send()
		}
	}
	if f.onDeleted != nil {
		f.onDeleted()
	}
	if f.countless {
		return kv.DeleteResult{}, nil
	}
	return r, nil
}

// store stores keys one batch each, so that the first is the oldest.
func (f *fake) store(size int64, keys ...kv.Key) {
	for _, k := range keys {
		f.mu.Lock()
		added := size - f.values[k]
		f.values[k] = size
		listeners := slices.Clone(f.listeners)
		f.mu.Unlock()
		for _, l := range listeners {
			l.KeysStored([]kv.Key{k}, []int64{added})
		}
	}
}

func (f *fake) pin(pinned bool, keys ...kv.Key) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, k := range keys {
		f.stuck[k] = pinned
	}
}

// forget removes keys behind the adapter's back, with or without its knowledge.
func (f *fake) forget(keys ...kv.Key) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, k := range keys {
		delete(f.values, k)
	}
}

func (f *fake) has(k kv.Key) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.values[k]
	return ok
}

// left returns the numbers of the keys that are stored, in order.
func (f *fake) left() []int {
	f.mu.Lock()
	defer f.mu.Unlock()
	numbers := []int{}
	for k := range maps.Keys(f.values) {
		for i := range 1000 {
			if bridgetest.Key(i).ChunkHash == k.ChunkHash {
				numbers = append(numbers, i)
			}
		}
	}
	slices.Sort(numbers)
	return numbers
}

func (f *fake) calls() [][]kv.Key {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.deletes)
}

// fixture is a controller without cycles of its own.
type fixture struct {
	*eviction.Controller
	logs *observer.ObservedLogs

	mu      sync.Mutex
	reports []eviction.Evicted
}

func newFixture(t *testing.T, opts eviction.Options) *fixture {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	f := &fixture{logs: logs}
	if opts.Period == 0 {
		opts.Period = -1
	}
	if opts.Logger == nil {
		opts.Logger = zap.New(core)
	}
	if opts.OnEvicted == nil {
		opts.OnEvicted = func(e eviction.Evicted) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.reports = append(f.reports, e)
		}
	}
	c, err := eviction.NewController(opts)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	f.Controller = c
	return f
}

func (f *fixture) cycle(t *testing.T) {
	t.Helper()
	require.NoError(t, f.Cycle(background))
}

func (f *fixture) stats(t *testing.T, id string) eviction.Stats {
	t.Helper()
	s, ok := f.Stats(id)
	require.True(t, ok)
	return s
}

// evicted returns the reports since the last call.
func (f *fixture) evicted() []eviction.Evicted {
	f.mu.Lock()
	defer f.mu.Unlock()
	reports := f.reports
	f.reports = nil
	return reports
}

// manualClock fires when a test says so.
type manualClock struct{ fire chan time.Time }

func (c manualClock) After(time.Duration) <-chan time.Time { return c.fire }
