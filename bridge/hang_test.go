package bridge_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge"
	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
)

// TestHangs has connectors that hang in every way. The caller has its answer by
// its deadline, memory that may be written late is poisoned and not used again,
// and the breaker opens and closes again.
func TestHangs(t *testing.T) {
	const deadline = 40 * time.Millisecond
	twice := func(c *bridgetest.Connector) {
		c.OnComplete = func(b *kv.Batch, rec *kv.Completion) {
			if b.Op == kv.OpGet {
				go c.Publish(*rec, *rec)
			}
		}
	}
	tests := []struct {
		name   string
		setup  func(*bridgetest.Connector)
		answer bool // the connector answers at all, late
	}{
		{"never answers", nil, false},
		{"answers after its deadline", nil, true},
		{"answers after its deadline, three times", twice, true},
		{"never answers and panics on close", func(c *bridgetest.Connector) { c.PanicOnClose = true }, false},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			a, err := arena.New(arena.Options{Poison: true})
			require.NoError(t, err)
			f := newFixture(t, bridge.Options{
				Arena: a, Deadlines: bridge.Deadlines{Load: deadline, Lookup: deadline},
				Breaker: bridge.BreakerOptions{Failures: 3, Cooldown: 10 * time.Millisecond},
			}, func(c *bridgetest.Connector) {
				if tc.setup != nil {
					tc.setup(c)
				}
			})
			keys := bridgetest.Keys(1)
			_, err = f.Do(background, bridge.Store, keys, []kv.Buffer{{1, 2, 3, 4}})
			require.NoError(t, err)
			f.conn.SetHold(true)
			var blocks []*arena.Block
			for range 3 {
				block, err := a.Alloc(4)
				require.NoError(t, err)
				blocks = append(blocks, block)
				start := time.Now()
				_, err = f.Do(background, bridge.Load, keys, []kv.Buffer{block.Bytes()})
				require.ErrorIs(t, err, kv.Timeout)
				t.Logf("answered %v after its deadline", time.Since(start)-deadline)
			}
			require.Equal(t, "open", f.Health().State, "three in a row")
			for _, block := range blocks {
				require.Equal(t, 1, block.Lent())
				block.Release()
				require.NotEqual(t, byte(0xDB), block.Bytes()[0], "memory that is lent is not given back")
			}
			f.conn.SetHold(false)
			if tc.answer {
				f.conn.Release(3)
				eventually(t, "all memory comes back", func() bool { return f.Stats().Quarantined == 0 })
				for _, block := range blocks {
					require.Zero(t, block.Lent())
				}
			}
			eventually(t, "the breaker closes again", func() bool {
				r, err := f.Do(background, bridge.Load, keys, []kv.Buffer{make([]byte, 4)})
				return err == nil && r.Bits.Test(0)
			})
			require.Equal(t, "ready", f.Health().State)

			err = f.Close()
			if f.conn.PanicOnClose {
				require.ErrorIs(t, err, kv.Stuck)
				leaked.Add(1)
				require.ErrorIs(t, a.Close(), arena.ErrInUse, "its memory is kept for ever")
			} else {
				require.NoError(t, err)
				require.NoError(t, a.Close())
			}
		})
	}
}
