//go:build linux && (amd64 || arm64)

package worker_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge"
	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/bridge/worker"
	"github.com/sixcall/sixcall/native"
)

// benchModes opens the mem connector in this process and in one of its own, behind a
// bridge each.
func benchModes(b *testing.B, run func(b *testing.B, br *bridge.Bridge)) {
	opts := mem(b, `{}`)
	for _, mode := range []string{"process", "isolated"} {
		b.Run("mode="+mode, func(b *testing.B) {
			var conn kv.Connector
			a, err := arena.New(arena.Options{SegmentBytes: 256 << 20, Prefault: true})
			require.NoError(b, err)
			defer a.Close()
			if mode == "process" {
				conn, err = native.Open(native.Options{Connector: opts.Library, Params: opts.Params})
			} else {
				opts.Arena = a
				conn, err = worker.Open(b.Context(), opts)
			}
			require.NoError(b, err)
			br, err := bridge.New(conn, bridge.Options{Arena: a})
			require.NoError(b, err)
			run(b, br)
			require.NoError(b, br.Close())
		})
	}
}

// BenchmarkLookup measures one task at a time from submit to answer. The difference
// of the two modes is what isolation adds: two wake-ups of another process.
func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
			benchModes(b, func(b *testing.B, br *bridge.Bridge) {
				keys := bridgetest.Keys(n)
				measure(b, 1, func(int) error {
					_, err := br.Do(b.Context(), bridge.Lookup, keys, nil)
					br.Unlock(keys)
					return err
				})
			})
		})
	}
}

// BenchmarkLoad measures loads of values that the connector copies into arena
// memory, some of them at the same time.
func BenchmarkLoad(b *testing.B) {
	for _, depth := range []int{1, 8} {
		for _, size := range []int{4 << 10, 64 << 10, 1 << 20, 4 << 20} {
			b.Run(fmt.Sprintf("depth=%d/size=%d", depth, size), func(b *testing.B) {
				benchModes(b, func(b *testing.B, br *bridge.Bridge) {
					keys := bridgetest.Keys(depth)
					bufs := bridgetest.Buffers(b, br.Arena(), depth, size, 1)
					_, err := br.Do(b.Context(), bridge.Store, keys, bufs)
					require.NoError(b, err)
					b.SetBytes(int64(size))
					measure(b, depth, func(i int) error {
						r, err := br.Do(b.Context(), bridge.Load, keys[i:i+1], bufs[i:i+1])
						if err == nil && !r.Bits.Test(0) {
							return fmt.Errorf("a miss")
						}
						return err
					})
				})
			})
		}
	}
}

// measure runs tasks on depth goroutines and reports the spread of their times.
func measure(b *testing.B, depth int, do func(i int) error) {
	took := make([][]time.Duration, depth)
	for i := range depth { // the first one maps memory
		if err := do(i); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for i := range depth {
		wg.Go(func() {
			for range b.N/depth + 1 {
				start := time.Now()
				if err := do(i); err != nil {
					b.Error(err)
					return
				}
				took[i] = append(took[i], time.Since(start))
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	all := slices.Concat(took...)
	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)/2].Nanoseconds())/1e3, "p50-µs")
	b.ReportMetric(float64(all[len(all)*99/100].Nanoseconds())/1e3, "p99-µs")
}
