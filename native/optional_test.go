//go:build linux && (amd64 || arm64)

package native_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/native"
)

// drainer drains a connector until the test ends.
func drainer(t *testing.T, c *native.Connector) {
	t.Helper()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		done := make([]kv.Completion, 4)
		for {
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Microsecond):
				if _, err := c.Drain(done); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-stopped })
}

func TestWithoutACapabilityItsMethodsSaySo(t *testing.T) {
	c := open(t, native.Options{Connector: compile(t, "CAPS=0", "TABLE_SIZE=120")})
	require.Zero(t, c.Info().Caps)
	_, err := c.Register(kv.Memory{Bytes: offHeap(t, 4096), FD: -1})
	require.ErrorIs(t, err, kv.Unsupported)
	require.ErrorContains(t, err, `"minimal" does not have the capability register_memory`)
	require.ErrorIs(t, c.Unregister(7), kv.Unsupported)
	require.ErrorIs(t, c.Cancel(1), kv.Unsupported)
	_, _, _, err = c.Usage()
	require.ErrorIs(t, err, kv.Unsupported)
	_, _, err = c.List(t.Context(), nil)
	require.ErrorIs(t, err, kv.Unsupported)
	_, err = c.StatsText()
	require.ErrorIs(t, err, kv.Unsupported)
}

func TestOptionalCallsReachTheLibrary(t *testing.T) {
	c := open(t, native.Options{Connector: compile(t)})
	require.Equal(t, kv.Limits{MaxBatch: 4096, MaxKeyLen: 1024, BufAlign: 1, MaxValueLen: 1 << 32, BestBatch: 64, MaxInFlight: 1024}, c.Info().Limits)

	memory := offHeap(t, 8192)
	handle, err := c.Register(kv.Memory{Bytes: memory, FD: -1})
	require.NoError(t, err)
	require.EqualValues(t, 7, handle)
	require.NoError(t, c.Unregister(handle))
	require.ErrorIs(t, c.Unregister(8), kv.Invalid)
	_, err = c.Register(kv.Memory{Bytes: memory[:100], FD: -1})
	require.ErrorIs(t, err, kv.Invalid)
	require.ErrorContains(t, err, "the length is no multiple of 4096")
	_, err = c.Register(kv.Memory{})
	require.ErrorIs(t, err, kv.Invalid)

	require.ErrorIs(t, c.Cancel(1), kv.Invalid, "nothing is in flight")
	used, capacity, keys, err := c.Usage()
	require.NoError(t, err)
	require.Equal(t, []int64{42, -1, 0}, []int64{used, capacity, keys}, "what is unknown is -1")

	text, err := c.StatsText()
	require.NoError(t, err)
	require.Len(t, text, 40000)
}

func TestAListingHasEveryKeyOverSeveralPages(t *testing.T) {
	c := open(t, native.Options{Connector: compile(t)})
	run(t, c, newBatch(t, kv.OpSet, 1, 20, 48))
	drainer(t, c)

	var keys []string
	pages := 0
	for cursor := []byte(nil); pages == 0 || cursor != nil; pages++ {
		page, next, err := c.List(t.Context(), cursor)
		require.NoError(t, err)
		for _, e := range page {
			require.EqualValues(t, 48, e.Size)
			keys = append(keys, e.Key)
		}
		cursor = next
	}
	slices.Sort(keys)
	want := make([]string, 20)
	for i := range want {
		want[i] = fmt.Sprintf("key-%d", i)
	}
	slices.Sort(want)
	require.Equal(t, want, keys)
	require.GreaterOrEqual(t, pages, 7)

	_, _, err := c.List(t.Context(), make([]byte, 300))
	require.ErrorIs(t, err, kv.Invalid)
}

func TestAListingWhoseCallerLeavesIsGivenBackLater(t *testing.T) {
	c, err := native.Open(native.Options{Connector: compile(t)})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, _, err = c.List(ctx, nil) // nobody drains
	require.ErrorIs(t, err, kv.Cancelled)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	n, err := c.Drain(make([]kv.Completion, 4))
	require.NoError(t, err)
	require.Zero(t, n, "completions of listings are not the caller's")

	_, _, err = c.List(ctx, nil)
	require.Error(t, err)
	require.NoError(t, c.Close(time.Second), "with a listing in flight")
}

func TestAListingThatLiesIsAnError(t *testing.T) {
	c := open(t, native.Options{Connector: compile(t, "LIST_LIES")})
	drainer(t, c)
	_, _, err := c.List(t.Context(), nil)
	require.ErrorIs(t, err, kv.Internal)
	require.ErrorContains(t, err, "the page claims 18446744073709551615 bytes")
}
