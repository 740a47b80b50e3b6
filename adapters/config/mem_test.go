package config_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/config"
	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/native"
)

// These tests run the whole path on the real library: configuration, loader,
// bridge, adapter.

func needMem(t *testing.T) {
	t.Helper()
	if _, err := native.Find("mem", nil); err != nil {
		t.Skipf("`make cpp` builds the mem connector: %v", err)
	}
}

func openMem(t *testing.T, params string, members ...string) *l2.NativeAdapter {
	t.Helper()
	needMem(t)
	text := `{"type":"native_plugin","module_path":"mem","class_name":"mem","adapter_params":` + params
	for _, m := range members {
		text += "," + m
	}
	adapter, err := config.Builder{}.BuildNative(t.Context(), parse(t, text+"}")[0])
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, adapter.Close()) })
	return adapter
}

func memKey(i int) kv.Key {
	return kv.Key{Model: "m", ChunkHash: fmt.Sprintf("%08d", i), KVRank: 1}
}

func memKeys(n int) []kv.Key {
	keys := make([]kv.Key, n)
	for i := range keys {
		keys[i] = memKey(i)
	}
	return keys
}

// value returns n bytes that tell i.
func value(i, n int) kv.Buffer { return bytes.Repeat([]byte{byte(i), byte(i >> 8), 0x5A}, n/3+1)[:n] }

func values(n, size int) []kv.Buffer {
	out := make([]kv.Buffer, n)
	for i := range out {
		out[i] = value(i, size)
	}
	return out
}

func TestRowsOnMem(t *testing.T) {
	ctx := context.Background()
	a := openMem(t, "{}")

	t.Run("rows 33 and 35: empty and unequal batches are refused", func(t *testing.T) {
		_, err := a.SubmitLoadTask(nil, nil)
		require.ErrorIs(t, err, kv.Invalid)
		require.ErrorContains(t, err, "keys list is empty")
		_, err = a.SubmitStoreTask(memKeys(2), values(1, 5))
		require.ErrorIs(t, err, kv.Invalid)
	})
	t.Run("rows 36, 49 and 50: absent and of another size miss alone", func(t *testing.T) {
		_, err := a.Store(ctx, memKeys(2), []kv.Buffer{value(0, 60), value(1, 60)})
		require.NoError(t, err)
		bufs := []kv.Buffer{make([]byte, 60), make([]byte, 1000), make([]byte, 50)}
		bits, err := a.Load(ctx, []kv.Key{memKey(0), memKey(77), memKey(1)}, bufs)
		require.NoError(t, err)
		require.Equal(t, "100", bits.String())
		require.Equal(t, value(0, 60), bufs[0])
		require.Equal(t, make([]byte, 1000), bufs[1])
		bits, err = a.Load(ctx, memKeys(2)[1:], []kv.Buffer{make([]byte, 60)})
		require.NoError(t, err)
		require.Equal(t, "1", bits.String(), "the connection is still usable")
	})
	t.Run("row 101: a longer value is a miss, not a hit with its beginning", func(t *testing.T) {
		bits, err := a.Load(ctx, memKeys(1), []kv.Buffer{make([]byte, 59)})
		require.NoError(t, err)
		require.Equal(t, "0", bits.String())
	})
	t.Run("row 39: delete of present, missing and repeated keys", func(t *testing.T) {
		k := memKey(0)
		r, err := a.Delete(ctx, []kv.Key{k, memKey(999), k})
		require.NoError(t, err)
		require.Equal(t, kv.DeleteResult{Deleted: 1, Absent: 2}, r)
	})
	t.Run("row 52: sizes 10, 20, 10 in one store", func(t *testing.T) {
		vs := []kv.Buffer{value(1, 10), value(2, 20), value(3, 10)}
		_, err := a.Store(ctx, memKeys(3), vs)
		require.NoError(t, err)
		bufs := []kv.Buffer{make([]byte, 10), make([]byte, 20), make([]byte, 10)}
		bits, err := a.Load(ctx, memKeys(3), bufs)
		require.NoError(t, err)
		require.Equal(t, "111", bits.String())
		require.Equal(t, vs, bufs)
	})
	t.Run("row 103: concurrent stores of one key all succeed and stay whole", func(t *testing.T) {
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Go(func() {
				for range 200 {
					if _, err := a.Store(ctx, memKeys(1), []kv.Buffer{bytes.Repeat([]byte{byte(g)}, 4096)}); err != nil {
						t.Error(err)
					}
					buf := make([]byte, 4096)
					bits, err := a.Load(ctx, memKeys(1), []kv.Buffer{buf})
					if err != nil || !bits.Test(0) || bytes.Count(buf, buf[:1]) != len(buf) {
						t.Errorf("torn: %v %v", bits.String(), err)
					}
				}
			})
		}
		wg.Wait()
	})
	t.Run("values of all sizes come back", func(t *testing.T) {
		for i, size := range []int{0, 1, 4095, 4096, 4097, 65536, 1 << 20, 16<<20 + 1} {
			_, err := a.Store(ctx, []kv.Key{memKey(i)}, []kv.Buffer{value(i, size)})
			require.NoError(t, err)
			buf := make([]byte, size)
			bits, err := a.Load(ctx, []kv.Key{memKey(i)}, []kv.Buffer{buf})
			require.NoError(t, err)
			require.Equal(t, "1", bits.String())
			require.True(t, bytes.Equal(value(i, size), buf), "size %d", size)
		}
	})
}

func TestRow40LargeBatchesAreTiledAndComplete(t *testing.T) {
	a := openMem(t, `{"workers":4}`)
	const n = 9000
	_, err := a.Store(context.Background(), memKeys(n), values(n, 64))
	require.NoError(t, err)
	bits, err := a.Lookup(context.Background(), append(memKeys(n), memKey(n)))
	require.NoError(t, err)
	require.Equal(t, n, bits.Count())
	require.Equal(t, n, bits.LeadingOnes())
	a.Unlock(memKeys(n))
	require.Zero(t, a.Stats().Pins)
}

func TestRows45And46CloseFinishesWhatIsQueued(t *testing.T) {
	needMem(t)
	cfg := parse(t, `{"type":"native_plugin","module_path":"mem","class_name":"mem","adapter_params":{"write_latency_us":1000,"workers":1}}`)[0]
	a, err := config.Build(t.Context(), cfg)
	require.NoError(t, err)
	want := map[kv.TaskID]kv.StoreResult{}
	for i := range 200 {
		id, err := a.SubmitStoreTask([]kv.Key{memKey(i)}, values(1, 100))
		require.NoError(t, err)
		want[id] = kv.StoreResult{OK: true, Bytes: 100}
	}
	require.NoError(t, a.Close())
	require.NoError(t, a.Close(), "row 45")
	require.Equal(t, want, a.PopCompletedStoreTasks(), "row 46")
}

func TestRow104ListAndRecover(t *testing.T) {
	ctx := context.Background()
	a := openMem(t, "{}")
	const n = 250
	_, err := a.Store(ctx, memKeys(n), values(n, 10))
	require.NoError(t, err)
	other := kv.Key{Model: "other", ChunkHash: "x"}
	_, err = a.Store(ctx, []kv.Key{other}, values(1, 7))
	require.NoError(t, err)

	seen, pages := map[kv.Key]int64{}, 0
	for token := ""; ; pages++ {
		page, err := a.ListKeys(ctx, "m", 40, token)
		require.NoError(t, err)
		require.LessOrEqual(t, len(page.Entries), 40)
		for _, e := range page.Entries {
			seen[e.Key] = e.SizeBytes
		}
		if token = page.NextPageToken; token == "" {
			break
		}
	}
	require.Len(t, seen, n, "every key of the model, over %d pages", pages)
	require.EqualValues(t, 10, seen[memKey(3)])

	before := a.Usage()
	found, err := a.Recover(ctx)
	require.NoError(t, err)
	require.Equal(t, n+1, found)
	require.Equal(t, before, a.Usage(), "what is accounted already is not counted twice")

	for _, bad := range []string{"x", "!.!", "AAAA", "-.-"} {
		_, err := a.ListKeys(ctx, "", 10, bad)
		require.ErrorIs(t, err, kv.Invalid, bad)
	}
	_, err = a.ListKeys(ctx, "", 0, "")
	require.ErrorContains(t, err, "page_size is 0, want 1 or more")
}

// TestMemEvictsByItself runs the bridge over a backend that forgets: what it
// does not have any more is a miss, never something else.
func TestMemEvictsByItself(t *testing.T) {
	ctx := context.Background()
	a := openMem(t, `{"capacity_bytes":65536}`)
	for i := range 100 {
		_, err := a.Store(ctx, []kv.Key{memKey(i)}, []kv.Buffer{value(i, 4096)})
		require.NoError(t, err)
	}
	hits := 0
	for i := range 100 {
		buf := make([]byte, 4096)
		bits, err := a.Load(ctx, []kv.Key{memKey(i)}, []kv.Buffer{buf})
		require.NoError(t, err)
		if bits.Test(0) {
			hits++
			require.Equal(t, value(i, 4096), buf)
		}
	}
	require.Equal(t, 16, hits, "65536 bytes hold 16 values of 4096, the youngest")
}

// TestSlowConnectorMeetsDeadlines has a real library answer late, with poisoned
// memory: the caller has its answer, and what comes late hurts nobody.
func TestSlowConnectorMeetsDeadlines(t *testing.T) {
	needMem(t)
	ctx := context.Background()
	ar, err := arena.New(arena.Options{Poison: true})
	require.NoError(t, err)
	cfg := parse(t, `{"type":"native_plugin","module_path":"mem","class_name":"mem",
		"adapter_params":{"read_latency_us":60000},"deadlines":{"load_ms":10},"breaker":{"failures":0}}`)[0]
	a, err := config.Builder{Arena: ar}.BuildNative(ctx, cfg)
	require.NoError(t, err)
	_, err = a.Store(ctx, memKeys(1), values(1, 4096))
	require.NoError(t, err)
	var late []*arena.Block
	for range 5 {
		block, err := ar.Alloc(4096)
		require.NoError(t, err)
		late = append(late, block)
		bits, err := a.Load(ctx, memKeys(1), []kv.Buffer{block.Bytes()})
		require.ErrorIs(t, err, kv.Timeout)
		require.Equal(t, "0", bits.String())
	}
	for _, block := range late {
		block.Release()
	}
	fresh, err := ar.Alloc(5 * 4096)
	require.NoError(t, err)
	clear(fresh.Bytes())
	require.Eventually(t, func() bool { return a.Stats().Late == 5 }, 30*time.Second, time.Millisecond)
	require.Equal(t, make([]byte, 5*4096), fresh.Bytes())
	fresh.Release()
	require.NoError(t, a.Close())
	require.NoError(t, ar.Close())
}

// TestNothingIsLeftBehind opens and closes the library many times, with work in
// between, and counts descriptors and threads.
func TestNothingIsLeftBehind(t *testing.T) {
	needMem(t)
	cycle := func() {
		a, err := config.Build(context.Background(), parse(t, `{"type":"native_plugin","module_path":"mem","class_name":"mem"}`)[0])
		require.NoError(t, err)
		_, err = a.Store(context.Background(), memKeys(4), values(4, 1000))
		require.NoError(t, err)
		require.NoError(t, a.Close())
	}
	cycle()
	fds, threads := count("/proc/self/fd/*"), connectorThreads(t)
	for range 20 {
		cycle()
	}
	require.Eventually(t, func() bool { return count("/proc/self/fd/*") <= fds }, 30*time.Second, 10*time.Millisecond)
	require.LessOrEqual(t, connectorThreads(t), threads)
}

func count(pattern string) int {
	found, _ := filepath.Glob(pattern)
	return len(found)
}

// connectorThreads counts the threads of connectors, which carry their name.
func connectorThreads(t *testing.T) int {
	t.Helper()
	names, err := filepath.Glob("/proc/self/task/*/comm")
	require.NoError(t, err)
	n := 0
	for _, path := range names {
		name, err := os.ReadFile(path)
		if err == nil && strings.HasPrefix(string(name), "sixcall:") {
			n++
		}
	}
	return n
}
