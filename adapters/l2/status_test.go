package l2_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
)

// TestStatusTruthTable takes an adapter through every state and reads its status.
func TestStatusTruthTable(t *testing.T) {
	var failing, broken atomic.Bool
	f := newFixture(t, l2.Options{Breaker: l2.BreakerOptions{Failures: 2, Cooldown: time.Hour}}, func(c *bridgetest.Connector) {
		c.OnComplete = func(b *kv.Batch, rec *kv.Completion) {
			if failing.Load() && b.Op == kv.OpGet {
				rec.RC = kv.IO
				b.Status[0] = kv.StatusError
				b.Err.Set(kv.IO, 5, "no disk")
			}
		}
		c.OnDrain = func() error {
			if broken.Load() {
				return errors.New("no queue")
			}
			return nil
		}
	})
	load := func() { _, _ = f.Load(background, bridgetest.Keys(1), []kv.Buffer{make([]byte, 4)}) }
	expect := func(state string, healthy bool, reason string) {
		t.Helper()
		s := f.Status()
		require.Equal(t, state, s["state"])
		require.Equal(t, healthy, s["is_healthy"])
		require.Contains(t, s["reason"], reason)
		require.Equal(t, reason == "", s["reason"] == "", "a reason exactly when something is wrong")
		require.False(t, s["since"].(time.Time).IsZero())
	}
	load()
	expect("ready", true, "")
	failing.Store(true)
	load()
	expect("degraded", true, "no disk")
	load()
	expect("open", false, "load: ")
	failing.Store(false)
	load()
	expect("open", false, "no disk") // the cooldown is long
	broken.Store(true)
	f.conn.Signal()
	require.Eventually(t, func() bool { return f.Status()["state"] == "dead" }, 30*time.Second, time.Millisecond)
	expect("dead", false, "no queue")
	broken.Store(false)
	require.Eventually(t, func() bool { return f.Status()["state"] == "open" }, 30*time.Second, time.Millisecond)
	require.NoError(t, f.Close())
	expect("closed", false, "closed")
}
