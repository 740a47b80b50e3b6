package bridge_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge"
	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
)

// sick makes a connector fail every batch of op while the flag is set.
func sick(flag *atomic.Bool, ops ...kv.Op) func(*bridgetest.Connector) {
	return func(c *bridgetest.Connector) {
		c.OnComplete = func(b *kv.Batch, rec *kv.Completion) {
			for _, op := range ops {
				if flag.Load() && b.Op == op {
					rec.RC = kv.Unavailable
					for i := range b.Status {
						b.Status[i] = kv.StatusError
					}
					b.Err.Set(kv.Unavailable, 0, "the backend went away")
				}
			}
		}
	}
}

func TestBreakerOpensAnswersAtOnceAndCloses(t *testing.T) {
	var down atomic.Bool
	f := newFixture(t, bridge.Options{Breaker: bridge.BreakerOptions{Failures: 3, Cooldown: 20 * time.Millisecond}},
		sick(&down, kv.OpGet))
	keys, bufs := bridgetest.Keys(1), bridgetest.Buffers(t, f.Arena(), 1, 8, 1)
	_, err := f.Do(background, bridge.Store, keys, bufs)
	require.NoError(t, err)
	require.Equal(t, "ready", f.Health().State)

	down.Store(true)
	_, err = f.Do(background, bridge.Load, keys, bufs)
	require.ErrorIs(t, err, kv.Unavailable)
	require.Equal(t, "degraded", f.Health().State)
	require.True(t, f.Health().Healthy())
	for range 2 {
		_, err = f.Do(background, bridge.Load, keys, bufs)
		require.ErrorContains(t, err, "the backend went away")
	}
	h := f.Health()
	require.Equal(t, "open", h.State)
	require.Contains(t, h.Reason, "load: ")
	require.Contains(t, h.Reason, "the backend went away")

	before := f.conn.Submits()
	r, err := f.Do(background, bridge.Load, keys, bufs)
	require.ErrorIs(t, err, kv.Unavailable)
	if r.Outcome == bridge.Dropped { // else the cooldown was over already
		require.Equal(t, before, f.conn.Submits(), "an open breaker does not ask the connector")
	}
	_, err = f.Do(background, bridge.Lookup, keys, nil)
	require.NoError(t, err, "other classes are not stopped")

	down.Store(false)
	eventually(t, "the breaker lets one task through and closes", func() bool {
		r, err := f.Do(background, bridge.Load, keys, bufs)
		return err == nil && r.Bits.Test(0)
	})
	require.Equal(t, "ready", f.Health().State)
}

func TestLookupBreakerRecoversByProbe(t *testing.T) {
	for _, ping := range []bool{false, true} {
		t.Run(map[bool]string{false: "exists", true: "ping"}[ping], func(t *testing.T) {
			var down atomic.Bool
			f := newFixture(t, bridge.Options{Breaker: bridge.BreakerOptions{Failures: 1, Cooldown: 5 * time.Millisecond}},
				sick(&down, kv.OpExists, kv.OpPing), func(c *bridgetest.Connector) {
					if ping {
						c.ExtraCaps = kv.CapPing
					}
				})
			down.Store(true)
			_, err := f.Do(background, bridge.Lookup, bridgetest.Keys(1), nil)
			require.Error(t, err)
			down.Store(false)
			eventually(t, "nobody had to ask", func() bool { return f.Health().State == "ready" })
			require.Zero(t, f.Stats().Pins)
		})
	}
}

func TestSilentConnectorOpensTheBreaker(t *testing.T) {
	f := newFixture(t, bridge.Options{
		Deadlines: bridge.Deadlines{Lookup: 20 * time.Millisecond},
		Breaker:   bridge.BreakerOptions{Failures: 2, Cooldown: time.Hour},
	}, func(c *bridgetest.Connector) { c.Hold = true })
	sink := newCollector()
	for range 2 {
		_, err := f.Submit(bridge.Lookup, bridgetest.Keys(1), nil, sink)
		require.NoError(t, err)
	}
	for range 2 {
		require.Equal(t, bridge.Deadline, sink.next(t).Outcome)
	}
	eventually(t, "open", func() bool { return f.Health().State == "open" })
	_, err := f.Submit(bridge.Lookup, bridgetest.Keys(3), nil, sink)
	require.NoError(t, err)
	r := sink.next(t)
	require.Equal(t, bridge.Dropped, r.Outcome)
	require.Equal(t, "000", text(r.Bits))
	require.Equal(t, int64(1), f.Stats().Classes["lookup"].Dropped)
}

func TestRefusedKeysDoNotOpenTheBreaker(t *testing.T) {
	f := newFixture(t, bridge.Options{Breaker: bridge.BreakerOptions{Failures: 1}}, func(c *bridgetest.Connector) {
		c.OnComplete = func(b *kv.Batch, rec *kv.Completion) {
			if b.Op == kv.OpSet {
				b.Status[0] = kv.StatusRefused
			}
		}
	})
	for range 5 {
		_, err := f.Do(background, bridge.Store, bridgetest.Keys(1), bridgetest.Buffers(t, f.Arena(), 1, 8, 1))
		require.ErrorIs(t, err, kv.NoSpace)
	}
	require.Equal(t, "ready", f.Health().State)
}

func TestIntegrityFindsEveryFlippedByte(t *testing.T) {
	var flip atomic.Int64
	flip.Store(-1)
	f := newFixture(t, bridge.Options{Integrity: bridge.IntegrityXXH3}, func(c *bridgetest.Connector) {
		c.OnComplete = func(b *kv.Batch, rec *kv.Completion) {
			if at := flip.Load(); b.Op == kv.OpGet && at >= 0 {
				b.Bufs[0][at] ^= 0x10
			}
		}
	})
	keys := bridgetest.Keys(1)
	value := bridgetest.Buffers(t, f.Arena(), 1, 40, 7)
	buf := bridgetest.Buffers(t, f.Arena(), 1, 40, 0)
	for at := int64(-1); at < 40+16; at++ {
		flip.Store(-1)
		_, err := f.Do(background, bridge.Store, keys, value)
		require.NoError(t, err)
		require.Equal(t, int64(40), f.Usage().BytesUsed)
		flip.Store(at)
		r, err := f.Do(background, bridge.Load, keys, buf)
		require.NoError(t, err)
		require.Equal(t, at < 0, r.Bits.Test(0), "byte %d", at)
		require.Equal(t, at+1, f.Stats().Corrupt)
		if at >= 0 {
			eventually(t, "a corrupt value is deleted", func() bool { return !f.conn.Has(keys[0]) && f.Stats().Hidden == 0 })
		} else {
			require.Equal(t, value[0], buf[0])
		}
	}
}

func TestIntegrityFindsTheValueOfAnotherKey(t *testing.T) {
	f := newFixture(t, bridge.Options{Integrity: bridge.IntegrityXXH3}, func(c *bridgetest.Connector) {
		var first []byte
		c.OnComplete = func(b *kv.Batch, rec *kv.Completion) {
			switch {
			case b.Op == kv.OpSet && first == nil:
				first = append(first, b.Bufs[0]...)
			case b.Op == kv.OpGet:
				copy(b.Bufs[0], first)
			}
		}
	})
	for i := range 2 {
		_, err := f.Do(background, bridge.Store, []kv.Key{bridgetest.Key(i)}, []kv.Buffer{make([]byte, 64)})
		require.NoError(t, err)
	}
	for i, want := range []string{"1", "0"} {
		r, err := f.Do(background, bridge.Load, []kv.Key{bridgetest.Key(i)}, []kv.Buffer{make([]byte, 64)})
		require.NoError(t, err)
		require.Equal(t, want, text(r.Bits))
	}
}

// A connector without a process behind it is like an open breaker: the host hears of
// misses, not of an error that would end more than this adapter's part.
func TestSubmitWithoutAWorkerIsAnsweredAsDropped(t *testing.T) {
	var away atomic.Bool
	f := newFixture(t, bridge.Options{MaxCapacityBytes: 8}, func(c *bridgetest.Connector) {
		c.OnSubmit = func(*kv.Batch) error {
			if away.Load() {
				return &kv.Error{Op: "submit", Connector: "test", Code: kv.Unavailable}
			}
			return nil
		}
	})
	keys, bufs := bridgetest.Keys(1), bridgetest.Buffers(t, f.Arena(), 1, 8, 1)
	sink := newCollector()
	away.Store(true)
	for _, kind := range []bridge.Kind{bridge.Store, bridge.Load, bridge.Lookup, bridge.Delete} {
		given := bufs
		if kind == bridge.Lookup || kind == bridge.Delete {
			given = nil
		}
		id, err := f.Submit(kind, keys, given, sink)
		require.NoError(t, err, kind)
		r := <-sink.results
		require.Equal(t, id, r.ID)
		require.Equal(t, bridge.Dropped, r.Outcome, kind)
		require.ErrorIs(t, r.Err, kv.Unavailable)
		require.Zero(t, r.Bits.Count())
		_, err = f.Do(background, kind, keys, given)
		require.ErrorIs(t, err, kv.Unavailable)
	}
	away.Store(false)
	// Nothing was kept: capacity, memory and keys are free.
	_, err := f.Do(background, bridge.Store, keys, bufs)
	require.NoError(t, err)
	r, err := f.Do(background, bridge.Load, keys, bufs)
	require.NoError(t, err)
	require.Equal(t, "1", r.Bits.String())
}

func TestLookFindsWhatWasJustSubmitted(t *testing.T) {
	f := newFixture(t, bridge.Options{Spin: time.Minute})
	sink := newCollector()
	_, err := f.Submit(bridge.Lookup, bridgetest.Keys(1), nil, sink)
	require.NoError(t, err)
	require.True(t, f.Look(bridge.Lookup))
	require.Equal(t, bridge.Lookup, (<-sink.results).Kind)

	held := newFixture(t, bridge.Options{Spin: time.Millisecond}, func(c *bridgetest.Connector) { c.Hold = true })
	_, err = held.Submit(bridge.Lookup, bridgetest.Keys(1), nil, sink)
	require.NoError(t, err)
	require.False(t, held.Look(bridge.Lookup), "it is not looked for beyond the limit")
	held.conn.Release(1)
	require.Equal(t, bridge.Lookup, (<-sink.results).Kind)
}
