//go:build linux && (amd64 || arm64)

package native_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/native"
)

// BenchmarkSubmitDrain measures one lookup batch from submit to drained
// completion over a connector that completes inside submit, so it is the cost of
// two calls, the encoding, and what the connector does per key. 0 allocs/op.
func BenchmarkSubmitDrain(b *testing.B) {
	path := compile(b)
	for _, keys := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("keys=%d", keys), func(b *testing.B) {
			c := open(b, native.Options{Connector: path})
			batch := newBatch(b, kv.OpExists, 1, keys, 0)
			var done [16]kv.Completion
			b.ReportAllocs()
			for b.Loop() {
				if err := c.Submit(batch); err != nil {
					b.Fatal(err)
				}
				if n, err := c.Drain(done[:]); n != 1 {
					b.Fatal(n, err)
				}
			}
			require.EqualValues(b, 1, done[0].Ticket)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*keys), "ns/key")
		})
	}
}

// BenchmarkCall measures the bare way into C and back, for four arguments. Its
// cgo twin is in bridge/bench/cgo; the goal is at most 1.25 times that.
func BenchmarkCall(b *testing.B) {
	fn := numbers(b)
	for _, path := range []string{"own", "trampoline", "syscalln"} {
		b.Run("path="+path, func(b *testing.B) {
			c, ok := native.NewCaller(path)
			if !ok {
				b.Skip("not on this architecture")
			}
			b.ReportAllocs()
			for b.Loop() {
				c.Call(fn, 1, 2, 3, 4)
			}
		})
	}
	b.Run("path=pooled", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			native.CallPooled(fn, 1, 2, 3, 4)
		}
	})
}

// BenchmarkSubmit measures a submit that the library refuses at once, so it is
// the cost of the encoding and of one call, with nothing behind it.
func BenchmarkSubmit(b *testing.B) {
	path := compile(b, "REFUSE_WITH=-2")
	for _, keys := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("keys=%d", keys), func(b *testing.B) {
			c := open(b, native.Options{Connector: path})
			batch := newBatch(b, kv.OpGet, 1, keys, 8)
			batch.Err = nil
			b.ReportAllocs()
			for b.Loop() {
				if err := c.Submit(batch); err == nil {
					b.Fatal("accepted")
				}
			}
		})
	}
}

// BenchmarkSubmitParallel is BenchmarkSubmit for one key from all processors.
func BenchmarkSubmitParallel(b *testing.B) {
	c := open(b, native.Options{Connector: compile(b, "REFUSE_WITH=-2")})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		batch := newBatch(b, kv.OpExists, 1, 1, 0)
		batch.Err = nil
		for pb.Next() {
			if err := c.Submit(batch); err == nil {
				b.Error("accepted")
			}
		}
	})
}
