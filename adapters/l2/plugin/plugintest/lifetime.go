package plugintest

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/bridge/kv"
)

// concurrentUse has workers with keys of their own, and keys that they share, and
// somebody who asks for status and usage all the time. Values tell whose they
// are, so that a mix-up is seen.
func concurrentUse(t *testing.T, f *fixture) {
	const workers, rounds, size = 8, 25, 256
	client, err := l2.NewClient(f)
	require.NoError(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), f.timeout)
	defer cancel()

	var observers, wg sync.WaitGroup
	stop := make(chan struct{})
	observers.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				f.Status()
				f.Usage()
				f.SupportsGlobalEviction()
				_, _ = f.ListKeys(ctx, "", 10, "")
				runtime.Gosched()
			}
		}
	})
	for w := range workers {
		wg.Go(func() {
			mine := keysOf(fmt.Sprintf("worker %d", w), 4)
			all := append(keysOf("shared", 2), mine...)
			for range rounds {
				if !oneRound(ctx, t, client, mine, all, size) {
					return
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	observers.Wait()
	require.Zero(t, client.InFlight())
}

// oneRound stores, looks up, loads, unlocks and deletes; false after a failure.
func oneRound(ctx context.Context, t *testing.T, client l2.Client, mine, all []kv.Key, size int) bool {
	if _, err := client.Store(ctx, all, contents(all, size)); !assert.NoError(t, err, "store") {
		return false
	}
	hits, err := client.Lookup(ctx, all)
	if !assert.NoError(t, err, "lookup") {
		return false
	}
	locked := kv.Gather(&hits, all)
	bufs := empty(len(locked), size)
	bits, err := client.Load(ctx, locked, bufs)
	client.Unlock(locked)
	if !assert.NoError(t, err, "load") {
		return false
	}
	for i, key := range locked {
		if !assert.True(t, bits.Test(i), "%s is pinned and was not loaded", key) ||
			!assert.Equal(t, content(key, size), bufs[i], "the value of %s", key) {
			return false
		}
	}
	_, err = client.Delete(ctx, mine)
	return assert.NoError(t, err, "delete")
}

func closed(t *testing.T, f *fixture) {
	keys := keys(8)
	f.fill(t, keys, 64)
	var stores, lookups, loads []kv.TaskID
	for range 4 {
		id, err := f.SubmitStoreTask(keys, contents(keys, 64))
		require.NoError(t, err)
		stores = append(stores, id)
		id, err = f.SubmitLookupAndLockTask(keys, nil)
		require.NoError(t, err)
		lookups = append(lookups, id)
		id, err = f.SubmitLoadTask(keys, empty(len(keys), 64))
		require.NoError(t, err)
		loads = append(loads, id)
	}
	require.NoError(t, f.Close())
	require.NoError(t, f.Close(), "again")

	done := f.PopCompletedStoreTasks()
	for _, id := range stores {
		require.Contains(t, done, id, "a store task without an answer")
	}
	for _, id := range lookups {
		bits, ok := f.QueryLookupAndLockResult(id)
		require.True(t, ok, "a lookup task without an answer")
		require.Equal(t, len(keys), bits.Len())
	}
	for _, id := range loads {
		bits, ok := f.QueryLoadResult(id)
		require.True(t, ok, "a load task without an answer")
		require.Equal(t, len(keys), bits.Len())
	}

	_, err := f.SubmitStoreTask(keys, contents(keys, 64))
	require.ErrorIs(t, err, kv.Closed)
	_, err = f.SubmitLookupAndLockTask(keys, nil)
	require.ErrorIs(t, err, kv.Closed)
	_, err = f.SubmitLoadTask(keys, empty(len(keys), 64))
	require.ErrorIs(t, err, kv.Closed)
	f.SubmitUnlock(keys)
	if r, err := f.Delete(context.Background(), keys); err != nil {
		require.ErrorIs(t, err, kv.Closed)
	} else {
		require.Zero(t, r, "delete did something")
	}
	require.Equal(t, false, f.Status()["is_healthy"])
	f.Usage() // still answers
}

// leaks opens and closes adapters, with and without work in flight.
func (s *suite) leaks(t *testing.T) {
	cycle := func(t *testing.T) {
		a := s.new(t)
		keys := keys(4)
		_, err := a.SubmitStoreTask(keys, contents(keys, 64))
		require.NoError(t, err)
		a.RegisterListener(&journal{})
		require.NoError(t, a.Close())
	}
	t.Run("warm up", cycle)
	fds, goroutines := openFDs(), runtime.NumGoroutine()
	for i := range 5 {
		t.Run(fmt.Sprintf("cycle %d", i), cycle)
	}
	f := &fixture{timeout: s.timeout}
	f.eventually(t, "descriptors are left", func() bool { return openFDs() <= fds })
	f.eventually(t, "goroutines are left", func() bool { return runtime.NumGoroutine() <= goroutines })
}

// openFDs returns 0 where there is no /proc.
func openFDs() int {
	links, _ := filepath.Glob("/proc/self/fd/*")
	return len(links)
}
