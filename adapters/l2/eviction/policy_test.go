package eviction_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/l2/eviction"
	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
)

// victims asks for keys and returns them without their sizes.
func victims(t *testing.T, p eviction.Policy, want eviction.Want) []kv.Key {
	t.Helper()
	list, err := p.Victims(want)
	require.NoError(t, err)
	return keysOf(list)
}

func keysOf(list []eviction.Victim) []kv.Key {
	out := []kv.Key{}
	for _, v := range list {
		out = append(out, v.Key)
	}
	return out
}

func TestPolicyNames(t *testing.T) {
	t.Run("row 85: a name in the wrong case is refused with the four names", func(t *testing.T) {
		_, err := eviction.New("lru")
		require.ErrorIs(t, err, kv.Invalid)
		require.ErrorContains(t, err, `eviction_policy is "lru", want one of LRU, ARC, IsolatedLRU, noop`)
		require.Equal(t, err.Error(), eviction.Config{Policy: "lru", TriggerWatermark: 1}.Validate().Error())
	})
	t.Run("row 85: the four names are accepted", func(t *testing.T) {
		for _, name := range []string{"LRU", "ARC", "IsolatedLRU", "noop"} {
			p, err := eviction.New(name)
			require.NoError(t, err)
			require.Zero(t, p.Len())
			require.NoError(t, eviction.DefaultConfig(name).Validate())
		}
		for _, name := range []string{"", "FIFO", "Noop", "isolatedlru"} {
			_, err := eviction.New(name)
			require.Error(t, err, name)
		}
	})
}

func TestConfigReportsAllProblemsAtOnce(t *testing.T) {
	err := eviction.Config{Policy: "fifo", TriggerWatermark: 5, EvictionRatio: -3}.Validate()
	require.ErrorIs(t, err, kv.Invalid)
	for _, line := range []string{
		`eviction_policy is "fifo", want one of LRU, ARC, IsolatedLRU, noop`,
		"trigger_watermark is 5, want more than 0 and at most 1",
		"eviction_ratio is -3, want 0 to 1",
	} {
		require.ErrorContains(t, err, line)
	}
	for _, c := range []eviction.Config{
		{"LRU", 0, 0.2}, {"LRU", math.NaN(), 0.2}, {"LRU", 0.8, math.NaN()}, {"LRU", 0.8, 1.01}, {"LRU", math.Inf(1), 0},
	} {
		require.ErrorIs(t, c.Validate(), kv.Invalid, "%+v", c)
	}
	require.NoError(t, eviction.Config{"LRU", 1, 0}.Validate())
}

func TestLRU(t *testing.T) {
	t.Run("row 106: created 1,2,3 is evicted 3,2,1", func(t *testing.T) {
		p := eviction.NewLRU()
		p.Created(keys(1, 2, 3), nil)
		require.Equal(t, keys(3, 2, 1), victims(t, p, eviction.Want{Keys: eviction.TargetKeys(p.Len(), 1)}))
	})
	t.Run("row 107: ratio 0 and -1 take none, 2 takes all", func(t *testing.T) {
		p := eviction.NewLRU()
		p.Created(keys(1, 2, 3), nil)
		for ratio, want := range map[float64][]kv.Key{0: keys(), -1: keys(), 2: keys(3, 2, 1)} {
			require.Equal(t, want, victims(t, p, eviction.Want{Keys: eviction.TargetKeys(p.Len(), ratio)}), "ratio %v", ratio)
		}
	})
	t.Run("a key that is stored again is the newest, and so is a loaded one", func(t *testing.T) {
		p := eviction.NewLRU()
		p.Created(keys(1), nil)
		p.Created(keys(2), nil)
		p.Created(keys(3), nil)
		p.Created(keys(1), nil)
		require.Equal(t, keys(2, 3, 1), victims(t, p, eviction.Want{Keys: 9}))
		p.Touched(keys(2, 7))
		require.Equal(t, keys(3, 1, 2), victims(t, p, eviction.Want{Keys: 9}))
		require.Equal(t, 3, p.Len(), "an unknown key that is loaded is not tracked")
	})
	t.Run("skipped keys are passed over", func(t *testing.T) {
		p := eviction.NewLRU()
		p.Created(keys(1, 2, 3, 4), nil)
		skip := func(k kv.Key) bool { return k == bridgetest.Key(4) || k == bridgetest.Key(2) }
		require.Equal(t, keys(3, 1), victims(t, p, eviction.Want{Keys: 3, Skip: skip}))
	})
	t.Run("enough keys for the bytes are taken", func(t *testing.T) {
		p := eviction.NewLRU()
		p.Created(keys(1, 2, 3, 4), []int64{100, 5, 10, 1})
		require.Equal(t, keys(4, 3, 2), victims(t, p, eviction.Want{Bytes: 12}))
		require.Equal(t, keys(4, 3, 2), victims(t, p, eviction.Want{Bytes: 12, Keys: 1}))
		require.Equal(t, keys(4, 3, 2), victims(t, p, eviction.Want{Bytes: 1, Keys: 3}))
		require.Equal(t, keys(4, 3, 2, 1), victims(t, p, eviction.Want{Bytes: 1000}))
	})
	t.Run("a key of unknown size counts what is assumed", func(t *testing.T) {
		p := eviction.NewLRU()
		p.Created(keys(1, 2, 3, 4), nil)
		require.Equal(t, keys(4, 3), victims(t, p, eviction.Want{Bytes: 20, Assume: 10}))
	})
	t.Run("sizes add up when a key grows", func(t *testing.T) {
		p := eviction.NewLRU()
		p.Created(keys(1), []int64{10})
		p.Created(keys(1), []int64{0})
		p.Created(keys(1), []int64{5})
		list, err := p.Victims(eviction.Want{Keys: 1})
		require.NoError(t, err)
		require.Equal(t, []eviction.Victim{{Key: bridgetest.Key(1), Size: 15}}, list)
	})
}

func TestTargetKeys(t *testing.T) {
	for _, tc := range []struct {
		n     int
		ratio float64
		want  int
	}{
		{10, 0.2, 2}, {14, 0.2, 2}, {15, 0.2, 3}, {4, 0.2, 1}, {1, 0.001, 1}, {0, 1, 0}, {5, 1, 5}, {5, 7, 5},
		{5, math.NaN(), 0}, {5, math.Inf(1), 5}, {5, math.Inf(-1), 0},
	} {
		require.Equal(t, tc.want, eviction.TargetKeys(tc.n, tc.ratio), "%d keys, ratio %v", tc.n, tc.ratio)
	}
}

func TestIsolatedLRU(t *testing.T) {
	p := eviction.NewIsolatedLRU()
	p.Created([]kv.Key{salted(1, "u"), salted(2, "v"), salted(3, "u"), salted(4, "")}, sizes(4, 10))
	_, err := p.Victims(eviction.Want{Keys: 1})
	require.ErrorIs(t, err, eviction.ErrNoSalt)
	require.Equal(t, []kv.Key{salted(3, "u"), salted(1, "u")}, keysOf(p.VictimsOf("u", eviction.Want{Keys: 9})))
	require.Equal(t, []kv.Key{salted(4, "")}, keysOf(p.VictimsOf("", eviction.Want{Keys: 9})), "the empty salt is one like others")
	require.Empty(t, p.VictimsOf("w", eviction.Want{Keys: 9}))
	p.Touched([]kv.Key{salted(3, "u"), salted(3, "v")})
	require.Equal(t, []kv.Key{salted(1, "u")}, keysOf(p.VictimsOf("u", eviction.Want{Keys: 1})))
	p.Removed([]kv.Key{salted(1, "u"), salted(3, "u"), salted(3, "v")})
	require.Equal(t, 0, p.LenOf("u"))
	require.Equal(t, 1, p.LenOf("v"))
	require.Equal(t, 2, p.Len())
}

func TestFIFOIgnoresWhatHappensLater(t *testing.T) {
	p := eviction.NewFIFO()
	p.Created(keys(1), nil)
	p.Created(keys(2), nil)
	p.Created(keys(1), nil)
	p.Touched(keys(1))
	require.Equal(t, keys(1, 2), victims(t, p, eviction.Want{Keys: 9}))
}

func TestNoopTracksNothing(t *testing.T) {
	p := eviction.Noop{}
	p.Created(keys(1, 2), nil)
	require.Zero(t, p.Len())
	require.Empty(t, victims(t, p, eviction.Want{Keys: 9, Bytes: 9}))
}

func TestARC(t *testing.T) {
	evict := func(t *testing.T, p *eviction.ARC, n int) []kv.Key {
		list := victims(t, p, eviction.Want{Keys: n})
		p.Removed(list)
		return list
	}
	t.Run("a scan does not push out what was loaded", func(t *testing.T) {
		p := eviction.NewARC()
		p.Created(keys(1, 2), nil)
		p.Touched(keys(1, 2))
		p.Created(keys(3, 4, 5), nil)
		require.Equal(t, keys(5, 4, 3, 2), evict(t, p, 4))
	})
	t.Run("a ghost that comes back makes room for its list", func(t *testing.T) {
		p := eviction.NewARC()
		p.Created(keys(1, 2, 3, 4), nil)
		p.Touched(keys(1, 2))
		require.Equal(t, keys(4), evict(t, p, 1)) // a ghost of T1
		p.Created(keys(4), nil)                   // the target of T1 is 1 now, and 4 is frequent
		require.Equal(t, keys(3), victims(t, p, eviction.Want{Keys: 1}), "T1 has 1 key, which is its target")
		p.Touched(keys(3)) // T1 is empty, below its target
		p.Created(keys(9), nil)
		require.Equal(t, keys(9, 2, 1, 4, 3), victims(t, p, eviction.Want{Keys: 9}))
	})
	t.Run("a key that is removed by others leaves no ghost", func(t *testing.T) {
		p := eviction.NewARC()
		p.Created(keys(1, 2), nil)
		p.Removed(keys(2))
		p.Created(keys(2), nil) // as new
		require.Equal(t, keys(1, 2), victims(t, p, eviction.Want{Keys: 9}))
	})
	t.Run("ghosts are not stored keys", func(t *testing.T) {
		p := eviction.NewARC()
		p.Created(keys(1, 2, 3), nil)
		evict(t, p, 2)
		require.Equal(t, 1, p.Len())
		p.Touched(keys(2, 3))
		p.Removed(keys(2, 3))
		require.Equal(t, keys(1), victims(t, p, eviction.Want{Keys: 9}))
	})
}

// TestKeysSurviveTracking compares keys of every shape with what comes back.
func TestKeysSurviveTracking(t *testing.T) {
	long := strings.Repeat("\xff\x00", 200)
	want := []kv.Key{
		{},
		{ChunkHash: "\x00", Model: "m"},
		{ChunkHash: "\x00\x00", Model: "m"},
		{ChunkHash: long[:32], Model: "m"},
		{ChunkHash: long[:33], Model: "m"},
		{ChunkHash: long[:255], Model: "m"},
		{ChunkHash: long, Model: "m"},
		{ChunkHash: long, Model: "m", KVRank: -1},
		{ChunkHash: long, Model: "m", KVRank: 1 << 40, ObjectGroup: 300},
		{ChunkHash: long, Model: "m", Salt: "s"},
		{ChunkHash: long, Model: "n", Salt: "s"},
	}
	for _, p := range []eviction.Policy{eviction.NewLRU(), eviction.NewARC(), eviction.NewFIFO()} {
		for i := len(want) - 1; i >= 0; i-- {
			p.Created(want[i:i+1], nil)
			p.Created(want[i:i+1], nil) // known now
		}
		require.Equal(t, len(want), p.Len(), "%T", p)
		require.ElementsMatch(t, want, victims(t, p, eviction.Want{Keys: 99}), "%T", p)
		p.Removed(want[3:])
		require.ElementsMatch(t, want[:3], victims(t, p, eviction.Want{Keys: 99}), "%T", p)
	}
}

func ExampleTargetKeys() {
	fmt.Println(eviction.TargetKeys(14, 0.2), eviction.TargetKeys(3, 0.2), eviction.TargetKeys(3, 0))
	// Output: 2 1 0
}
