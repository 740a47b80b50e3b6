package plugintest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/adapters/l2/plugin"
	"github.com/sixcall/sixcall/bridge/kv"
)

// NewAdapter returns an open adapter that holds nothing and has room for 1 MiB.
// The suite closes it. Errors fail t.
type NewAdapter func(t testing.TB) l2.Adapter

// Option changes how a suite runs.
type Option func(*suite)

// Timeout is how long the suite waits for a result, a signal or a listener
// before it fails. Default 30s.
func Timeout(d time.Duration) Option { return func(s *suite) { s.timeout = d } }

type suite struct {
	new     NewAdapter
	timeout time.Duration
}

// Run runs the suite as subtests of t. What an adapter may leave out, which is
// deleting and listing, is skipped when it does.
func Run(t *testing.T, newAdapter NewAdapter, opts ...Option) {
	s := &suite{new: newAdapter, timeout: 30 * time.Second}
	for _, opt := range opts {
		opt(s)
	}
	for _, test := range []struct {
		name string
		run  func(*testing.T, *fixture)
	}{
		{"row 23: event fds are distinct and stable", s.eventFDs},
		{"row 25: a store is signalled once done and popped once", storeIsPopped},
		{"row 26: ids are unique over all kinds", idsAreUnique},
		{"rows 27 and 28: a lookup finds what is stored, once", lookup},
		{"rows 29 and 30: a load returns the bytes", load},
		{"rows 94 and 101: a value that is too short for its buffer is a miss", loadOfAnotherSize},
		{"row 114: batches of many keys and sizes", batches},
		{"submitted keys are copied", keysAreCopied},
		{"rows 31, 32 and 71: pins are counted and protect", pins},
		{"rows 33, 34 and 93: empty batches", emptyBatches},
		{"rows 5 to 8 and 35: bad batches are refused", badBatches},
		{"rows 22, 58 and 59: usage is accounted first, in snapshots", usage},
		{"rows 58, 63 and 66: listeners hear in order and may panic", listeners},
		{"rows 66 to 68: delete", deletes},
		{"listing", listing},
		{"row 73: status and identity", status},
		{"concurrent use", concurrentUse},
		{"rows 45, 47, 74 and 75: close answers everything", closed},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, s.open(t)) })
	}
	t.Run("close leaves nothing behind", s.leaks)
}

// fixture is one adapter and how a host uses it.
type fixture struct {
	l2.Adapter
	timeout time.Duration
}

func (s *suite) open(t *testing.T) *fixture {
	a := s.new(t)
	require.NotNil(t, a, "the function made no adapter")
	t.Cleanup(func() { _ = a.Close() })
	return &fixture{a, s.timeout}
}

// until calls poll after each signal of fd until it returns true.
func (f *fixture) until(t testing.TB, fd int, what string, poll func() bool) {
	t.Helper()
	for deadline := time.Now().Add(f.timeout); ; {
		signalled := await(t, fd, time.Until(deadline))
		if signalled && poll() {
			return
		}
		require.True(t, signalled, "%s: no signal with a result within %v", what, f.timeout)
	}
}

func (f *fixture) store(t testing.TB, keys []kv.Key, values []kv.Buffer) (r kv.StoreResult) {
	t.Helper()
	id, err := f.SubmitStoreTask(keys, values)
	require.NoError(t, err)
	f.until(t, f.StoreEventFD(), "store", func() (ok bool) {
		r, ok = f.PopCompletedStoreTasks()[id]
		return ok
	})
	return r
}

// fill stores size bytes under each key.
func (f *fixture) fill(t testing.TB, keys []kv.Key, size int) []kv.Buffer {
	t.Helper()
	values := contents(keys, size)
	require.Equal(t, kv.StoreResult{OK: true, Bytes: int64(len(keys) * size)}, f.store(t, keys, values))
	return values
}

func (f *fixture) lookup(t testing.TB, keys []kv.Key) (bits kv.Bitmap) {
	t.Helper()
	id, err := f.SubmitLookupAndLockTask(keys, map[int64]kv.Layout{0: {}})
	require.NoError(t, err)
	f.until(t, f.LookupAndLockEventFD(), "lookup", func() (ok bool) {
		bits, ok = f.QueryLookupAndLockResult(id)
		return ok
	})
	return bits
}

func (f *fixture) load(t testing.TB, keys []kv.Key, bufs []kv.Buffer) (bits kv.Bitmap) {
	t.Helper()
	id, err := f.SubmitLoadTask(keys, bufs)
	require.NoError(t, err)
	f.until(t, f.LoadEventFD(), "load", func() (ok bool) {
		bits, ok = f.QueryLoadResult(id)
		return ok
	})
	return bits
}

// delete removes keys, or skips the rest of the test if the adapter cannot.
func (f *fixture) delete(t *testing.T, keys []kv.Key) kv.DeleteResult {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), f.timeout)
	defer cancel()
	r, err := f.Delete(ctx, keys)
	require.NoError(t, err)
	if r == (kv.DeleteResult{}) && len(keys) > 0 {
		t.Skip("the adapter cannot delete")
	}
	return r
}

// eventually calls cond, on this goroutine, until it returns true.
func (f *fixture) eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(f.timeout); !cond(); time.Sleep(time.Millisecond) {
		require.True(t, time.Now().Before(deadline), "%s: not within %v", what, f.timeout)
	}
}

// eventFDs has two adapters, whose descriptors must differ.
func (s *suite) eventFDs(t *testing.T, f *fixture) {
	require.NoError(t, plugin.Check(f))
	require.NoError(t, plugin.Check(s.open(t), f), "beside another adapter")
	before := [3]int{f.StoreEventFD(), f.LookupAndLockEventFD(), f.LoadEventFD()}
	keys := keys(2)
	values := f.fill(t, keys, 16)
	require.False(t, await(t, f.LookupAndLockEventFD(), 0), "a store signals the fd of lookups")
	require.False(t, await(t, f.LoadEventFD(), 0), "a store signals the fd of loads")
	f.lookup(t, keys)
	require.False(t, await(t, f.LoadEventFD(), 0), "a lookup signals the fd of loads")
	f.load(t, keys, values)
	f.SubmitUnlock(keys)
	require.Equal(t, before, [3]int{f.StoreEventFD(), f.LookupAndLockEventFD(), f.LoadEventFD()})
	require.NoError(t, f.Close())
	require.Equal(t, [3]int{-1, -1, -1}, [3]int{f.StoreEventFD(), f.LookupAndLockEventFD(), f.LoadEventFD()}, "after Close")
}
