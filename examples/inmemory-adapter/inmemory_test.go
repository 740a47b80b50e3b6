package inmemory_test

import (
	"math"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/adapters/l2/plugin/plugintest"
	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
	inmemory "github.com/sixcall/sixcall/examples/inmemory-adapter"
)

// gb is a capacity in the unit of the configuration.
func gb(bytes int) float64 { return float64(bytes) / (1 << 30) }

func newAdapter(t testing.TB, capacity int) *inmemory.Adapter {
	t.Helper()
	a, err := inmemory.New(inmemory.Config{MaxSizeGB: gb(capacity)}, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = a.Close() })
	return a
}

// fixture is an adapter and a client of it.
type fixture struct {
	*l2.WaitingClient
	adapter *inmemory.Adapter
	t       testing.TB
}

func newFixture(t testing.TB, capacity int) fixture {
	t.Helper()
	a := newAdapter(t, capacity)
	c, err := l2.NewClient(a)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return fixture{c, a, t}
}

// store stores size bytes under each key, which are to succeed.
func (f fixture) store(size int, keys ...kv.Key) int64 {
	f.t.Helper()
	r, err := f.Store(f.t.Context(), keys, values(len(keys), size))
	require.NoError(f.t, err)
	return r.Bytes
}

// has returns one character per key that is there, and leaves no pins.
func (f fixture) has(keys ...kv.Key) string {
	f.t.Helper()
	bits := f.pin(keys...)
	f.Unlock(kv.Gather(&bits, keys))
	return bits.String()
}

func (f fixture) pin(keys ...kv.Key) kv.Bitmap {
	f.t.Helper()
	bits, err := f.Lookup(f.t.Context(), keys)
	require.NoError(f.t, err)
	return bits
}

func values(n, size int) []kv.Buffer {
	out := make([]kv.Buffer, n)
	for i := range out {
		out[i] = make(kv.Buffer, size)
		for j := range out[i] {
			out[i][j] = byte(i*31 + j)
		}
	}
	return out
}

func TestConformance(t *testing.T) {
	plugintest.Run(t, func(t testing.TB) l2.Adapter { return newAdapter(t, 1<<20) })
}

func TestStoreLookupLoad(t *testing.T) {
	f := newFixture(t, 10240)
	keys := bridgetest.Keys(2)
	require.Equal(t, int64(4096), f.store(4096, keys[0]), "store")
	require.Equal(t, "10", f.has(keys...), "lookup")
	bufs := [][]byte{make([]byte, 4096), make([]byte, 4096)}
	bits, err := f.Load(t.Context(), keys, bufs)
	require.NoError(t, err)
	require.Equal(t, "10", bits.String(), "load")
	require.Equal(t, values(1, 4096)[0], bufs[0])
	bits, err = f.Load(t.Context(), keys[:1], [][]byte{make([]byte, 100)})
	require.NoError(t, err)
	require.Equal(t, "0", bits.String(), "row 94: another size completes as a miss")
}

func TestBatch(t *testing.T) {
	f := newFixture(t, 1<<20)
	keys := bridgetest.Keys(50)
	require.Equal(t, int64(50*100), f.store(100, keys...))
	bufs := make([]kv.Buffer, 50)
	for i := range bufs {
		bufs[i] = make(kv.Buffer, 100)
	}
	bits, err := f.Load(t.Context(), keys, bufs)
	require.NoError(t, err)
	require.Equal(t, 50, bits.Count())
	require.Equal(t, values(50, 100), bufs)
}

func TestEviction(t *testing.T) {
	key := bridgetest.Keys(6)
	t.Run("row 95: the oldest goes", func(t *testing.T) {
		f := newFixture(t, 10240)
		for i := range 3 {
			require.Equal(t, int64(4096), f.store(4096, key[i]))
		}
		require.Equal(t, "011", f.has(key[:3]...))
		require.Equal(t, int64(8192), f.adapter.Usage().BytesUsed)
		require.Equal(t, int64(2), f.adapter.Usage().Keys)
	})
	t.Run("row 96: a pinned one moves to the end of the queue", func(t *testing.T) {
		f := newFixture(t, 10240)
		for i := range 3 {
			f.store(3000, key[i])
		}
		f.pin(key[0])
		f.store(3000, key[3])
		require.Equal(t, "1011", f.has(key[:4]...), "the second goes")
		f.Unlock(key[:1])
		f.store(3000, key[4])
		require.Equal(t, "10011", f.has(key[:5]...), "then the third: the first is behind it now")
		f.store(3000, key[5])
		require.Equal(t, "000111", f.has(key[:6]...), "then the first")
	})
	t.Run("row 97: a value that fits only over pinned ones is rejected", func(t *testing.T) {
		f := newFixture(t, 10240)
		f.store(4096, key[0])
		f.store(4096, key[1])
		f.store(2048, key[2])
		f.pin(key[0], key[1])
		r, err := f.Store(t.Context(), key[3:5], []kv.Buffer{make(kv.Buffer, 4096), make(kv.Buffer, 1024)})
		require.ErrorIs(t, err, kv.IO, "the task fails")
		require.False(t, r.OK)
		require.Equal(t, "11001", f.has(key[:5]...), "nothing is evicted for the one, the other is stored")
		require.Equal(t, int64(2*4096+1024), f.adapter.Usage().BytesUsed)
		f.Unlock(key[:2])
		require.Equal(t, int64(4096), f.store(4096, key[3]), "after the unlock it fits")
		require.LessOrEqual(t, f.adapter.Usage().BytesUsed, int64(10240))
	})
	t.Run("a value above the capacity is skipped", func(t *testing.T) {
		f := newFixture(t, 10240)
		f.store(4096, key[0])
		require.Equal(t, int64(0), f.store(10241, key[1]), "and the store succeeds")
		require.Equal(t, "10", f.has(key[:2]...), "nothing is evicted for it")
	})
	t.Run("a key that is stored again keeps its place and value", func(t *testing.T) {
		f := newFixture(t, 10240)
		f.store(4096, key[0])
		f.store(4096, key[1])
		require.Equal(t, int64(0), f.store(100, key[0]))
		f.store(4096, key[2])
		require.Equal(t, "011", f.has(key[:3]...))
	})
	t.Run("keys of one batch evict each other", func(t *testing.T) {
		f := newFixture(t, 10240)
		heard := &journal{}
		f.adapter.RegisterListener(heard)
		require.Equal(t, int64(4*4096), f.store(4096, key[:4]...))
		require.Equal(t, "0011", f.has(key[:4]...))
		require.Equal(t, int64(8192), f.adapter.Usage().BytesUsed)
		require.NoError(t, f.adapter.Close()) // delivers
		require.Equal(t, []string{"stored", "stored", "deleted", "stored", "deleted", "stored"}, heard.kinds, "listeners hear of evictions, in order")
	})
}

// journal is a listener that writes down what it hears, key by key.
type journal struct {
	mu    sync.Mutex
	kinds []string
}

func (j *journal) add(kind string, keys []kv.Key) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for range keys {
		j.kinds = append(j.kinds, kind)
	}
}

func (j *journal) KeysStored(keys []kv.Key, _ []int64) { j.add("stored", keys) }
func (j *journal) KeysAccessed(keys []kv.Key)          { j.add("accessed", keys) }
func (j *journal) KeysDeleted(keys []kv.Key)           { j.add("deleted", keys) }

func TestPins(t *testing.T) {
	f := newFixture(t, 10240)
	key := bridgetest.Keys(3)
	f.store(4096, key[0], key[1])
	f.pin(key[0], key[0])
	r, err := f.Delete(t.Context(), key)
	require.NoError(t, err)
	require.Equal(t, kv.DeleteResult{Pinned: 1, Deleted: 1, Absent: 1}, r, "row 71")
	f.Unlock(key[:1])
	r, err = f.Delete(t.Context(), key[:1])
	require.NoError(t, err)
	require.Equal(t, kv.DeleteResult{Pinned: 1}, r, "row 32: one pin remains")
	f.Unlock([]kv.Key{key[0], key[0], key[2]})
	r, err = f.Delete(t.Context(), key[:1])
	require.NoError(t, err)
	require.Equal(t, kv.DeleteResult{Deleted: 1}, r)
	require.Zero(t, f.adapter.Usage().BytesUsed)
	require.Equal(t, int64(8192), f.store(4096, key[0], key[1]), "no pin is left over to reject it")
}

// The clock of this test is that of its bubble.
func TestSimulatedBandwidth(t *testing.T) {
	config := inmemory.Config{MaxSizeGB: 0.5, MockBandwidthGB: 0.001}
	t.Run("a store and a load take as long as their bytes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, err := inmemory.New(config, nil)
			require.NoError(t, err)
			defer a.Close()
			id, err := a.SubmitStoreTask(bridgetest.Keys(1), values(1, 1<<20)) // 1 MiB at 0.001 GiB/s: 0.9766 s
			require.NoError(t, err)
			time.Sleep(976 * time.Millisecond)
			synctest.Wait()
			require.Empty(t, a.PopCompletedStoreTasks())
			time.Sleep(time.Millisecond)
			synctest.Wait()
			require.Equal(t, map[kv.TaskID]kv.StoreResult{id: {OK: true, Bytes: 1 << 20}}, a.PopCompletedStoreTasks())

			id, err = a.SubmitLoadTask(bridgetest.Keys(1), values(1, 1<<20))
			require.NoError(t, err)
			time.Sleep(976 * time.Millisecond)
			synctest.Wait()
			_, ok := a.QueryLoadResult(id)
			require.False(t, ok)
			time.Sleep(time.Millisecond)
			synctest.Wait()
			_, ok = a.QueryLoadResult(id)
			require.True(t, ok)
		})
	})
	t.Run("row 75: close does not wait for it and fails the task", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, err := inmemory.New(config, nil)
			require.NoError(t, err)
			id, err := a.SubmitStoreTask(bridgetest.Keys(1), values(1, 1<<20))
			require.NoError(t, err)
			synctest.Wait()
			began := time.Now()
			require.NoError(t, a.Close())
			require.Zero(t, time.Since(began))
			require.Equal(t, map[kv.TaskID]kv.StoreResult{id: {}}, a.PopCompletedStoreTasks())
		})
	})
}

func TestCloseLeavesNothing(t *testing.T) {
	cycle := func() {
		a, err := inmemory.New(*inmemory.DefaultConfig(), nil)
		require.NoError(t, err)
		a.RegisterListener(&journal{})
		for range 20 {
			_, err = a.SubmitStoreTask(bridgetest.Keys(1), values(1, 1<<16))
			require.NoError(t, err)
		}
		require.NoError(t, a.Close())
		require.NoError(t, a.Close())
	}
	cycle()
	openFDs := func() int {
		links, _ := filepath.Glob("/proc/self/fd/*")
		return len(links)
	}
	fds, goroutines := openFDs(), runtime.NumGoroutine()
	for range 10 {
		cycle()
	}
	// A goroutine that was waited for may take a moment to be gone. (Eventually has
	// one of its own, so it cannot count them.)
	for i := 0; i < 10_000 && runtime.NumGoroutine() > goroutines; i++ {
		time.Sleep(time.Millisecond)
	}
	require.LessOrEqual(t, runtime.NumGoroutine(), goroutines)
	require.LessOrEqual(t, openFDs(), fds)
}

func TestConfig(t *testing.T) {
	require.NoError(t, inmemory.DefaultConfig().Validate())
	for _, bad := range []inmemory.Config{{}, {MaxSizeGB: -1}, {MaxSizeGB: 1e-12}, {MaxSizeGB: math.NaN()}, {MaxSizeGB: math.Inf(1)}, {MaxSizeGB: 1, MockBandwidthGB: math.Inf(1)}} {
		_, err := inmemory.New(bad, nil)
		require.ErrorIs(t, err, kv.Config, "%+v", bad)
	}
}
