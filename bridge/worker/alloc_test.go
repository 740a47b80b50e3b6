//go:build linux && (amd64 || arm64)

package worker_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/bridge/worker"
)

// TestSteadyStateDoesNotAllocate pins the promise of the data path: a batch of 256
// keys costs no allocation, like one of a single key.
func TestSteadyStateDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes closures escape; the run without it counts")
	}
	opts := fakeOptions(t, "good")
	opts.PingInterval = 1 << 40 // its answers allocate
	c := open(t, opts)
	for _, op := range []kv.Op{kv.OpSet, kv.OpGet, kv.OpExists} {
		for _, n := range []int{1, 256} {
			b := batch(t, c.Arena(), op, 1, n, 64, "k")
			done := make([]kv.Completion, 16)
			once := func() {
				if err := c.Submit(b); err != nil {
					t.Error(err)
				}
				for {
					taken, err := c.Drain(done)
					if err != nil {
						t.Error(err)
					}
					if taken > 0 || t.Failed() {
						return
					}
				}
			}
			for range 100 {
				once()
			}
			require.Less(t, testing.AllocsPerRun(500, once), 1.0, "%s of %d keys", op, n)
		}
	}
}

// TestBusyDoesNotAllocate: a full queue is a usual answer.
func TestBusyDoesNotAllocate(t *testing.T) {
	opts := fakeOptions(t, "hold")
	opts.MaxInFlight, opts.PingInterval = 1, 1<<40
	c := open(t, opts)
	require.NoError(t, c.Submit(batch(t, c.Arena(), kv.OpExists, 1, 1, 0, "k")))
	b := batch(t, c.Arena(), kv.OpExists, 2, 1, 0, "k")
	require.Zero(t, testing.AllocsPerRun(500, func() {
		if c.Submit(b) == nil {
			t.Error("accepted")
		}
	}))
}

var _ kv.Connector = (*worker.Connector)(nil)
