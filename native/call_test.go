//go:build linux && (amd64 || arm64)

package native_test

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/native"
)

// numbers returns the address of uint64_t numbers(a, b, c, d) = a+2b+3c+4d.
func numbers(t testing.TB) uintptr {
	path := compileFile(t, "numbers", "-O2", "-shared", "-fPIC", "testdata/numbers.c")
	fn, err := native.Symbol(path, "numbers")
	require.NoError(t, err)
	return fn
}

func TestCallsTakeFourArgumentsAndReturnOne(t *testing.T) {
	require.True(t, native.FastCalls(), "purego changed its frame: look at call.go, or accept calls at half the speed")
	fn := numbers(t)
	for _, path := range []string{"own", "trampoline", "syscalln"} {
		c, ok := native.NewCaller(path)
		if !ok {
			require.NotEqual(t, "amd64", runtime.GOARCH)
			continue
		}
		for range 3 { // a frame is used again
			require.EqualValues(t, 30, c.Call(fn, 1, 2, 3, 4), path)
			require.EqualValues(t, uint64(1)<<63, c.Call(fn, 1<<63, 0, 0, 0))
		}
	}
	require.EqualValues(t, 30, native.CallPooled(fn, 1, 2, 3, 4))
}

func TestSubmitAndDrainDoNotAllocate(t *testing.T) {
	for _, threads := range []string{"PARALLEL", "PER_HANDLE", "SERIAL"} {
		t.Run(threads, func(t *testing.T) {
			c := open(t, native.Options{Connector: compile(t, "THREADS=SIXCALL_THREADS_"+threads)})
			batches := []*kv.Batch{
				newBatch(t, kv.OpSet, 1, 64, 128), newBatch(t, kv.OpGet, 2, 64, 128),
				newBatch(t, kv.OpExists, 3, 64, 0), newBatch(t, kv.OpDelete, 4, 64, 0), newBatch(t, kv.OpPing, 5, 0, 0),
			}
			var done [16]kv.Completion
			allocs := testing.AllocsPerRun(200, func() {
				for _, b := range batches {
					if err := c.Submit(b); err != nil {
						t.Error(err)
					}
				}
				if n, err := c.Drain(done[:]); n != len(batches) || err != nil {
					t.Error(n, err)
				}
			})
			require.Zero(t, allocs)
		})
	}
}

func TestAFullQueueIsRefusedWithoutAllocation(t *testing.T) {
	c := open(t, native.Options{Connector: compile(t)})
	b := newBatch(t, kv.OpExists, 1, 1, 0)
	var err error
	for err == nil {
		err = c.Submit(b)
	}
	require.ErrorIs(t, err, kv.Busy)
	require.True(t, err.(*kv.Error).Retryable())
	require.Zero(t, testing.AllocsPerRun(100, func() { _ = c.Submit(b) }))

	total := 0
	done := make([]kv.Completion, 700) // more than one native drain, less than all
	for n := len(done); n == len(done); total += n {
		n, err = c.Drain(done)
		require.NoError(t, err)
	}
	require.Equal(t, 1024, total)
}
