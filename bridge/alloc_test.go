package bridge_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge"
	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
)

// TestSteadyStateDoesNotAllocatePerKey pins the promise of the data path: a task
// of 256 keys allocates no more than one of a single key, which is nothing.
func TestSteadyStateDoesNotAllocatePerKey(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool drop what it holds; the run without it counts")
	}
	b, err := bridge.New(bridgetest.NewNull(t), bridge.Options{})
	require.NoError(t, err)
	defer b.Close()
	for _, kind := range []bridge.Kind{bridge.Lookup, bridge.Load, bridge.Store, bridge.Delete} {
		for _, n := range []int{1, 256} {
			keys := bridgetest.Keys(n)
			var bufs []kv.Buffer
			if kind == bridge.Load || kind == bridge.Store {
				bufs = bridgetest.Buffers(t, b.Arena(), n, 64, 0)
			}
			run := func() {
				if _, err := b.Do(background, kind, keys, bufs); err != nil {
					t.Error(err)
				}
				if kind == bridge.Lookup {
					b.Unlock(keys)
				}
			}
			for range 100 {
				run()
			}
			// The pools may be emptied by a collection in between: less than one.
			require.Less(t, testing.AllocsPerRun(500, run), 1.0, "%s of %d keys", kind, n)
		}
	}
}

// BenchmarkDo measures one task from submit to result over a connector that
// completes at once and moves no bytes: the cost of the bridge and nothing else.
func BenchmarkDo(b *testing.B) {
	for _, kind := range []bridge.Kind{bridge.Lookup, bridge.Load} {
		for _, n := range []int{1, 16, 256} {
			b.Run(fmt.Sprintf("kind=%s/keys=%d", kind, n), func(b *testing.B) {
				br, err := bridge.New(bridgetest.NewNull(b), bridge.Options{})
				require.NoError(b, err)
				defer br.Close()
				keys := bridgetest.Keys(n)
				var bufs []kv.Buffer
				if kind == bridge.Load {
					bufs = bridgetest.Buffers(b, br.Arena(), n, 64, 0)
				}
				b.ReportAllocs()
				for b.Loop() {
					if _, err := br.Do(background, kind, keys, bufs); err != nil {
						b.Fatal(err)
					}
					if kind == bridge.Lookup {
						br.Unlock(keys)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/key")
			})
		}
	}
}

// TestAMillionKeysCostAtMost100BytesEach stores a million keys and looks at the heap.
func TestAMillionKeysCostAtMost100BytesEach(t *testing.T) {
	if raceEnabled || testing.Short() {
		t.Skip("a long loop without concurrency; the run without the race detector counts")
	}
	b, err := bridge.New(bridgetest.NewNull(t), bridge.Options{})
	require.NoError(t, err)
	defer b.Close()
	const keys, batch = 1_000_000, 500
	bufs := bridgetest.Buffers(t, b.Arena(), batch, 64, 0)
	list := bridgetest.Keys(batch)
	store := func(first int) {
		for i := range list {
			list[i].ChunkHash = fmt.Sprintf("chunk %d", first+i)
		}
		_, err := b.Do(background, bridge.Store, list, bufs)
		require.NoError(t, err)
	}
	store(0)
	before := heapInUse()
	for n := batch; n < keys; n += batch {
		store(n)
	}
	per := float64(heapInUse()-before) / keys
	require.Equal(t, int64(keys), b.Usage().Keys)
	require.Less(t, per, 100.0, "bytes of heap per key")
	t.Logf("%.1f bytes of heap per key", per)
}

// heapInUse returns the bytes in use after a collection.
func heapInUse() uint64 {
	runtime.GC()
	runtime.GC() // what sync.Pool kept over the first
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
