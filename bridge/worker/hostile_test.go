//go:build linux && (amd64 || arm64)

package worker_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge"
	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/bridge/worker"
)

// TestAWorkerThatBreaksTheProtocolIsEnded has workers that write or send what they
// must not. Each is named for it, killed, and followed by the next.
func TestAWorkerThatBreaksTheProtocolIsEnded(t *testing.T) {
	for does, want := range map[string]string{
		"tail-far":      "its tail of the completions is out of range",
		"tail-back":     "its tail of the completions is out of range",
		"sq-head":       "its head of the submissions is out of range",
		"unasked":       "it answered request 999, which is not out",
		"second-hello":  "it sent a second hello",
		"empty-message": "it closed its control socket",
		"long-message":  "it sent a message of more than 65536 bytes",
		"bad-message":   "a message of 64 bytes that does not decode",
		"wrong-answer":  "it answered a worker.usageRequest with a worker.done",
	} {
		t.Run(does, func(t *testing.T) {
			opts := fakeOptions(t, does)
			var starts atomic.Int32
			opts.OnState = func(s worker.Status) {
				if s.State == worker.Starting {
					starts.Add(1)
				}
			}
			c := open(t, opts)
			get := batch(t, c.Arena(), kv.OpGet, 1, 1, 10, "k")
			eventually(t, "it is ended", func() bool {
				_ = c.Submit(get) // its completion may never come
				_, _ = c.Drain(make([]kv.Completion, 1))
				_, _, _, _ = c.Usage()
				// One that breaks it very early did not come up: look at the next one.
				s := c.Status()
				return starts.Load() > 2 && s.LastReason == worker.ReasonProtocol && strings.Contains(s.LastText, want)
			})
		})
	}
	t.Run("map-nowhere", func(t *testing.T) {
		c := open(t, fakeOptions(t, "map-nowhere"))
		require.ErrorContains(t, c.Submit(batch(t, c.Arena(), kv.OpGet, 1, 1, 10, "k")), "mapped at 0x0")
	})
	t.Run("slow-map", func(t *testing.T) {
		c := open(t, fakeOptions(t, "slow-map"))
		err := c.Submit(batch(t, c.Arena(), kv.OpGet, 1, 1, 10, "k"))
		require.ErrorIs(t, err, kv.Unavailable)
		require.ErrorContains(t, err, "could not map the memory of the batch")
	})
}

func TestCompletionsThatFitNoBatchAreCounted(t *testing.T) {
	c := open(t, fakeOptions(t, "tickets"))
	for i := range 100 {
		exists := batch(t, c.Arena(), kv.OpExists, uint64(i), 1, 0, "k")
		require.Equal(t, kv.OK, run(t, c, exists).RC)
	}
	// The copy of the last one may not be there yet.
	eventually(t, "all were counted", func() bool {
		n, err := c.Drain(make([]kv.Completion, 8))
		require.NoError(t, err)
		require.Zero(t, n)
		return c.Status().UnknownTickets == 700
	})
	require.Zero(t, c.Status().Restarts, "a library can do that, too")
}

func TestAWrongOperationIsCountedAndPassedOn(t *testing.T) {
	c := open(t, fakeOptions(t, "wrong-op"))
	require.EqualValues(t, 77, run(t, c, batch(t, c.Arena(), kv.OpExists, 1, 1, 0, "k")).Op)
	require.EqualValues(t, 1, c.Status().WrongOps)
}

func TestAListingIsNotBelieved(t *testing.T) {
	c := open(t, fakeOptions(t, "good"))
	_, _, err := c.List(t.Context(), nil)
	require.ErrorIs(t, err, kv.Internal)
	require.ErrorContains(t, err, "an entry with a key of 200 bytes")
	_, _, err = c.List(t.Context(), make([]byte, 217))
	require.ErrorIs(t, err, kv.Invalid)
}

// TestSeizedEventDescriptorsBlockNobody has a worker that makes the event descriptors
// that it was given blocking, fills one and never clears it.
func TestSeizedEventDescriptorsBlockNobody(t *testing.T) {
	opts := fakeOptions(t, "event-fd")
	opts.PingInterval, opts.HangTimeout = 10*time.Millisecond, 100*time.Millisecond
	c := open(t, opts)
	b := batch(t, c.Arena(), kv.OpExists, 1, 1, 0, "k")
	for range 10 {
		eventually(t, "submitted", func() bool { return c.Submit(b) == nil })
		next(t, c)
		_, err := c.Drain(make([]kv.Completion, 1)) // of an empty, blocking descriptor
		require.NoError(t, err)
	}
}

// TestNoiseInSharedMemoryHurtsNobody runs a bridge over a worker that overwrites all
// memory that it shares, all the time, and completes batches anyway: every request
// is answered, and the race detector and the runtime have nothing to say.
func TestNoiseInSharedMemoryHurtsNobody(t *testing.T) {
	for _, does := range []string{"scribble", "scribble,gently", "scribble,tickets", "scribble,twice,wrong-op"} {
		t.Run(does, func(t *testing.T) {
			conn, err := worker.Open(t.Context(), fakeOptions(t, does))
			require.NoError(t, err)
			for _, integrity := range []bridge.Integrity{bridge.IntegrityOff, bridge.IntegrityXXH3} {
				if integrity == bridge.IntegrityXXH3 {
					conn, err = worker.Open(t.Context(), fakeOptions(t, does))
					require.NoError(t, err)
				}
				b, err := bridge.New(conn, bridge.Options{Arena: conn.Arena(), CloseGrace: 50 * time.Millisecond, Integrity: integrity,
					Breaker: bridge.BreakerOptions{Failures: -1}})
				require.NoError(t, err)
				answers := 0
				keys := bridgetest.Keys(40)
				var wg sync.WaitGroup
				var mu sync.Mutex
				for range 4 {
					bufs := bridgetest.Buffers(t, b.Arena(), 40, 300, 1)
					wg.Go(func() {
						for i := range 200 {
							kind := []bridge.Kind{bridge.Store, bridge.Lookup, bridge.Load, bridge.Delete}[i%4]
							var with []kv.Buffer
							if kind == bridge.Store || kind == bridge.Load {
								with = bufs
							}
							_, _ = b.Do(t.Context(), kind, keys[:1+i%40], with)
							mu.Lock()
							answers++
							mu.Unlock()
						}
					})
				}
				wg.Wait()
				require.Equal(t, 800, answers)
				require.NoError(t, b.Close())
			}
		})
	}
}
