package eviction_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/l2/eviction"
	"github.com/sixcall/sixcall/adapters/l2/eviction/quota"
	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
)

func TestMakeRoom(t *testing.T) {
	full := func(t *testing.T, opts eviction.Options) (*fixture, *fake) {
		c, f := newFixture(t, opts), newFake(100)
		require.NoError(t, c.Add("a", f, lru))
		f.store(10, bridgetest.Keys(10)...)
		return c, f
	}
	t.Run("no more keys go than are needed", func(t *testing.T) {
		c, f := full(t, eviction.Options{})
		require.NoError(t, c.MakeRoom(background, "a", 25))
		require.Equal(t, []int{3, 4, 5, 6, 7, 8, 9}, f.left())
		require.NoError(t, c.MakeRoom(background, "a", 30))
		require.NoError(t, c.MakeRoom(background, "a", 0))
		require.Len(t, f.calls(), 1)
		require.Equal(t, []eviction.Evicted{{Adapter: "a", Trigger: eviction.TriggerRoom, Requested: 3, Removed: 3, Bytes: 30, PerSalt: map[string]int{"": 3}}}, c.evicted())
	})
	t.Run("what can never fit costs nothing", func(t *testing.T) {
		c, f := full(t, eviction.Options{})
		require.ErrorIs(t, c.MakeRoom(background, "a", 101), kv.NoSpace)
		require.ErrorIs(t, c.MakeRoom(background, "a", -1), kv.Invalid)
		require.ErrorIs(t, c.MakeRoom(background, "b", 1), kv.Invalid)
		require.Len(t, f.left(), 10)
	})
	t.Run("the whole capacity can be asked for", func(t *testing.T) {
		c, f := full(t, eviction.Options{})
		require.NoError(t, c.MakeRoom(background, "a", 100))
		require.Empty(t, f.left())
	})
	t.Run("pinned keys are passed over within the call", func(t *testing.T) {
		c, f := full(t, eviction.Options{})
		f.pin(true, keys(0, 1, 2)...)
		require.NoError(t, c.MakeRoom(background, "a", 20))
		require.Equal(t, []int{0, 1, 2, 5, 6, 7, 8, 9}, f.left())
	})
	t.Run("row 71: when only pinned keys are left there is no room", func(t *testing.T) {
		c, f := full(t, eviction.Options{})
		f.pin(true, bridgetest.Keys(9)...)
		require.ErrorIs(t, c.MakeRoom(background, "a", 20), kv.NoSpace)
		require.Len(t, f.left(), 9)
		f.pin(false, keys(3)...)
		require.NoError(t, c.MakeRoom(background, "a", 20), "a penalty is no reason to refuse a store")
	})
	t.Run("more pinned keys than penalties are kept end as well", func(t *testing.T) {
		const n = 70_000
		c, f := newFixture(t, eviction.Options{}), newFake(n)
		require.NoError(t, c.Add("a", f, lru))
		all := bridgetest.Keys(n)
		f.store(1, all...)
		f.pin(true, all...)
		require.ErrorIs(t, c.MakeRoom(background, "a", n), kv.NoSpace)
		require.Equal(t, 1<<16, c.stats(t, "a").Penalized)
	})
	t.Run("the adapter's error is returned", func(t *testing.T) {
		c, f := full(t, eviction.Options{})
		f.onDelete = func(context.Context, []kv.Key) error { return kv.IO }
		require.ErrorIs(t, c.MakeRoom(background, "a", 20), kv.IO)
		require.Len(t, f.calls(), 1)
		require.Equal(t, 1, c.stats(t, "a").Failures)
	})
	t.Run("noop makes no room", func(t *testing.T) {
		c, f := newFixture(t, eviction.Options{}), newFake(100)
		require.NoError(t, c.Add("a", f, eviction.DefaultConfig("noop")))
		f.store(60, keys(1)...)
		require.NoError(t, c.MakeRoom(background, "a", 40))
		require.ErrorIs(t, c.MakeRoom(background, "a", 41), kv.NoSpace)
	})
}

// TestMakeRoomBetweenSalts says how much each salt gives.
func TestMakeRoomBetweenSalts(t *testing.T) {
	for _, tc := range []struct {
		name   string
		used   map[string]int
		quotas map[string]int64
		need   int64
		want   map[string]int // of each, gone
	}{
		{"who has no quota gives first", map[string]int{"u": 5, "x": 5}, map[string]int64{"u": 10}, 4, map[string]int{"x": 4}},
		{"then who uses most of theirs", map[string]int{"u": 5, "v": 3, "x": 2}, map[string]int64{"u": 10, "v": 3}, 3, map[string]int{"x": 2, "v": 1}},
		{"down to the same part", map[string]int{"u": 9, "v": 4, "w": 1}, map[string]int64{"u": 10, "v": 5, "w": 10}, 7, map[string]int{"u": 5, "v": 2}},
		{"to the last key", map[string]int{"u": 4, "x": 3}, map[string]int64{"u": 10}, 7, map[string]int{"u": 4, "x": 3}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			quotas := &quota.Manager{}
			total := 0
			for _, n := range tc.used {
				total += n
			}
			c, f := newFixture(t, eviction.Options{Quotas: quotas}), newFake(int64(total))
			require.NoError(t, c.Add("a", f, eviction.DefaultConfig("IsolatedLRU")))
			for salt, limit := range tc.quotas {
				require.NoError(t, quotas.Set(salt, limit))
			}
			i := 0
			for salt, n := range tc.used {
				for range n {
					f.store(1, salted(i, salt))
					i++
				}
			}
			require.NoError(t, c.MakeRoom(background, "a", tc.need))
			require.Equal(t, tc.want, c.evicted()[0].PerSalt)
		})
	}
}
