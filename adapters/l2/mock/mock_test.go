package mock_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/adapters/l2/mock"
	"github.com/sixcall/sixcall/adapters/l2/plugin/plugintest"
	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
)

const fast = 1 << 40 // bytes/s: no delay to speak of

func newMock(t testing.TB, opts mock.Options) *mock.Adapter {
	t.Helper()
	if opts.BandwidthBytesPerSecond == 0 {
		opts.BandwidthBytesPerSecond = fast
	}
	a, err := mock.New(opts)
	require.NoError(t, err)
	t.Cleanup(func() { _ = a.Close() })
	return a
}

func newClient(t testing.TB, a l2.Adapter) *l2.WaitingClient {
	t.Helper()
	c, err := l2.NewClient(a)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func buffers(sizes ...int) []kv.Buffer {
	bufs := make([]kv.Buffer, len(sizes))
	for i, size := range sizes {
		bufs[i] = make(kv.Buffer, size)
		for j := range bufs[i] {
			bufs[i][j] = byte(i + 1)
		}
	}
	return bufs
}

// Rows 22 to 32, 35, 45, 47, 58, 59, 63, 66 to 68, 71, 73 to 75 and 93.
func TestConformance(t *testing.T) {
	plugintest.Run(t, func(t testing.TB) l2.Adapter { return newMock(t, mock.Options{MaxSizeBytes: 1 << 20}) })
}

func TestRow90NothingIsEvicted(t *testing.T) {
	a := newMock(t, mock.Options{MaxSizeBytes: 1000})
	c := newClient(t, a)
	keys := bridgetest.Keys(4)
	r, err := c.Store(t.Context(), keys, buffers(400, 400, 400, 1200))
	require.NoError(t, err, "a store succeeds whatever fits")
	require.Equal(t, kv.StoreResult{OK: true, Bytes: 800}, r)
	bits, err := c.Lookup(t.Context(), keys)
	require.NoError(t, err)
	require.Equal(t, "1100", bits.String())
	c.Unlock(keys[:2])

	r, err = c.Store(t.Context(), keys[2:3], buffers(200))
	require.NoError(t, err)
	require.Equal(t, int64(200), r.Bytes, "up to the last byte")
	u := a.Usage()
	require.Equal(t, []int64{1000, 1000, 3}, []int64{u.BytesUsed, u.BytesCapacity, u.Keys})
	require.True(t, a.SupportsGlobalEviction())

	deleted, err := c.Delete(t.Context(), keys[:1])
	require.NoError(t, err)
	require.Equal(t, kv.DeleteResult{Deleted: 1}, deleted)
	r, err = c.Store(t.Context(), keys[3:], buffers(400))
	require.NoError(t, err)
	require.Equal(t, int64(400), r.Bytes, "a delete makes room")
}

func TestRow91NothingIsOverwritten(t *testing.T) {
	c := newClient(t, newMock(t, mock.Options{MaxSizeBytes: 1000}))
	keys := bridgetest.Keys(2)
	old := buffers(10, 10)
	_, err := c.Store(t.Context(), keys, old)
	require.NoError(t, err)
	r, err := c.Store(t.Context(), keys, []kv.Buffer{make(kv.Buffer, 10), make(kv.Buffer, 99)})
	require.NoError(t, err)
	require.Equal(t, kv.StoreResult{OK: true}, r)
	bufs := []kv.Buffer{make(kv.Buffer, 10), make(kv.Buffer, 10)}
	bits, err := c.Load(t.Context(), keys, bufs)
	require.NoError(t, err)
	require.Equal(t, "11", bits.String())
	require.Equal(t, old, bufs)
}

// The clock of these tests is that of their bubble: it moves on when all
// goroutines wait, and by exactly as much as they wait for.
func TestRow92Bandwidth(t *testing.T) {
	const gib = 1 << 30
	bandwidth := 0.001 * gib
	opts := mock.Options{MaxSizeBytes: gib, BandwidthBytesPerSecond: int64(bandwidth)}
	const size, transfer = 500_000, 465_661_000 * time.Nanosecond // 500 000 B at 0.001 GiB/s, rounded down

	t.Run("row 92: a store ends after its transfer and is visible before", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := newMock(t, opts)
			id, err := a.SubmitStoreTask(bridgetest.Keys(1), buffers(size))
			require.NoError(t, err)
			look, err := a.SubmitLookupAndLockTask(bridgetest.Keys(1), nil)
			require.NoError(t, err)
			synctest.Wait()
			bits, ok := a.QueryLookupAndLockResult(look)
			require.True(t, ok, "a lookup has no delay")
			require.Equal(t, "1", bits.String())
			require.Equal(t, int64(size), a.Usage().BytesUsed)

			time.Sleep(transfer)
			synctest.Wait()
			require.Empty(t, a.PopCompletedStoreTasks(), "not before 0.465 s")
			time.Sleep(10 * time.Microsecond)
			synctest.Wait()
			require.Equal(t, map[kv.TaskID]kv.StoreResult{id: {OK: true, Bytes: size}}, a.PopCompletedStoreTasks())
		})
	})
	t.Run("a load ends after its transfer, misses take no time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := newMock(t, opts)
			_, err := a.SubmitStoreTask(bridgetest.Keys(1), buffers(size))
			require.NoError(t, err)
			time.Sleep(time.Second)
			bufs := buffers(size, size)
			id, err := a.SubmitLoadTask(bridgetest.Keys(2), bufs)
			require.NoError(t, err)
			time.Sleep(transfer)
			synctest.Wait()
			_, ok := a.QueryLoadResult(id)
			require.False(t, ok)
			time.Sleep(10 * time.Microsecond)
			synctest.Wait()
			bits, ok := a.QueryLoadResult(id)
			require.True(t, ok)
			require.Equal(t, "10", bits.String())

			id, err = a.SubmitLoadTask(bridgetest.Keys(2)[1:], bufs[1:])
			require.NoError(t, err)
			synctest.Wait()
			_, ok = a.QueryLoadResult(id)
			require.True(t, ok)
		})
	})
	t.Run("transfers overlap", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := newMock(t, opts)
			for i := range 3 {
				_, err := a.SubmitStoreTask(bridgetest.Keys(3)[i:i+1], buffers(size))
				require.NoError(t, err)
			}
			time.Sleep(transfer + 10*time.Microsecond)
			synctest.Wait()
			require.Len(t, a.PopCompletedStoreTasks(), 3)
		})
	})
	t.Run("row 75: close ends a delay as a failure", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := newMock(t, opts)
			id, err := a.SubmitStoreTask(bridgetest.Keys(1), buffers(size))
			require.NoError(t, err)
			synctest.Wait()
			began := time.Now()
			require.NoError(t, a.Close())
			require.Zero(t, time.Since(began), "close does not wait for it")
			require.Equal(t, map[kv.TaskID]kv.StoreResult{id: {}}, a.PopCompletedStoreTasks())
		})
	})
}

func TestRow94LoadIntoAnotherSizeIsAMiss(t *testing.T) {
	c := newClient(t, newMock(t, mock.Options{MaxSizeBytes: 1000}))
	keys := bridgetest.Keys(3)
	_, err := c.Store(t.Context(), keys, buffers(10, 10, 0))
	require.NoError(t, err)
	for _, size := range []int{0, 9, 11} {
		bits, err := c.Load(t.Context(), keys, buffers(size, 10, 0))
		require.NoError(t, err)
		require.Equal(t, "011", bits.String(), "a buffer of %d bytes", size)
	}
}

func TestStatus(t *testing.T) {
	a := newMock(t, mock.Options{MaxSizeBytes: 1000})
	c := newClient(t, a)
	_, err := c.Store(t.Context(), bridgetest.Keys(2), buffers(10, 20))
	require.NoError(t, err)
	_, err = c.Lookup(t.Context(), bridgetest.Keys(3))
	require.NoError(t, err)
	require.NoError(t, a.SetBackendIdentity("mock", true))
	require.Subset(t, a.Status(), map[string]any{
		"is_healthy": true, "type": "MockL2Adapter", "name": "mock", "shared": true,
		"stored_object_count": 2, "locked_key_count": 2, "current_size_bytes": int64(30), "max_capacity_bytes": int64(1000),
	})
	require.NoError(t, a.Close())
	require.Equal(t, false, a.Status()["is_healthy"], "row 74")
}

func TestOptionsAreRequired(t *testing.T) {
	_, err := mock.New(mock.Options{MaxSizeBytes: -1})
	require.ErrorIs(t, err, kv.Config)
	require.ErrorContains(t, err, "MaxSizeBytes is -1")
	require.ErrorContains(t, err, "BandwidthBytesPerSecond is 0")
}
