package tier_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/adapters/l2/tier"
	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
)

// native is a real adapter over a scripted connector.
type native struct {
	*l2.NativeAdapter
	conn *bridgetest.Connector
}

func addNative(t *testing.T, tr *tier.Tier, name string, ar *arena.Arena) native {
	t.Helper()
	conn := bridgetest.NewConnector(t)
	a, err := l2.New(conn, l2.Options{Name: name, Arena: ar, CloseGrace: 50 * time.Millisecond})
	require.NoError(t, err)
	_, err = tr.Add(name, a, tier.MemberOptions{Shared: name == "b"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = tr.Close() }) // before the connector looks whether it was closed
	return native{a, conn}
}

// newNative returns a tier with two real adapters that share its own arena.
func newNative(t *testing.T, opts tier.Options) (*tier.Tier, native, native) {
	t.Helper()
	opts.CloseGrace = 50 * time.Millisecond
	tr := tier.New(opts)
	return tr, addNative(t, tr, "a", tr.Arena()), addNative(t, tr, "b", tr.Arena())
}

// arenaValues returns right values in memory of ar.
func arenaValues(t *testing.T, ar *arena.Arena, keys []kv.Key, size int) []kv.Buffer {
	t.Helper()
	values := bridgetest.Buffers(t, ar, len(keys), size, 0)
	for i, k := range keys {
		copy(values[i], valueOf(k, size))
	}
	return values
}

func TestNativeAdaptersMoveValuesWithoutACopy(t *testing.T) {
	tr, a, b := newNative(t, tier.Options{})
	keys := bridgetest.Keys(10)
	s, err := tr.Store(background, keys, arenaValues(t, tr.Arena(), keys, 5000))
	require.NoError(t, err)
	require.Equal(t, 10, s.Everywhere.Count())
	for _, k := range keys[5:] {
		a.conn.Forget(k)
	}
	req := tier.List(keys, 5000)
	r, err := tr.Prefetch(background, req)
	require.NoError(t, err)
	defer r.Release()
	requireValues(t, req, r)
	require.Equal(t, 10, r.PrefixLen)
	require.Equal(t, "a", r.Cell(0, 4).Member)
	require.Equal(t, "b", r.Cell(0, 5).Member)
	for _, m := range []native{a, b} {
		require.Zero(t, m.Stats().CopiedBytes)
		require.Zero(t, m.Stats().Pins)
	}

	// What was loaded can be stored again as it is.
	_, err = tr.Store(background, keys[:1], []kv.Buffer{r.Cell(0, 0).Value()})
	require.NoError(t, err)
	require.Zero(t, a.Stats().CopiedBytes)
	st := tr.Status()
	require.True(t, st.Healthy)
	require.True(t, st.Members[0].ZeroCopy)
	require.Equal(t, int64(50000), st.Members[0].Usage.BytesUsed)
}

func TestANativeAdapterWithAnotherArenaCopies(t *testing.T) {
	tr := tier.New(tier.Options{CloseGrace: 50 * time.Millisecond})
	m := addNative(t, tr, "a", nil)
	keys := bridgetest.Keys(3)
	s, err := tr.Store(background, keys, arenaValues(t, tr.Arena(), keys, 100))
	require.NoError(t, err)
	require.Equal(t, "111", s.Everywhere.String())
	req := tier.List(keys, 100)
	r, err := tr.Prefetch(background, req)
	require.NoError(t, err)
	requireValues(t, req, r)
	r.Release()
	require.Equal(t, 3, r.PrefixLen)
	require.Equal(t, int64(600), m.Stats().CopiedBytes)
	require.False(t, tr.Status().Members[0].ZeroCopy)
}

func TestNativeAdaptersKeepNoPinAfterAnyEnd(t *testing.T) {
	for _, held := range []kv.Op{kv.OpExists, kv.OpGet} {
		for _, end := range []string{"deadline", "cancel", "close"} {
			t.Run(held.String()+" "+end, func(t *testing.T) {
				t.Parallel()
				opts := tier.Options{}
				if end == "deadline" {
					opts = short
				}
				tr, a, b := newNative(t, opts)
				keys := bridgetest.Keys(4)
				_, err := tr.Store(background, keys, arenaValues(t, tr.Arena(), keys, 64))
				require.NoError(t, err)
				a.conn.Forget(keys[3])
				hold(a.conn, held)
				ctx, cancel := context.WithCancel(background)
				defer cancel()
				answer := async(func() (*tier.Result, error) { return tr.Prefetch(ctx, tier.List(keys, 64)) })
				eventually(t, "it is held", func() bool { return a.conn.Held() == 1 })
				switch end {
				case "cancel":
					cancel()
				case "close":
					require.NoError(t, tr.Close())
				}
				got := receive(t, answer)
				require.Equal(t, end == "deadline", got.err == nil)
				got.value.Release()
				if end != "close" {
					a.conn.Release(1) // late
				}
				eventually(t, "all pins are back", func() bool { return a.Stats().Pins+b.Stats().Pins == 0 })
				if end != "close" {
					eventually(t, "no memory is lent", func() bool { return a.Stats().Quarantined == 0 })
				}
			})
		}
	}
}

// hold makes the connector keep batches of one operation.
func hold(c *bridgetest.Connector, op kv.Op) {
	c.OnSubmit = func(b *kv.Batch) error {
		c.Hold = b.Op == op
		return nil
	}
}

func TestANativeLookupThatFailsPinsNothing(t *testing.T) {
	tr, a, b := newNative(t, tier.Options{})
	keys := bridgetest.Keys(2)
	_, err := tr.Store(background, keys, arenaValues(t, tr.Arena(), keys, 64))
	require.NoError(t, err)
	a.conn.OnComplete = func(batch *kv.Batch, rec *kv.Completion) {
		if batch.Op == kv.OpExists {
			rec.RC = kv.IO
		}
	}
	req := tier.List(keys, 64)
	r, err := tr.Prefetch(background, req)
	require.NoError(t, err)
	requireValues(t, req, r)
	require.Equal(t, "b", r.Cell(0, 0).Member)
	require.ErrorIs(t, r.Members[0].Err, kv.IO)
	r.Release()
	require.Zero(t, a.Stats().Pins+b.Stats().Pins)
}

func TestEventsTellWhereValuesAre(t *testing.T) {
	tr, a, _ := newNative(t, tier.Options{EventBuffer: 100})
	keys := bridgetest.Keys(2)
	_, err := tr.Store(background, keys, arenaValues(t, tr.Arena(), keys, 64))
	require.NoError(t, err)
	seen := map[string]tier.Event{}
	next := func(n int) {
		for range n {
			e := receive(t, tr.Events())
			seen[e.Member+" "+string(e.Kind)] = e
		}
	}
	next(2)
	require.Equal(t, tier.Event{Kind: tier.Stored, Keys: keys, Sizes: []int64{64, 64}, Member: "a"}, seen["a stored"])
	require.Equal(t, tier.Event{Kind: tier.Stored, Keys: keys, Sizes: []int64{64, 64}, MemberID: 1, Member: "b", Index: 1, Shared: true}, seen["b stored"])

	r, err := tr.Prefetch(background, tier.List(keys, 64))
	require.NoError(t, err)
	r.Release()
	next(1)
	require.Equal(t, tier.Event{Kind: tier.Accessed, Keys: keys, Member: "a"}, seen["a accessed"])

	_, err = tr.Delete(background, keys[:1])
	require.NoError(t, err)
	next(2)
	require.Equal(t, keys[:1], seen["a deleted"].Keys)
	require.Equal(t, tier.Deleted, seen["b deleted"].Kind)

	require.NoError(t, tr.Remove(background, 0))
	require.Zero(t, a.Stats().Pins)
	_, err = tr.Store(background, keys[:1], arenaValues(t, tr.Arena(), keys[:1], 64))
	require.NoError(t, err)
	next(1)
	require.Equal(t, 0, seen["b stored"].Index, "b is asked first now")
	require.Equal(t, 1, seen["b stored"].MemberID)
	require.NoError(t, tr.Close())
	_, open := <-tr.Events()
	require.False(t, open)
}

func TestEventsThatNobodyReadsAreDroppedAndCounted(t *testing.T) {
	tr, _, _ := newNative(t, tier.Options{EventBuffer: 3})
	keys := bridgetest.Keys(1)
	values := arenaValues(t, tr.Arena(), keys, 64)
	for range 5 {
		_, err := tr.Store(background, keys, values)
		require.NoError(t, err)
	}
	eventually(t, "10 events, room for 3", func() bool { return tr.Status().EventsDropped == 7 })
	require.Nil(t, tier.New(tier.Options{}).Events())
}
