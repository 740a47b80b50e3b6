package eviction_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/adapters/l2/eviction"
	"github.com/sixcall/sixcall/adapters/l2/eviction/quota"
	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
)

var lru = eviction.DefaultConfig("LRU")

func TestWatermark(t *testing.T) {
	t.Run("row 105: below the watermark nothing goes, at it trunc(ratio*n)", func(t *testing.T) {
		c, f := newFixture(t, eviction.Options{}), newFake(140)
		require.NoError(t, c.Add("a", f, lru))
		f.store(7, bridgetest.Keys(14)...) // 98 of 140: 0.7
		c.cycle(t)
		require.Empty(t, f.calls())
		f.store(14, bridgetest.Key(14)) // 112 of 140: 0.8
		c.cycle(t)
		require.Equal(t, [][]kv.Key{keys(0, 1, 2)}, f.calls(), "trunc(0.2*15)")
		c.cycle(t)
		require.Len(t, f.calls(), 1, "below the watermark again")
		require.Equal(t, []eviction.Evicted{{
			Adapter: "a", Trigger: eviction.TriggerWatermark, Requested: 3, Removed: 3, Bytes: 21, PerSalt: map[string]int{"": 3},
		}}, c.evicted())
	})
	t.Run("row 105: at least one key goes", func(t *testing.T) {
		c, f := newFixture(t, eviction.Options{}), newFake(100)
		require.NoError(t, c.Add("a", f, lru))
		f.store(40, keys(1, 2)...)
		c.cycle(t)
		require.Equal(t, [][]kv.Key{keys(1)}, f.calls())
	})
	t.Run("small old keys go until the usage is below the watermark", func(t *testing.T) {
		c, f := newFixture(t, eviction.Options{}), newFake(100)
		require.NoError(t, c.Add("a", f, lru))
		f.store(1, bridgetest.Keys(5)...)
		f.store(30, keys(10, 11, 12)...)
		c.cycle(t)
		require.Equal(t, []int{11, 12}, f.left())
	})
	t.Run("keys of unknown size are not all taken", func(t *testing.T) {
		c, f := newFixture(t, eviction.Options{}), newFake(100)
		f.store(8, bridgetest.Keys(10)...) // before anybody listens
		require.NoError(t, c.Add("a", f, lru))
		f.store(8, bridgetest.Keys(10)...) // adds 0 bytes each
		c.cycle(t)
		require.Equal(t, [][]kv.Key{keys(0, 1)}, f.calls())
	})
	t.Run("ratio 0 evicts nothing", func(t *testing.T) {
		c, f := newFixture(t, eviction.Options{}), newFake(100)
		require.NoError(t, c.Add("a", f, eviction.Config{Policy: "LRU", TriggerWatermark: 0.5}))
		f.store(10, bridgetest.Keys(10)...)
		c.cycle(t)
		require.Empty(t, f.calls())
	})
	t.Run("ARC keeps what was loaded", func(t *testing.T) {
		c, f := newFixture(t, eviction.Options{}), newFake(100)
		require.NoError(t, c.Add("a", f, eviction.DefaultConfig("ARC")))
		f.store(10, bridgetest.Keys(9)...)
		f.listeners[0].KeysAccessed(keys(0, 1))
		c.cycle(t)
		require.Equal(t, [][]kv.Key{keys(2, 3)}, f.calls())
		f.store(10, keys(2)...) // a ghost
		c.cycle(t)
		require.Equal(t, keys(4), f.calls()[1])
	})
	t.Run("large evictions are cut into deletes", func(t *testing.T) {
		c, f := newFixture(t, eviction.Options{DeleteBatch: 3}), newFake(100)
		require.NoError(t, c.Add("a", f, eviction.Config{Policy: "LRU", TriggerWatermark: 0.8, EvictionRatio: 0.8}))
		f.store(10, bridgetest.Keys(9)...)
		c.cycle(t)
		require.Equal(t, [][]kv.Key{keys(0, 1, 2), keys(3, 4, 5), keys(6)}, f.calls())
		require.Len(t, c.evicted(), 1, "one report for the pass")
	})
}

func TestAdd(t *testing.T) {
	t.Run("row 108: without a capacity a global policy is skipped with a warning", func(t *testing.T) {
		for _, policy := range []string{"LRU", "ARC"} {
			c, f := newFixture(t, eviction.Options{}), newFake(0)
			require.NoError(t, c.Add("a", f, eviction.DefaultConfig(policy)))
			require.Equal(t, 1, c.logs.FilterLevelExact(zap.WarnLevel).Len())
			require.Empty(t, f.listeners)
			f.store(1000, keys(1)...)
			c.cycle(t)
			require.Empty(t, f.calls())
			status := c.Status()["adapters"].(map[string]any)["a"].(map[string]any)
			require.Equal(t, false, status["enabled"])
			require.Equal(t, "the adapter has no capacity", status["reason"])
			require.NoError(t, c.MakeRoom(background, "a", 1<<40), "there is always room")
		}
	})
	t.Run("row 108: noop evicts nothing, with or without a capacity", func(t *testing.T) {
		for _, capacity := range []int64{0, 100} {
			c, f := newFixture(t, eviction.Options{}), newFake(capacity)
			require.NoError(t, c.Add("a", f, eviction.DefaultConfig("noop")))
			f.store(100, keys(1)...)
			c.cycle(t)
			require.Empty(t, f.calls())
			require.Zero(t, c.logs.Len())
		}
	})
	t.Run("row 85: a policy in the wrong case is refused, with all other problems", func(t *testing.T) {
		c := newFixture(t, eviction.Options{})
		err := c.Add("a", newFake(1), eviction.Config{Policy: "lru", EvictionRatio: 2})
		require.ErrorIs(t, err, kv.Invalid)
		require.ErrorContains(t, err, `"a"`)
		require.ErrorContains(t, err, "want one of LRU, ARC, IsolatedLRU, noop")
		require.ErrorContains(t, err, "trigger_watermark is 0")
		require.ErrorContains(t, err, "eviction_ratio is 2")
	})
	t.Run("D22: an adapter that cannot delete is refused, except with noop", func(t *testing.T) {
		c := newFixture(t, eviction.Options{Quotas: &quota.Manager{}})
		for _, policy := range []string{"LRU", "ARC", "IsolatedLRU"} {
			err := c.Add("a", undeletable{newFake(100)}, eviction.DefaultConfig(policy))
			require.ErrorIs(t, err, kv.Unsupported)
			require.ErrorContains(t, err, "connector readonly has no submit_batch_delete")
		}
		require.NoError(t, c.Add("a", undeletable{newFake(100)}, eviction.DefaultConfig("noop")))
	})
	t.Run("IsolatedLRU without quotas is refused, because it would wipe everything", func(t *testing.T) {
		c := newFixture(t, eviction.Options{})
		require.ErrorIs(t, c.Add("a", newFake(0), eviction.DefaultConfig("IsolatedLRU")), kv.Invalid)
	})
	t.Run("an id is used once at a time", func(t *testing.T) {
		c := newFixture(t, eviction.Options{})
		require.NoError(t, c.Add("a", newFake(1), lru))
		require.ErrorIs(t, c.Add("a", newFake(1), lru), kv.Invalid)
		require.NoError(t, c.Remove("a"))
		require.ErrorIs(t, c.Remove("a"), kv.Invalid)
		require.NoError(t, c.Add("a", newFake(1), lru))
	})
	t.Run("an adapter that panics at Add is an error", func(t *testing.T) {
		c := newFixture(t, eviction.Options{})
		require.ErrorContains(t, c.Add("a", deaf{newFake(1)}, lru), "panic: no listeners here")
		require.ErrorIs(t, c.Remove("a"), kv.Invalid, "it was not added")
	})
	t.Run("options are checked, all at once", func(t *testing.T) {
		_, err := eviction.NewController(eviction.Options{DeleteTimeout: -1, EventWait: -1, DeleteBatch: -1})
		require.ErrorIs(t, err, kv.Invalid)
		require.ErrorContains(t, err, "EventWait")
		require.ErrorContains(t, err, "DeleteTimeout")
		require.ErrorContains(t, err, "DeleteBatch")
	})
}

type undeletable struct{ *fake }

func (undeletable) Info() kv.Info { return kv.Info{Name: "readonly"} }

type deaf struct{ *fake }

func (deaf) RegisterListener(l2.Listener) { panic("no listeners here") }

func TestQuotas(t *testing.T) {
	isolated := eviction.DefaultConfig("IsolatedLRU")
	t.Run("row 109: one key of u, all of the unregistered salt, none of v, one delete", func(t *testing.T) {
		quotas := &quota.Manager{}
		c, f := newFixture(t, eviction.Options{Quotas: quotas}), newFake(0)
		require.NoError(t, c.Add("a", f, isolated))
		require.NoError(t, quotas.Set("u", 50))
		require.NoError(t, quotas.Set("v", 100))
		for i := range 5 {
			f.store(10, salted(i, "u"))
		}
		for i := range 4 {
			f.store(10, salted(10+i, "v"))
		}
		f.store(10, keys(20, 21)...)
		c.cycle(t)
		require.Len(t, f.calls(), 1)
		require.ElementsMatch(t, append(keys(20, 21), salted(0, "u")), f.calls()[0])
		require.Equal(t, []eviction.Evicted{{
			Adapter: "a", Trigger: eviction.TriggerQuota, Requested: 3, Removed: 3, Bytes: 30, PerSalt: map[string]int{"": 2, "u": 1},
		}}, c.evicted())
	})
	t.Run("row 110: a salt whose quota was removed is wiped by the next cycle", func(t *testing.T) {
		quotas := &quota.Manager{}
		c, f := newFixture(t, eviction.Options{Quotas: quotas}), newFake(0)
		require.NoError(t, c.Add("a", f, eviction.Config{Policy: "IsolatedLRU", TriggerWatermark: 0.8, EvictionRatio: 0}))
		require.NoError(t, quotas.Set("u", 100))
		f.store(10, salted(1, "u"), salted(2, "u"))
		c.cycle(t)
		require.Empty(t, f.calls())
		quotas.Delete("u")
		c.cycle(t)
		require.Equal(t, [][]kv.Key{{salted(1, "u"), salted(2, "u")}}, f.calls())
		require.Empty(t, f.left())
	})
	t.Run("a salt far above its quota is brought back to it at once", func(t *testing.T) {
		quotas := &quota.Manager{}
		c, f := newFixture(t, eviction.Options{Quotas: quotas}), newFake(0)
		require.NoError(t, c.Add("a", f, isolated))
		require.NoError(t, quotas.Set("u", 30))
		for i := range 10 {
			f.store(10, salted(i, "u"))
		}
		c.cycle(t)
		require.Equal(t, []int{7, 8, 9}, f.left())
	})
}

func TestLifecycle(t *testing.T) {
	t.Run("the clock paces the cycles", func(t *testing.T) {
		clock := manualClock{make(chan time.Time)}
		c, f := newFixture(t, eviction.Options{Period: time.Hour, Clock: clock}), newFake(100)
		require.NoError(t, c.Add("a", f, lru))
		f.store(10, bridgetest.Keys(10)...)
		clock.fire <- time.Time{}
		clock.fire <- time.Time{} // taken after the first cycle has ended
		require.Len(t, f.calls(), 1)
		require.Equal(t, int64(3_600_000), c.Status()["period_ms"])
	})
	t.Run("cycles run by themselves", func(t *testing.T) {
		c, f := newFixture(t, eviction.Options{Period: 1}), newFake(100)
		require.NoError(t, c.Add("a", f, lru))
		f.store(10, bridgetest.Keys(10)...)
		eventually(t, "a cycle", func() bool { return len(f.calls()) > 0 && len(f.left()) < 8 })
	})
	t.Run("Remove waits for the pass that runs", func(t *testing.T) {
		c, f := newFixture(t, eviction.Options{}), newFake(100)
		require.NoError(t, c.Add("a", f, lru))
		f.store(10, bridgetest.Keys(10)...)
		entered, proceed, removed := make(chan bool), make(chan bool), make(chan bool)
		f.onDelete = func(context.Context, []kv.Key) error { entered <- true; <-proceed; return nil }
		go func() { _ = c.Cycle(background) }()
		<-entered
		go func() { _ = c.Remove("a"); close(removed) }()
		eventually(t, "the adapter is off the list", func() bool { _, ok := c.Stats("a"); return !ok })
		select {
		case <-removed:
			t.Fatal("Remove returned during a pass")
		default:
		}
		close(proceed)
		<-removed
		f.store(10, bridgetest.Keys(10)...) // its events find nobody
		c.cycle(t)
		require.Len(t, f.calls(), 1)
	})
	t.Run("Close ends a delete and everything after it", func(t *testing.T) {
		c, f := newFixture(t, eviction.Options{Period: 1}), newFake(100)
		entered := make(chan bool, 1)
		f.onDelete = func(ctx context.Context, _ []kv.Key) error { entered <- true; <-ctx.Done(); return ctx.Err() }
		require.NoError(t, c.Add("a", f, lru))
		f.store(10, bridgetest.Keys(10)...)
		<-entered
		room := make(chan error)
		go func() { room <- c.MakeRoom(background, "a", 10) }()
		c.Close()
		require.ErrorIs(t, <-room, kv.Closed)
		c.Close()
		require.ErrorIs(t, c.Cycle(background), kv.Closed)
		require.ErrorIs(t, c.Add("b", f, lru), kv.Closed)
		require.ErrorIs(t, c.Remove("a"), kv.Closed)
		require.ErrorIs(t, c.MakeRoom(background, "a", 1), kv.Closed)
		require.Equal(t, false, c.Status()["is_healthy"])
		require.Zero(t, c.logs.Len(), "closing is no failure")
	})
	t.Run("a cancelled cycle stops and blames nobody", func(t *testing.T) {
		c, f := newFixture(t, eviction.Options{DeleteBatch: 1}), newFake(100)
		require.NoError(t, c.Add("a", f, lru))
		f.store(10, bridgetest.Keys(10)...)
		ctx, cancel := context.WithCancel(background)
		f.onDelete = func(context.Context, []kv.Key) error { cancel(); return nil }
		require.ErrorIs(t, c.Cycle(ctx), context.Canceled)
		require.Len(t, f.calls(), 1)
		require.ErrorIs(t, c.Cycle(ctx), kv.Cancelled)
		require.Len(t, f.calls(), 1)
		require.Zero(t, c.stats(t, "a").Failures)
	})
	t.Run("the callback may use the controller, and may panic", func(t *testing.T) {
		var c *fixture
		c = newFixture(t, eviction.Options{OnEvicted: func(e eviction.Evicted) {
			if e.Trigger == eviction.TriggerWatermark {
				require.NoError(t, c.MakeRoom(background, e.Adapter, 50))
			}
			panic("a bug of the host")
		}})
		f := newFake(100)
		require.NoError(t, c.Add("a", f, lru))
		f.store(10, bridgetest.Keys(10)...)
		c.cycle(t)
		require.Len(t, f.left(), 5)
		s := c.stats(t, "a")
		require.Equal(t, int64(2), s.Panics)
		require.Zero(t, s.Failures, "not the adapter's")
	})
}

func TestStatus(t *testing.T) {
	c, f := newFixture(t, eviction.Options{}), newFake(100)
	require.NoError(t, c.Add("a", f, lru))
	f.store(10, bridgetest.Keys(10)...)
	f.pin(true, keys(0)...)
	c.cycle(t)
	status := c.Status()
	require.Equal(t, true, status["is_healthy"])
	require.Equal(t, int64(1), status["cycles"])
	got := status["adapters"].(map[string]any)["a"].(map[string]any)
	for key, want := range map[string]any{
		"is_healthy": true, "enabled": true, "eviction_policy": "LRU", "trigger_watermark": 0.8, "eviction_ratio": 0.2,
		"tracked_keys": 8, "penalized_keys": 1, "passes": int64(1), "triggered": int64(1), "requested_keys": int64(3),
		"removed_keys": int64(2), "removed_bytes": int64(20), "pinned_keys": int64(1), "failed_keys": int64(0), "last_error": "",
	} {
		require.Equal(t, want, got[key], key)
	}
}

func ExampleController() {
	adapter := newFake(100) // any l2.Adapter
	c, err := eviction.NewController(eviction.Options{
		OnEvicted: func(e eviction.Evicted) { fmt.Println(e.Trigger, e.Removed, "keys,", e.Bytes, "bytes") },
	})
	if err != nil {
		panic(err)
	}
	defer c.Close() // before the adapters
	if err := c.Add("disk", adapter, eviction.DefaultConfig("LRU")); err != nil {
		panic(err)
	}
	adapter.store(10, bridgetest.Keys(9)...)
	if err := c.MakeRoom(context.Background(), "disk", 40); err != nil {
		panic(err)
	}
	// Output: room 3 keys, 30 bytes
}
