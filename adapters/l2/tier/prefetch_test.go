package tier_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/l2/tier"
	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
)

// rank returns the same chunks at another rank.
func rank(r int64, keys []kv.Key) []kv.Key {
	out := append([]kv.Key(nil), keys...)
	for i := range out {
		out[i].KVRank = r
	}
	return out
}

func TestRequestsAreChecked(t *testing.T) {
	f := newFixture(t, tier.Options{}, "a")
	keys := chunks(1, 2)
	for name, tc := range map[string]struct {
		req  tier.Request
		want string
	}{
		"no rows":            {tier.Request{}, "keys list is empty"},
		"no keys":            {tier.List(nil, 8), "keys list is empty"},
		"uneven rows":        {tier.Request{Rows: []tier.Row{{Keys: keys, Size: 8}, {Keys: keys[:1], Size: 8}}}, "row 1 has 1 keys, want 2"},
		"no size":            {tier.List(keys, 0), "size of value 0 is 0, want 1 or more"},
		"too few sizes":      {tier.Request{Rows: []tier.Row{{Keys: keys, Sizes: []int{8}}}}, "1 sizes for 2 keys"},
		"a window with full": {tier.Request{Rows: []tier.Row{{Keys: keys, Size: 8, Window: 1}}, Policy: tier.Full}, "Window is 1"},
		"an unknown policy":  {tier.Request{Rows: []tier.Row{{Keys: keys, Size: 8}}, Policy: 9}, "Policy is 9"},
		"an illegal key":     {tier.List([]kv.Key{{Model: "a@b"}}, 8), "model_name"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := f.Prefetch(background, tc.req)
			require.ErrorIs(t, err, kv.Invalid)
			require.ErrorContains(t, err, tc.want)
			r.Release()
		})
	}
	require.Empty(t, f.fakes[0].called("lookup"))
}

func TestNoMembersIsAllMiss(t *testing.T) {
	f := newFixture(t, tier.Options{})
	r := f.prefetch(t, tier.List(chunks(1, 2), 8))
	require.Equal(t, []string{"00"}, text(r.Hit))
	require.Nil(t, r.Cell(0, 0))
	require.Nil(t, r.Cell(4, 0))
}

func TestAChunkCountsWhenEveryRowHasIt(t *testing.T) {
	f := newFixture(t, tier.Options{}, "a", "b")
	r0, r1 := rank(0, chunks(1, 2, 3, 4)), rank(1, chunks(1, 2, 3, 4))
	f.fakes[0].put(64, r0...)
	f.fakes[0].put(64, r1[0])
	f.fakes[1].put(64, r1[1], r1[3])
	r := f.prefetch(t, tier.Request{Rows: []tier.Row{{Keys: r0, Size: 64}, {Keys: r1, Size: 64}}})
	defer r.Release()
	require.Equal(t, 2, r.PrefixLen)
	require.Equal(t, []string{"1100", "1100"}, text(r.Hit))
	require.Equal(t, []string{"1111", "1101"}, text(r.Found))
	require.Equal(t, "b", r.Cell(1, 1).Member)
}

func TestAWindowNeedsTheEndOfThePrefixOnly(t *testing.T) {
	f := newFixture(t, tier.Options{}, "a")
	full, window := chunks(1, 2, 3, 4, 5), rank(9, chunks(1, 2, 3, 4, 5))
	f.fakes[0].put(64, full...)
	f.fakes[0].put(32, window[0], window[2], window[3])
	req := tier.Request{Rows: []tier.Row{{Keys: full, Size: 64}, {Keys: window, Size: 32, Window: 2}}}
	r := f.prefetch(t, req)
	require.Equal(t, 4, r.PrefixLen)
	require.Equal(t, []string{"11110", "00110"}, text(r.Hit))
	r.Release()

	f.fakes[0].on("load", fault{lose: window[3:4]})
	r = f.prefetch(t, req)
	defer r.Release()
	require.Zero(t, r.PrefixLen, "no shorter prefix has its window among what was loaded")
	require.Equal(t, []string{"00000", "00000"}, text(r.Hit))
}

func TestTheSameKeyTwice(t *testing.T) {
	f := newFixture(t, tier.Options{}, "a")
	f.fakes[0].put(64, chunks(1)...)
	r := f.prefetch(t, tier.List(chunks(1, 1, 1), 64))
	defer r.Release()
	require.Equal(t, []string{"111"}, text(r.Hit))
}

func TestValuesOfSeveralSizesInOneRow(t *testing.T) {
	f := newFixture(t, tier.Options{}, "a")
	f.fakes[0].put(5000, chunks(1)...)
	f.fakes[0].put(100, chunks(2, 3)...)
	r := f.prefetch(t, tier.Request{Rows: []tier.Row{{Keys: chunks(1, 2, 3), Sizes: []int{5000, 100, 99}}}})
	defer r.Release()
	require.Equal(t, []string{"110"}, text(r.Hit), "a value of another size is a miss")
}

func TestReleaseIsOncePerValue(t *testing.T) {
	f := newFixture(t, tier.Options{}, "a")
	f.fakes[0].put(64, chunks(1, 2)...)
	r := f.prefetch(t, tier.List(chunks(1, 2), 64))
	first := r.Cell(0, 0)
	first.Release()
	first.Release()
	require.Nil(t, first.Value())
	require.Equal(t, int64(4096), f.arena.Stats().InUse)
	r.Release()
	r.Release()
	require.Zero(t, f.arena.Stats().InUse)
}

func TestLookupTellsAndKeepsNoPin(t *testing.T) {
	f := newFixture(t, tier.Options{}, "a", "b")
	f.fakes[0].put(64, chunks(1, 4)...)
	f.fakes[1].put(64, chunks(1, 2)...)
	r, err := f.Lookup(background, tier.List(chunks(1, 2, 3, 4), 0))
	require.NoError(t, err)
	require.Equal(t, 2, r.PrefixLen)
	require.Equal(t, []string{"1100"}, text(r.Hit))
	require.Equal(t, []string{"1101"}, text(r.Found))
	require.Nil(t, r.Cell(0, 0))
	require.Zero(t, f.fakes[0].pinned()+f.fakes[1].pinned())
	require.Empty(t, f.fakes[0].called("load"))

	f.fakes[0].on("lookup", fault{longer: 1})
	_, err = f.Lookup(background, tier.List(chunks(1), 0))
	require.ErrorIs(t, err, kv.Internal)
	_, err = f.Lookup(background, tier.Request{})
	require.ErrorIs(t, err, kv.Invalid)
}

// holdLookups makes lookups of f wait, each for its own channel by chunk number.
func holdLookups(f *fake, holds map[kv.Key]chan struct{}) {
	f.follow(func(op string, keys []kv.Key) fault {
		if op == "lookup" {
			return fault{hold: holds[keys[0]]}
		}
		return fault{}
	})
}

func TestPrefetchesQueueInOrder(t *testing.T) {
	f := newFixture(t, tier.Options{MaxInFlight: 1}, "a")
	a := f.fakes[0]
	keys := bridgetest.Keys(5)
	holds := map[kv.Key]chan struct{}{}
	for _, k := range keys {
		holds[k] = make(chan struct{})
	}
	holdLookups(a, holds)
	var answers []<-chan result[*tier.Result]
	var cancels []context.CancelFunc
	for i, k := range keys {
		ctx, cancel := context.WithCancel(background)
		defer cancel()
		cancels = append(cancels, cancel)
		answers = append(answers, async(func() (*tier.Result, error) { return f.Prefetch(ctx, tier.List([]kv.Key{k}, 8)) }))
		eventually(t, "it runs or waits", func() bool {
			s := f.Status()
			return s.Prefetching == 1 && s.Queued == i && len(a.called("lookup")) == 1
		})
	}
	cancels[2]() // one that waits goes away
	require.ErrorIs(t, receive(t, answers[2]).err, kv.Cancelled)
	for i, k := range keys {
		if i == 2 {
			continue
		}
		close(holds[k])
		require.NoError(t, receive(t, answers[i]).err)
	}
	require.Equal(t, [][]kv.Key{{keys[0]}, {keys[1]}, {keys[3]}, {keys[4]}}, a.called("lookup"))
	require.Zero(t, f.Status().Prefetching)
}

func TestCancelReturnsPinsOfEveryPhase(t *testing.T) {
	for _, op := range []string{"lookup", "load"} {
		t.Run(op, func(t *testing.T) {
			f := newFixture(t, tier.Options{}, "a", "b")
			a, b := f.fakes[0], f.fakes[1]
			a.put(64, chunks(1)...)
			b.put(64, chunks(1, 2)...)
			hold := make(chan struct{})
			a.on(op, fault{hold: hold, late: true})
			ctx, cancel := context.WithCancel(background)
			answer := async(func() (*tier.Result, error) { return f.Prefetch(ctx, tier.List(chunks(1, 2), 64)) })
			eventually(t, "it is held", func() bool { return len(a.called(op)) == 1 })
			cancel()
			require.ErrorIs(t, receive(t, answer).err, context.Canceled)
			eventually(t, "all pins are back", func() bool { return a.pinned()+b.pinned() == 0 })
			close(hold)
		})
	}
}

func TestWithoutMemoryTheBeginningIsServed(t *testing.T) {
	ar, err := arena.New(arena.Options{SegmentBytes: 4096, MaxBytes: 5 * 4096})
	require.NoError(t, err)
	f := newFixture(t, tier.Options{Arena: ar}, "a")
	r0, r1 := rank(0, chunks(1, 2, 3, 4)), rank(1, chunks(1, 2, 3, 4))
	f.fakes[0].put(4096, append(r0[:4:4], r1...)...)
	req := tier.Request{Rows: []tier.Row{{Keys: r0, Size: 4096}, {Keys: r1, Size: 4096}}}
	r := f.prefetch(t, req)
	require.Equal(t, []string{"1100", "1100"}, text(r.Hit))
	require.Equal(t, []string{"1111", "1111"}, text(r.Found))
	require.Equal(t, 4, r.Members[0].Planned)
	require.Equal(t, int64(4*4096), f.arena.Stats().InUse)
	require.Equal(t, int64(1), f.Status().NoMemory)
	r.Release()

	req.Policy = tier.Full
	r = f.prefetch(t, req)
	defer r.Release()
	require.Equal(t, 5, r.Hit[0].Count()+r.Hit[1].Count())
}

func TestLoadsWaitForBytesAndStoresAreDropped(t *testing.T) {
	f := newFixture(t, tier.Options{MaxLoadBytes: 100}, "a")
	a := f.fakes[0]
	a.put(64, chunks(1, 2)...)
	a.put(500, chunks(3)...)
	hold := make(chan struct{})
	a.on("load", fault{hold: hold})
	start := func(n, size int) <-chan result[*tier.Result] {
		return async(func() (*tier.Result, error) { return f.Prefetch(background, tier.List(chunks(n), size)) })
	}
	first := start(1, 64)
	eventually(t, "the first loads", func() bool { return len(a.called("load")) == 1 })
	require.Equal(t, int64(64), f.Status().LoadBytes)
	large := start(3, 500)
	eventually(t, "the large one waits", func() bool { return f.Status().WaitForBytes == 1 })
	third := start(2, 64)
	eventually(t, "the third waits behind it", func() bool { return f.Status().WaitForBytes == 2 })

	values, release := f.values(t, chunks(9), 8)
	defer release()
	s, err := f.Store(background, chunks(9), values)
	require.NoError(t, err)
	require.True(t, s.Members[0].Dropped, "loads first")
	require.ErrorIs(t, s.Members[0].Err, kv.Busy)
	require.Equal(t, "0", s.Everywhere.String())
	require.Equal(t, int64(1), f.Status().Members[0].StoresDropped)

	close(hold)
	for _, answer := range []<-chan result[*tier.Result]{first, large, third} {
		got := receive(t, answer)
		require.NoError(t, got.err)
		require.Equal(t, 1, got.value.PrefixLen, "also what is larger than the bound is served, alone")
		got.value.Release()
	}
	require.Zero(t, f.Status().LoadBytes)
	s, err = f.Store(background, chunks(9), values)
	require.NoError(t, err)
	require.Equal(t, "1", s.Everywhere.String())
}

func TestLateWritesDoNotReachAnybody(t *testing.T) {
	opts := short
	f := newFixture(t, opts, "slow", "other")
	slow, other := f.fakes[0], f.fakes[1]
	slow.put(4096, chunks(1, 2)...)
	other.put(4096, chunks(3, 4)...)
	hold := make(chan struct{})
	slow.on("load", fault{hold: hold, late: true})
	r := f.prefetch(t, tier.Request{Policy: tier.Full, Rows: []tier.Row{{Keys: chunks(1, 2, 3, 4), Size: 4096}}})
	require.Equal(t, []string{"0011"}, text(r.Hit), "what came in time is served")
	slow.follow(nil)
	req := tier.List(chunks(1, 2, 3, 4), 4096)
	again := f.prefetch(t, req)
	require.Equal(t, 4, again.PrefixLen)
	close(hold)
	slow.waitForLateWrites(1)
	requireValues(t, req, again)
	r.Release()
	again.Release()
}
