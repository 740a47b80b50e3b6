package bridge_test

import (
	"fmt"
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
