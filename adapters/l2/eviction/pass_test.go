package eviction_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/sixcall/sixcall/adapters/l2/eviction"
	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
)

func TestFailingAdapters(t *testing.T) {
	full := func(t *testing.T, c *fixture, id string) *fake {
		f := newFake(100)
		require.NoError(t, c.Add(id, f, lru))
		f.store(10, bridgetest.Keys(10)...)
		return f
	}
	broken := errors.New("the disk is on fire")
	for name, fail := range map[string]func(f *fake, on bool){
		"its delete returns an error": func(f *fake, on bool) {
			f.onDelete = func(context.Context, []kv.Key) error {
				if on {
					return broken
				}
				return nil
			}
		},
		"its delete panics": func(f *fake, on bool) {
			f.onDelete = func(context.Context, []kv.Key) error {
				if on {
					panic(broken)
				}
				return nil
			}
		},
		"its usage panics": func(f *fake, on bool) {
			f.onUsage = func() {
				if on {
					panic(broken)
				}
			}
		},
	} {
		t.Run("row 111: eviction keeps running when "+name, func(t *testing.T) {
			c := newFixture(t, eviction.Options{})
			bad, good := full(t, c, "bad"), full(t, c, "good")
			fail(bad, true)
			err := c.Cycle(background)
			require.ErrorContains(t, err, broken.Error())
			require.ErrorContains(t, err, `"bad"`)
			require.Len(t, good.left(), 7, "the other adapter is served: 3 keys bring it below 80 bytes")
			require.Equal(t, false, c.Status()["is_healthy"])
			for range 4 {
				_ = c.Cycle(background)
			}
			require.Len(t, bad.left(), 10)
			s := c.stats(t, "bad")
			require.Positive(t, s.Paused, "an adapter that keeps failing is asked less often")
			require.Greater(t, s.Errors, int64(1))
			require.Contains(t, s.LastError, broken.Error())
			require.Equal(t, 1, c.logs.FilterLevelExact(zap.WarnLevel).Len(), "one line for the whole burst")
			fail(bad, false)
			eventually(t, "the adapter recovers", func() bool { _ = c.Cycle(background); return len(bad.left()) < 8 })
			require.Equal(t, true, c.Status()["is_healthy"])
			require.Equal(t, 1, c.logs.FilterMessage("eviction works again").Len())
			require.Zero(t, c.stats(t, "bad").Failures)
		})
	}
	t.Run("D22: an adapter that deletes nothing and says nothing is unhealthy", func(t *testing.T) {
		c := newFixture(t, eviction.Options{EventWait: 1})
		f := full(t, c, "a")
		f.pin(true, bridgetest.Keys(10)...)
		f.countless = true
		require.ErrorContains(t, c.Cycle(background), "can the adapter delete?")
		require.Equal(t, []eviction.Evicted{{Adapter: "a", Trigger: "watermark", Requested: 3, PerSalt: map[string]int{}}}, c.evicted())
	})
	t.Run("an adapter that says only through events what it deleted is understood", func(t *testing.T) {
		c := newFixture(t, eviction.Options{EventWait: 1})
		f := full(t, c, "a")
		f.countless = true
		f.pin(true, keys(1)...)
		c.cycle(t)
		require.Equal(t, []int{1, 3, 4, 5, 6, 7, 8, 9}, f.left())
		require.Equal(t, 2, c.evicted()[0].Removed)
	})
	t.Run("a busy adapter gets smaller deletes, and its keys are not punished", func(t *testing.T) {
		c := newFixture(t, eviction.Options{})
		f := full(t, c, "a")
		limit := 1
		f.onDelete = func(_ context.Context, keys []kv.Key) error {
			if len(keys) > limit {
				return &kv.Error{Op: "delete", Code: kv.Busy}
			}
			return nil
		}
		c.cycle(t)
		require.Equal(t, []int{3, 4, 5, 6, 7, 8, 9}, f.left())
		require.Zero(t, c.stats(t, "a").Penalized)
		limit = 0
		f.store(10, keys(10, 11)...)
		require.ErrorIs(t, c.Cycle(background), kv.Busy)
		s := c.stats(t, "a")
		require.Zero(t, s.Failures, "busy is no failure")
		require.Zero(t, s.Penalized)
		require.Equal(t, int64(1), s.Busy)
		limit = 100
		c.cycle(t)
		f.store(10, bridgetest.Keys(20)...)
		c.cycle(t)
		f.store(10, bridgetest.Keys(20)...)
		c.cycle(t)
		calls := f.calls()
		require.Len(t, calls[len(calls)-1], 13, "its deletes have grown again")
	})
	t.Run("a backend that is down says nothing about single keys", func(t *testing.T) {
		c := newFixture(t, eviction.Options{})
		f := full(t, c, "a")
		f.onDelete = func(context.Context, []kv.Key) error { return kv.Unavailable }
		require.ErrorIs(t, c.Cycle(background), kv.Unavailable)
		s := c.stats(t, "a")
		require.Zero(t, s.Penalized)
		require.Equal(t, int64(3), s.Failed)
	})
	t.Run("a delete that hangs ends with its timeout", func(t *testing.T) {
		c := newFixture(t, eviction.Options{DeleteTimeout: 1})
		f := full(t, c, "a")
		f.onDelete = func(ctx context.Context, _ []kv.Key) error { <-ctx.Done(); return ctx.Err() }
		require.ErrorIs(t, c.Cycle(background), context.DeadlineExceeded)
		require.Equal(t, 1, c.stats(t, "a").Failures)
	})
}

func TestUnremovableKeys(t *testing.T) {
	five := func(t *testing.T, c *fixture) *fake {
		f := newFake(100)
		require.NoError(t, c.Add("a", f, eviction.Config{Policy: "LRU", TriggerWatermark: 0.2, EvictionRatio: 0.2}))
		f.store(10, bridgetest.Keys(5)...)
		return f
	}
	// One key a cycle: bytes would ask for more.
	oneByOne := func(t *testing.T, c *fixture) *fake {
		f := newFake(100)
		require.NoError(t, c.Add("a", f, eviction.Config{Policy: "LRU", TriggerWatermark: 0.5, EvictionRatio: 0.01}))
		f.store(10, bridgetest.Keys(5)...)
		return f
	}
	t.Run("row 112: a head that is pinned does not block the others", func(t *testing.T) {
		c := newFixture(t, eviction.Options{})
		f := oneByOne(t, c)
		f.pin(true, keys(0)...)
		c.cycle(t)
		require.Equal(t, [][]kv.Key{keys(0)}, f.calls())
		require.Equal(t, []eviction.Evicted{{Adapter: "a", Trigger: "watermark", Requested: 1, PerSalt: map[string]int{}}}, c.evicted(), "row 71: nothing was removed")
		require.Equal(t, int64(1), c.stats(t, "a").Pinned)
		for i := range 3 {
			c.cycle(t)
			f.store(10, keys(10+i)...) // stay at the watermark
		}
		require.Equal(t, []int{0, 4, 10, 11, 12}, f.left())
		require.Equal(t, 1, c.stats(t, "a").Penalized)
		require.Equal(t, int64(3), c.stats(t, "a").Removed)
	})
	t.Run("row 112: the penalty ends, and the key goes when it can", func(t *testing.T) {
		c := newFixture(t, eviction.Options{})
		f := oneByOne(t, c)
		f.pin(true, keys(0)...)
		c.cycle(t)
		f.pin(false, keys(0)...)
		for i := 0; f.has(bridgetest.Key(0)); i++ {
			require.Less(t, i, 10, "cycles until the key is tried again")
			c.cycle(t)
			f.store(10, keys(10+i)...)
		}
		require.Zero(t, c.stats(t, "a").Penalized)
	})
	t.Run("row 112: the penalty grows, up to a bound", func(t *testing.T) {
		c := newFixture(t, eviction.Options{})
		f := oneByOne(t, c)
		f.pin(true, keys(0)...)
		last, pauses := 0, []int{}
		for i := range 260 {
			n := len(f.calls())
			c.cycle(t)
			f.store(10, keys(10+i)...)
			if calls := f.calls(); len(calls) > n && calls[n][0] == bridgetest.Key(0) {
				pauses = append(pauses, i-last)
				last = i
			}
		}
		require.Equal(t, []int{0, 5, 9, 17, 33, 65, 65, 65}, pauses)
	})
	t.Run("D6, row 68: a key that is gone already counts as removed and is forgotten", func(t *testing.T) {
		c := newFixture(t, eviction.Options{})
		f := five(t, c)
		f.mute = true
		f.forget(keys(0, 1)...)
		f.store(10, keys(1)...) // it is there again
		c.cycle(t)              // of 40 bytes 19 may stay: 0 (gone), 2 and 3 are thought to be enough
		require.Equal(t, []int{1, 4}, f.left())
		require.Equal(t, 3, c.evicted()[0].Removed)
		require.Equal(t, 2, c.stats(t, "a").Tracked, "told without an event")
	})
	for _, async := range []bool{false, true} {
		t.Run(fmt.Sprintf("a delete that removes some keys punishes only the others/async=%v", async), func(t *testing.T) {
			c := newFixture(t, eviction.Options{EventWait: 30 * time.Second})
			f := five(t, c)
			f.async = async
			f.pin(true, keys(1)...)
			c.cycle(t) // four keys bring it below 20 bytes
			require.Equal(t, []int{1, 4}, f.left())
			s := c.stats(t, "a")
			require.Equal(t, 1, s.Penalized)
			require.Equal(t, 2, s.Tracked)
			require.Equal(t, []eviction.Evicted{{Adapter: "a", Trigger: "watermark", Requested: 4, Removed: 3, Bytes: 30, PerSalt: map[string]int{"": 3}}}, c.evicted())
		})
	}
	t.Run("an adapter without events is believed as far as it counts", func(t *testing.T) {
		c := newFixture(t, eviction.Options{EventWait: 1})
		f := five(t, c)
		f.mute = true
		f.pin(true, keys(1)...)
		c.cycle(t)
		require.Equal(t, []eviction.Evicted{{Adapter: "a", Trigger: "watermark", Requested: 4, Removed: 3, PerSalt: map[string]int{}}}, c.evicted())
		f.pin(false, keys(1)...)
		for i := range 8 { // until the penalties are over
			f.store(10, keys(10+2*i, 11+2*i)...)
			c.cycle(t)
		}
		require.Equal(t, len(f.left()), c.stats(t, "a").Tracked, "what it did not tell was found out")
	})
	t.Run("a key that is stored while it is deleted stays known", func(t *testing.T) {
		c := newFixture(t, eviction.Options{EventWait: 1})
		f := five(t, c)
		f.mute = true // so that only the counts tell of the delete
		f.onDelete = func(context.Context, []kv.Key) error {
			f.forget(keys(0)...)
			f.store(10, keys(0)...) // after the delete, as far as the adapter knows
			f.pin(true, keys(0)...)
			f.onDelete = nil
			return nil
		}
		c.cycle(t)
		require.True(t, f.has(bridgetest.Key(0)))
		f.pin(false, keys(0)...)
		eventually(t, "it can still be evicted", func() bool { c.cycle(t); f.store(10, keys(7, 8)...); return !f.has(bridgetest.Key(0)) })
	})
	t.Run("a key that is stored again before its delete returns stays known", func(t *testing.T) {
		for _, mute := range []bool{false, true} {
			c := newFixture(t, eviction.Options{})
			f := five(t, c)
			f.mute = mute
			f.onDeleted = func() { f.store(10, keys(0)...) }
			c.cycle(t)
			require.Equal(t, []int{0, 4}, f.left())
			require.Equal(t, 2, c.stats(t, "a").Tracked, "no events of deletes: %v", mute)
			require.Equal(t, 4, c.evicted()[0].Removed)
		}
	})
	t.Run("a late event of a delete that timed out settles the key", func(t *testing.T) {
		c := newFixture(t, eviction.Options{})
		f := five(t, c)
		f.onDelete = func(context.Context, []kv.Key) error { return kv.Timeout }
		require.ErrorIs(t, c.Cycle(background), kv.Timeout)
		require.Equal(t, 4, c.stats(t, "a").Penalized)
		f.forget(keys(0)...)
		f.listeners[0].KeysDeleted(keys(0))
		require.Equal(t, 3, c.stats(t, "a").Penalized)
		require.Equal(t, 4, c.stats(t, "a").Tracked)
	})
	t.Run("with nothing left to take it is said once", func(t *testing.T) {
		c, f := newFixture(t, eviction.Options{}), newFake(100)
		f.store(90, keys(1)...)
		require.NoError(t, c.Add("a", f, lru))
		c.cycle(t)
		c.cycle(t)
		require.Equal(t, 1, c.logs.FilterMessageSnippet("no key is left that could go").Len())
		require.Equal(t, int64(2), c.stats(t, "a").Starved)
	})
}
