package faultinject_test

import (
	"context"
	"encoding/hex"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/adapters/l2/faultinject"
	"github.com/sixcall/sixcall/adapters/l2/mock"
	"github.com/sixcall/sixcall/adapters/l2/plugin/plugintest"
	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
)

// listed is a mock that can list.
type listed struct{ *mock.Adapter }

func (listed) ListKeys(_ context.Context, model string, pageSize int, token string) (l2.KeyPage, error) {
	return l2.KeyPage{NextPageToken: model + token}, nil
}

func newInner(t testing.TB) l2.Adapter {
	t.Helper()
	a, err := mock.New(mock.Options{MaxSizeBytes: 1 << 20, BandwidthBytesPerSecond: 1 << 40})
	require.NoError(t, err)
	return listed{a}
}

func newAdapter(t testing.TB, opts faultinject.Options) *faultinject.Adapter {
	t.Helper()
	a, err := faultinject.New(newInner(t), opts)
	require.NoError(t, err)
	t.Cleanup(func() { _ = a.Close() })
	return a
}

// byteKeys are the keys of the contract's list: one byte of hash, model m.
func byteKeys(n int) []kv.Key {
	keys := make([]kv.Key, n)
	for i := range keys {
		keys[i] = kv.Key{ChunkHash: string([]byte{byte(i)}), Model: "m"}
	}
	return keys
}

func dropped(o faultinject.Options, keys []kv.Key) []int {
	bits := o.Dropped(keys)
	return bits.Indices()
}

func TestNothingInjectedIsTheInnerAdapter(t *testing.T) {
	plugintest.Run(t, func(t testing.TB) l2.Adapter {
		inner, err := mock.New(mock.Options{MaxSizeBytes: 1 << 20, BandwidthBytesPerSecond: 1 << 40})
		require.NoError(t, err)
		a, err := faultinject.New(inner, faultinject.Options{})
		require.NoError(t, err)
		return a
	})
}

func TestRow98GapIndices(t *testing.T) {
	a := newAdapter(t, faultinject.Options{GapIndices: []int{1, 99}})
	heard := &accessed{keys: make(chan []kv.Key, 10)}
	a.RegisterListener(heard)
	c, err := l2.NewClient(a)
	require.NoError(t, err)
	defer c.Close()
	keys := bridgetest.Keys(3)
	_, err = c.Store(t.Context(), keys, []kv.Buffer{[]byte("aa"), []byte("bb"), []byte("cc")})
	require.NoError(t, err)
	bits, err := c.Lookup(t.Context(), keys)
	require.NoError(t, err)
	require.Equal(t, "111", bits.String(), "row 98: lookups still find it")
	for range 2 {
		bufs := []kv.Buffer{make(kv.Buffer, 2), make(kv.Buffer, 2), make(kv.Buffer, 2)}
		bits, err = c.Load(t.Context(), keys, bufs)
		require.NoError(t, err)
		require.Equal(t, "101", bits.String(), "row 98")
		require.Equal(t, "bb", string(bufs[1]), "row 98: the buffer is filled")
		require.Equal(t, keys, <-heard.keys, "listeners hear of all keys")
	}
	bits, err = c.Load(t.Context(), keys[:1], []kv.Buffer{make(kv.Buffer, 2)})
	require.NoError(t, err)
	require.Equal(t, "1", bits.String(), "row 98: positions past the end are ignored")
}

type accessed struct{ keys chan []kv.Key }

func (a *accessed) KeysStored([]kv.Key, []int64) {}
func (a *accessed) KeysAccessed(keys []kv.Key)   { a.keys <- keys }
func (a *accessed) KeysDeleted([]kv.Key)         {}

func TestRow99GapTailRatios(t *testing.T) {
	for _, tc := range []struct {
		ratio float64
		want  map[int]int // dropped position by number of keys
	}{
		{0.5, map[int]int{2: 0, 3: 1, 4: 2, 5: 2, 6: 2}},
		{0.25, map[int]int{2: 1, 3: 2, 4: 2, 5: 3, 6: 4}},
		{0, map[int]int{1: 0, 2: 1, 6: 5}},
		{1, map[int]int{1: 0, 2: 0, 6: 0}},
	} {
		for n, want := range tc.want {
			require.Equal(t, []int{want}, dropped(faultinject.Options{GapTailRatios: []float64{tc.ratio}}, byteKeys(n)),
				"row 99: ratio %v, %d keys", tc.ratio, n)
		}
	}
	require.Empty(t, dropped(faultinject.Options{GapTailRatios: []float64{0, 0.5, 1}}, nil), "an empty load has no positions")
	require.Equal(t, []int{0, 1, 4}, dropped(faultinject.Options{GapIndices: []int{1}, GapTailRatios: []float64{0, 1}}, byteKeys(5)), "they add up")
}

func TestRow100Hashes(t *testing.T) {
	hash := func(text string) string {
		raw, err := hex.DecodeString(text)
		require.NoError(t, err)
		return string(raw)
	}
	require.Equal(t, uint64(890362), faultinject.Bucket(0, kv.Key{ChunkHash: hash("00"), Model: "m"}), "row 100")
	require.Equal(t, uint64(554964), faultinject.Bucket(0, kv.Key{ChunkHash: hash("abcd"), Model: "meta/llama", KVRank: 16777472, ObjectGroup: 2, Salt: "alice"}), "row 100")

	require.Equal(t, []int{1, 2, 4, 6, 7, 8, 9, 12, 13, 14, 17, 18}, dropped(faultinject.Options{Rate: 0.5}, byteKeys(20)), "row 100: seed 0")
	require.Equal(t, []int{0, 3, 5, 7, 8, 9, 10, 11, 12, 14, 15, 19}, dropped(faultinject.Options{Rate: 0.5, Seed: 1}, byteKeys(20)), "row 100: seed 1")
	require.Empty(t, dropped(faultinject.Options{}, byteKeys(256)))
	require.Len(t, dropped(faultinject.Options{Rate: 1}, byteKeys(256)), 256)
}

func TestLargeLoads(t *testing.T) {
	a := newAdapter(t, faultinject.Options{GapIndices: []int{0, 299}})
	c, err := l2.NewClient(a)
	require.NoError(t, err)
	defer c.Close()
	keys, values := bridgetest.Keys(300), make([]kv.Buffer, 300)
	_, err = c.Store(t.Context(), keys, values)
	require.NoError(t, err)
	bits, err := c.Load(t.Context(), keys, values)
	require.NoError(t, err)
	require.Equal(t, 298, bits.Count())
	require.False(t, bits.Test(0) || bits.Test(299))
}

func TestEverythingElseIsDelegated(t *testing.T) {
	inner := newInner(t)
	a, err := faultinject.New(inner, faultinject.Options{Rate: 0.25, Seed: 7, GapIndices: []int{3}})
	require.NoError(t, err)
	page, err := a.ListKeys(t.Context(), "model", 10, "token")
	require.NoError(t, err, "listing too")
	require.Equal(t, "modeltoken", page.NextPageToken)
	require.Equal(t, inner.LoadEventFD(), a.LoadEventFD())
	require.Same(t, inner.(listed).Adapter, a.Inner().(listed).Adapter)
	require.NoError(t, a.SetBackendIdentity("fault_inject", false))
	require.True(t, a.SupportsGlobalEviction())
	status := a.Status()
	require.Equal(t, "fault_inject", status["name"])
	require.Equal(t, map[string]any{"rate": 0.25, "seed": int64(7), "gap_indices": []int{3}, "gap_tail_ratios": []float64{}}, status["fault_inject"])
	require.NotContains(t, inner.Status(), "fault_inject")

	// The result of a load that ended before the close loses its keys after it.
	keys := bridgetest.Keys(4)
	id, err := a.SubmitLoadTask(keys, make([]kv.Buffer, 4))
	require.NoError(t, err)
	require.NoError(t, a.Close())
	require.Equal(t, -1, inner.LoadEventFD(), "it owns the inner adapter")
	bits, ok := a.QueryLoadResult(id)
	require.True(t, ok)
	require.Equal(t, "0000", bits.String())
	_, err = a.SubmitLoadTask(keys, make([]kv.Buffer, 4))
	require.ErrorIs(t, err, kv.Closed, "row 47")
}

func TestOptions(t *testing.T) {
	inner := newInner(t)
	defer inner.Close()
	_, err := faultinject.New(inner, faultinject.Options{Rate: 1.5, GapIndices: []int{0, -1}, GapTailRatios: []float64{2, math.NaN()}})
	require.ErrorIs(t, err, kv.Config)
	for _, want := range []string{"rate is 1.5", "gap_indices[1] is -1", "gap_tail_ratios[0] is 2", "gap_tail_ratios[1] is NaN"} {
		require.ErrorContains(t, err, want)
	}
	require.GreaterOrEqual(t, inner.LoadEventFD(), 0, "a refused inner adapter stays open")
	_, err = faultinject.New(nil, faultinject.Options{})
	require.ErrorIs(t, err, kv.Config)

	gaps := []int{1}
	a, err := faultinject.New(inner, faultinject.Options{GapIndices: gaps})
	require.NoError(t, err)
	gaps[0] = 0
	require.Equal(t, []int{1}, a.Status()["fault_inject"].(map[string]any)["gap_indices"], "options are copied")
}
