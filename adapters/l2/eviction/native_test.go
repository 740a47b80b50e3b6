package eviction_test

import (
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/adapters/l2/eviction"
	"github.com/sixcall/sixcall/adapters/l2/eviction/quota"
	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
)

// native is a real adapter over a connector in memory.
type native struct {
	*l2.NativeAdapter
	conn *bridgetest.Connector
}

func newNative(t *testing.T, opts l2.Options, setup ...func(*bridgetest.Connector)) native {
	t.Helper()
	conn := bridgetest.NewConnector(t)
	for _, f := range setup {
		f(conn)
	}
	if opts.CloseGrace == 0 {
		opts.CloseGrace = 50 * time.Millisecond
	}
	a, err := l2.New(conn, opts)
	require.NoError(t, err)
	t.Cleanup(func() { _ = a.Close() })
	return native{a, conn}
}

func (a native) put(t *testing.T, size int, keys ...kv.Key) {
	t.Helper()
	_, err := a.Store(background, keys, bridgetest.Buffers(t, a.Arena(), len(keys), size, 1))
	require.NoError(t, err)
}

// has asks the backend which of the first n keys it holds.
func (a native) has(n int) []int {
	out := []int{}
	for i := range n {
		if a.conn.Has(bridgetest.Key(i)) {
			out = append(out, i)
		}
	}
	return out
}

// tracks waits until the controller has heard of n keys.
func tracks(t *testing.T, c *fixture, n int) {
	t.Helper()
	eventually(t, "the events have arrived", func() bool { return c.stats(t, "a").Tracked == n })
}

func TestNativeAdapter(t *testing.T) {
	t.Run("row 105, 106: the tail of a batch goes first, down to below the watermark", func(t *testing.T) {
		c, a := newFixture(t, eviction.Options{}), newNative(t, l2.Options{MaxCapacityBytes: 100})
		require.NoError(t, c.Add("a", a, lru))
		a.put(t, 10, bridgetest.Keys(8)...)
		tracks(t, c, 8)
		c.cycle(t)
		require.Equal(t, []int{0, 1, 2, 3, 4, 5, 6}, a.has(10), "trunc(0.2*8)")
		require.Equal(t, int64(70), a.Usage().BytesUsed)
		tracks(t, c, 7)
	})
	t.Run("a load renews a key", func(t *testing.T) {
		c, a := newFixture(t, eviction.Options{}), newNative(t, l2.Options{MaxCapacityBytes: 100})
		require.NoError(t, c.Add("a", a, lru))
		a.put(t, 10, bridgetest.Keys(2)...)
		_, err := a.Load(background, keys(1), bridgetest.Buffers(t, a.Arena(), 1, 10, 0))
		require.NoError(t, err)
		a.put(t, 10, bridgetest.Key(2)) // its event comes after that of the load
		tracks(t, c, 3)
		require.NoError(t, c.MakeRoom(background, "a", 80))
		require.Equal(t, []int{1, 2}, a.has(3))
	})
	t.Run("row 108: without a capacity LRU is skipped with a warning", func(t *testing.T) {
		c, a := newFixture(t, eviction.Options{}), newNative(t, l2.Options{})
		require.NoError(t, c.Add("a", a, lru))
		require.Equal(t, 1, c.logs.Len())
		a.put(t, 10, bridgetest.Keys(8)...)
		c.cycle(t)
		require.Len(t, a.has(8), 8)
	})
	t.Run("row 109, 110: quotas per salt", func(t *testing.T) {
		quotas := &quota.Manager{}
		c, a := newFixture(t, eviction.Options{Quotas: quotas}), newNative(t, l2.Options{})
		require.NoError(t, quotas.Set("u", 50))
		require.NoError(t, quotas.Set("v", 100))
		require.NoError(t, c.Add("a", a, eviction.DefaultConfig("IsolatedLRU")))
		for i := range 5 {
			a.put(t, 10, salted(i, "u"))
		}
		for i := range 4 {
			a.put(t, 10, salted(i, "v"))
		}
		a.put(t, 10, keys(0, 1)...)
		tracks(t, c, 11)
		before := a.conn.Submits()
		c.cycle(t)
		require.Equal(t, 1, a.conn.Submits()-before, "one delete")
		require.Equal(t, map[string]int64{"u": 40, "v": 40}, a.Usage().BytesBySalt)
		require.False(t, a.conn.Has(salted(0, "u")))
		quotas.Delete("v")
		c.cycle(t)
		require.NotContains(t, a.Usage().BytesBySalt, "v", "row 110")
		require.Equal(t, map[string]int{"": 2, "u": 1}, c.reports[0].PerSalt)
	})
	t.Run("row 111: a backend that fails deletes for a while", func(t *testing.T) {
		var broken sync.Map // holds "on" while deletes fail
		c, a := newFixture(t, eviction.Options{}), newNative(t, l2.Options{MaxCapacityBytes: 100}, func(conn *bridgetest.Connector) {
			conn.OnSubmit = func(b *kv.Batch) error {
				if _, on := broken.Load("on"); on && b.Op == kv.OpDelete {
					return kv.IO
				}
				return nil
			}
		})
		require.NoError(t, c.Add("a", a, lru))
		for i := range 9 {
			a.put(t, 10, bridgetest.Key(i))
		}
		tracks(t, c, 9)
		broken.Store("on", true)
		require.ErrorIs(t, c.Cycle(background), kv.IO)
		require.Len(t, a.has(9), 9)
		broken.Delete("on")
		c.cycle(t)
		require.Equal(t, []int{0, 1, 4, 5, 6, 7, 8}, a.has(9), "those that failed wait for a while")
		require.Equal(t, true, c.Status()["is_healthy"])
	})
	t.Run("row 71, 112: pinned keys are skipped and the others go", func(t *testing.T) {
		c, a := newFixture(t, eviction.Options{}), newNative(t, l2.Options{MaxCapacityBytes: 100})
		require.NoError(t, c.Add("a", a, lru))
		for i := range 9 {
			a.put(t, 10, bridgetest.Key(i))
		}
		tracks(t, c, 9)
		_, err := a.Lookup(background, keys(0))
		require.NoError(t, err)
		for range 4 { // the first removes 1 but not 0, the second 2
			c.cycle(t)
		}
		require.Equal(t, []int{0, 3, 4, 5, 6, 7, 8}, a.has(9))
		require.Less(t, a.Usage().Fraction(), 0.8, "usage falls")
		a.Unlock(keys(0))
		require.NoError(t, c.MakeRoom(background, "a", 100))
		require.Empty(t, a.has(9))
	})
	t.Run("D6, row 68: a key that vanished from the backend does not stay at the head", func(t *testing.T) {
		c, a := newFixture(t, eviction.Options{}), newNative(t, l2.Options{MaxCapacityBytes: 100})
		require.NoError(t, c.Add("a", a, lru))
		for i := range 9 {
			a.put(t, 10, bridgetest.Key(i))
		}
		tracks(t, c, 9)
		a.conn.Forget(bridgetest.Key(0))
		c.cycle(t)
		require.Equal(t, int64(70), a.Usage().BytesUsed)
		tracks(t, c, 7)
		require.Equal(t, 2, c.evicted()[0].Removed)
	})
	t.Run("D22: a connector that cannot delete is refused", func(t *testing.T) {
		c := newFixture(t, eviction.Options{})
		a := newNative(t, l2.Options{MaxCapacityBytes: 100}, func(conn *bridgetest.Connector) { conn.NoDelete = true })
		err := c.Add("a", a, lru)
		require.ErrorIs(t, err, kv.Unsupported)
		require.ErrorContains(t, err, "connector test has no submit_batch_delete")
	})
	t.Run("a store that does not fit does after MakeRoom", func(t *testing.T) {
		c, a := newFixture(t, eviction.Options{}), newNative(t, l2.Options{MaxCapacityBytes: 100})
		require.NoError(t, c.Add("a", a, lru))
		for i := range 10 {
			a.put(t, 10, bridgetest.Key(i))
		}
		tracks(t, c, 10)
		bufs := bridgetest.Buffers(t, a.Arena(), 1, 35, 2)
		_, err := a.Store(background, keys(10), bufs)
		require.ErrorIs(t, err, kv.NoSpace)
		require.NoError(t, c.MakeRoom(background, "a", 35))
		_, err = a.Store(background, keys(10), bufs)
		require.NoError(t, err)
		require.Equal(t, []int{4, 5, 6, 7, 8, 9, 10}, a.has(11))
	})
	t.Run("a busy adapter with one slot is evicted from key by key", func(t *testing.T) {
		c, a := newFixture(t, eviction.Options{}), newNative(t, l2.Options{MaxCapacityBytes: 100, MaxInFlight: 1, MaxBatch: 1})
		require.NoError(t, c.Add("a", a, lru))
		for i := range 9 {
			a.put(t, 10, bridgetest.Key(i))
		}
		tracks(t, c, 9)
		c.cycle(t)
		require.Len(t, a.has(9), 7)
	})
}

// TestHammer stores, loads, pins and deletes on several goroutines while the
// controller evicts, makes room and loses and regains its adapters. In the end
// nothing is lost: every stored key can still be evicted.
func TestHammer(t *testing.T) {
	for _, policy := range []string{"LRU", "ARC", "IsolatedLRU"} {
		t.Run(policy, func(t *testing.T) {
			const universe, capacity = 200, 6400
			quotas := &quota.Manager{}
			c := newFixture(t, eviction.Options{Period: time.Millisecond, Quotas: quotas, DeleteBatch: 7})
			a, other := newNative(t, l2.Options{MaxCapacityBytes: capacity}), newFake(100)
			for salt, limit := range map[string]int64{"": 1000, "u": 3000, "v": capacity} {
				require.NoError(t, quotas.Set(salt, limit))
			}
			require.NoError(t, c.Add("a", a, eviction.DefaultConfig(policy)))
			bufs := [][]kv.Buffer{}
			for range 4 {
				bufs = append(bufs, bridgetest.Buffers(t, a.Arena(), 4, 64, 1))
			}
			var workers sync.WaitGroup
			for w := range 4 {
				workers.Go(func() {
					rng := rand.New(rand.NewPCG(uint64(w), 1))
					for range 400 {
						batch := make([]kv.Key, 1+rng.IntN(4))
						for i := range batch {
							n := rng.IntN(universe)
							batch[i] = salted(n, []string{"", "u", "v"}[n%3])
						}
						switch rng.IntN(6) {
						case 0:
							_, _ = a.Load(background, batch, bufs[w][:len(batch)])
						case 1:
							if bits, err := a.Lookup(background, batch); err == nil {
								for i, k := range batch {
									if bits.Test(i) {
										a.Unlock([]kv.Key{k})
									}
								}
							}
						case 2:
							_, _ = a.Delete(background, batch)
						default:
							_, err := a.Store(background, batch, bufs[w][:len(batch)])
							if errors.Is(err, kv.NoSpace) {
								_ = c.MakeRoom(background, "a", int64(64*len(batch)))
							}
						}
					}
				})
			}
			workers.Go(func() {
				for range 50 {
					_ = c.Add("other", other, eviction.DefaultConfig("LRU"))
					other.store(10, bridgetest.Keys(10)...)
					_ = c.Cycle(background)
					c.Status()
					_ = c.Remove("other")
				}
			})
			workers.Wait()
			eventually(t, "the policy knows exactly what is stored", func() bool {
				return int64(c.stats(t, "a").Tracked) == a.Usage().Keys
			})
			for salt := range a.Usage().BytesBySalt {
				quotas.Delete(salt)
			}
			eventually(t, "every key can be evicted", func() bool { return c.MakeRoom(background, "a", capacity) == nil })
			require.Zero(t, a.Usage().Keys)
			tracks(t, c, 0)
			for i := range universe {
				require.False(t, a.conn.Has(salted(i, []string{"", "u", "v"}[i%3])))
			}
			require.Zero(t, c.stats(t, "a").Panics)
		})
	}
}
