package tier_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/l2/tier"
	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
)

// The names of these tests are rows of the host contract's table. Row 119 says
// that a host takes results only from adapters whose event fd signalled. It has
// no counterpart here: the tier uses the context face, where the return of a call
// is its signal.

var errFault = errors.New("injected")

// short makes members that do not answer cost a test little time; the others have
// plenty.
var short = tier.Options{Deadlines: deadlines(2 * time.Second)}

func TestRow113OneStoreTaskPerModelAndRank(t *testing.T) {
	f := newFixture(t, tier.Options{}, "a", "b")
	m := chunks(1, 2, 3, 4, 5, 6)
	m[1].Model, m[3].Model = "m2", "m2"
	m[4].KVRank = 7
	m[5].Salt = "alice"
	values, release := f.values(t, m, 100)
	defer release()
	r, err := f.Store(background, m, values)
	require.NoError(t, err)
	require.Equal(t, "111111", r.Everywhere.String())
	for _, member := range f.fakes {
		require.ElementsMatch(t, [][]kv.Key{{m[0], m[2], m[5]}, {m[1], m[3]}, {m[4]}}, member.called("store"))
	}
}

func TestRow114MixedSizesInOneTask(t *testing.T) {
	f := newFixture(t, tier.Options{}, "a")
	small, large := chunks(1, 2, 3), chunks(1, 2, 3)
	for i := range large {
		large[i].ObjectGroup = 1
	}
	values, release := f.values(t, small, 1024)
	defer release()
	more, releaseMore := f.values(t, large, 5000)
	defer releaseMore()
	r, err := f.Store(background, append(small[:3:3], large...), append(values, more...))
	require.NoError(t, err)
	require.Equal(t, "111111", r.Everywhere.String())
	require.Len(t, f.fakes[0].called("store"), 1)

	got := f.prefetch(t, tier.Request{Rows: []tier.Row{{Keys: small, Size: 1024}, {Keys: large, Size: 5000}}})
	defer got.Release()
	require.Equal(t, []string{"111", "111"}, text(got.Hit))
	require.Equal(t, [][]kv.Key{append(small[:3:3], large...)}, f.fakes[0].called("load"), "one task, row after row")
}

func TestRow115AFailedStoreDoesNotHurtOthers(t *testing.T) {
	for name, ft := range map[string]fault{
		"refused":         {err: kv.Busy},
		"failed":          {err: errFault},
		"part of it":      {lose: chunks(2)},
		"never answering": {hold: make(chan struct{})},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, short, "a", "b")
			f.fakes[0].on("store", ft)
			values, release := f.values(t, chunks(1, 2), 64)
			defer release()
			r, err := f.Store(background, chunks(1, 2), values)
			require.NoError(t, err)
			require.Error(t, r.Members[0].Err)
			require.Equal(t, "00", r.Members[0].Stored.String())
			require.NoError(t, r.Members[1].Err)
			require.Equal(t, "11", r.Members[1].Stored.String())
			require.Equal(t, int64(128), r.Members[1].Bytes)
			eventually(t, "the loans are over", func() bool {
				return f.arena.BlockOf(values[0]).Lent() == 0 && !f.arena.BlockOf(values[0]).Quarantined()
			})
		})
	}
}

func TestRow116DropTheL1CopyOnSuccessOnly(t *testing.T) {
	f := newFixture(t, tier.Options{}, "a", "b")
	values, release := f.values(t, chunks(1, 2), 64)
	defer release()
	f.fakes[1].on("store", fault{err: errFault})
	r, err := f.Store(background, chunks(1, 2), values)
	require.NoError(t, err)
	require.Equal(t, "00", r.Everywhere.String(), "keep it while one member lacks it")
	f.fakes[1].follow(nil)
	r, err = f.Store(background, chunks(1, 2), values)
	require.NoError(t, err)
	require.Equal(t, "11", r.Everywhere.String())

	empty := newFixture(t, tier.Options{})
	own, releaseOwn := empty.values(t, chunks(1), 64)
	defer releaseOwn()
	r, err = empty.Store(background, chunks(1), own)
	require.NoError(t, err)
	require.Equal(t, "0", r.Everywhere.String(), "nobody has it")
}

func TestRow117PrefixPlan(t *testing.T) {
	f := newFixture(t, tier.Options{}, "a", "b")
	a, b := f.fakes[0], f.fakes[1]
	a.put(64, chunks(1, 2, 4)...)
	b.put(64, chunks(1, 3)...)
	a.on("load", fault{lose: chunks(2)})
	r := f.prefetch(t, tier.List(chunks(1, 2, 3, 4, 5), 64))
	defer r.Release()
	require.Equal(t, [][]kv.Key{chunks(1, 2, 4)}, a.called("load"))
	require.Equal(t, [][]kv.Key{chunks(3)}, b.called("load"))
	require.Equal(t, [][]kv.Key{chunks(1), chunks(3)}, b.called("unlock"), "1 after planning, 3 after its load")
	require.Equal(t, [][]kv.Key{chunks(1, 2, 4)}, a.called("unlock"))
	require.Equal(t, []string{"10000"}, text(r.Hit))
	require.Equal(t, []string{"11110"}, text(r.Found))
	require.Equal(t, 1, r.PrefixLen)
	require.Equal(t, "a", r.Cell(0, 0).Member)
	require.Nil(t, r.Cell(0, 2))
	require.Equal(t, []tier.MemberResult{
		{ID: 0, Name: "a", Found: 3, Planned: 3, Loaded: 2},
		{ID: 1, Name: "b", Found: 2, Planned: 1, Loaded: 1},
	}, r.Members)
	require.Zero(t, a.pinned()+b.pinned())
	require.Equal(t, int64(4096), f.arena.Stats().InUse, "what is useless behind the hole is released")
}

func TestRow118FullPlan(t *testing.T) {
	f := newFixture(t, tier.Options{}, "a")
	f.fakes[0].put(64, chunks(1, 3)...)
	req := tier.List(chunks(1, 2, 3), 64)
	r := f.prefetch(t, req)
	require.Equal(t, []string{"100"}, text(r.Hit))
	require.Equal(t, [][]kv.Key{chunks(1)}, f.fakes[0].called("load"))
	r.Release()
	req.Policy = tier.Full
	r = f.prefetch(t, req)
	defer r.Release()
	require.Equal(t, []string{"101"}, text(r.Hit))
	require.Equal(t, chunks(1, 3), f.fakes[0].called("load")[1])
	require.Equal(t, 1, r.PrefixLen)
}

func TestRow120ASilentMemberIsAMiss(t *testing.T) {
	for name, tc := range map[string]struct {
		op   string
		deaf bool
		hit  string
	}{
		"in lookups":                          {op: "lookup", hit: "11"},
		"in lookups, and deaf to its context": {op: "lookup", deaf: true, hit: "11"},
		"in loads":                            {op: "load", hit: "00"},
		"in loads, and deaf to its context":   {op: "load", deaf: true, hit: "00"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := short
			opts.MaxInFlight = 1
			f := newFixture(t, opts, "silent", "other")
			silent, other := f.fakes[0], f.fakes[1]
			silent.put(64, chunks(1, 2, 3)...)
			other.put(64, chunks(1, 2)...)
			hold := make(chan struct{})
			silent.on(tc.op, fault{hold: hold, deaf: tc.deaf})
			for range 2 { // the second one needs the slot of the first
				r := f.prefetch(t, tier.List(chunks(1, 2), 64))
				require.Equal(t, []string{tc.hit}, text(r.Hit))
				require.ErrorIs(t, r.Members[0].Err, kv.Timeout)
				require.NoError(t, r.Members[1].Err)
				r.Release()
			}
			s := f.Status()
			require.Zero(t, s.Prefetching)
			require.Equal(t, int64(2), s.Members[0].Unanswered)
			close(hold)
			eventually(t, "the calls return", func() bool { return f.Status().Members[0].InFlight == 0 })
			require.Zero(t, silent.pinned())
		})
	}
}

func TestRow121WrongLengthIsAllMiss(t *testing.T) {
	for name, tc := range map[string]struct {
		op     string
		longer int
	}{
		"lookup too short": {"lookup", -1},
		"lookup too long":  {"lookup", 3},
		"load too short":   {"load", -1},
		"load too long":    {"load", 3},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, tier.Options{}, "a", "b")
			f.fakes[0].put(64, chunks(1, 2)...)
			f.fakes[1].put(64, chunks(1, 2, 3, 4)...)
			f.fakes[0].on(tc.op, fault{longer: tc.longer})
			r, err := f.Prefetch(background, tier.List(chunks(1, 2, 3, 4), 64))
			require.ErrorIs(t, err, kv.Internal)
			require.ErrorContains(t, err, "bits for")
			require.Equal(t, []string{"0000"}, text(r.Hit))
			require.Zero(t, f.fakes[0].pinned()+f.fakes[1].pinned())
			require.Zero(t, f.arena.Stats().InUse)
		})
	}
}

func TestRow122BuffersAreNotReusedBeforeTheMemberIsDone(t *testing.T) {
	f := newFixture(t, tier.Options{}, "a", "b")
	a, b := f.fakes[0], f.fakes[1]
	a.put(4096, chunks(1, 2)...)
	b.put(4096, chunks(3)...)
	hold := make(chan struct{})
	a.on("load", fault{hold: hold, deaf: true})
	b.on("load", fault{err: errFault})
	ctx, cancel := context.WithCancel(background)
	answer := async(func() (*tier.Result, error) { return f.Prefetch(ctx, tier.List(chunks(1, 2, 3), 4096)) })
	eventually(t, "both loads have begun and b's has failed", func() bool {
		return len(a.called("load")) == 1 && len(b.called("unlock")) == 1
	})
	cancel()
	got := receive(t, answer)
	require.ErrorIs(t, got.err, kv.Cancelled)
	require.ErrorIs(t, got.err, context.Canceled)
	require.Equal(t, []string{"000"}, text(got.value.Hit))

	// The request is gone, a still writes. Whoever allocates now must not see it.
	require.Equal(t, int64(2*4096), f.arena.Stats().InUse, "b's buffer is free, a's are not")
	others, release := f.values(t, bridgetest.Keys(20), 4096)
	close(hold)
	eventually(t, "a is done", func() bool { return f.Status().Members[0].InFlight == 0 })
	for i, k := range bridgetest.Keys(20) {
		require.Equal(t, valueOf(k, 4096), others[i])
	}
	release()
	require.Zero(t, a.pinned())
}

func TestRow122AFailedLoadLeavesTheOthersTheirHits(t *testing.T) {
	f := newFixture(t, tier.Options{}, "a", "b")
	f.fakes[0].put(64, chunks(1, 2)...)
	f.fakes[1].put(64, chunks(3)...)
	f.fakes[1].on("load", fault{err: errFault})
	r := f.prefetch(t, tier.List(chunks(1, 2, 3), 64))
	defer r.Release()
	require.Equal(t, []string{"110"}, text(r.Hit))
	require.ErrorIs(t, r.Members[1].Err, errFault)
}

func TestRow123AFailedLookupLeavesTheOthersTheirHits(t *testing.T) {
	for name, ft := range map[string]fault{
		"nothing":           {err: errFault},
		"hits and an error": {err: errFault, beside: true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, tier.Options{}, "a", "b", "c")
			f.fakes[0].put(64, chunks(1, 2)...)
			f.fakes[1].put(64, chunks(3)...)
			f.fakes[2].put(64, chunks(3)...)
			f.fakes[1].on("lookup", ft)
			r := f.prefetch(t, tier.List(chunks(1, 2, 3), 64))
			defer r.Release()
			require.Equal(t, []string{"111"}, text(r.Hit))
			require.ErrorIs(t, r.Members[1].Err, errFault)
			want := "c"
			if ft.beside {
				want = "b" // its ones can be relied on
			}
			require.Equal(t, want, r.Cell(0, 2).Member)
		})
	}
}

func TestRow124AddAndRemove(t *testing.T) {
	f := newFixture(t, tier.Options{}, "a")
	a := f.fakes[0]
	a.put(64, chunks(1)...)
	b := f.add(t, "b", tier.MemberOptions{})
	require.Equal(t, 1, b.id)
	require.False(t, b.has(chunks(1)[0]), "no back-fill")
	require.NoError(t, f.Remove(background, 0))
	require.Equal(t, 1, a.closed)
	require.ErrorIs(t, f.Remove(background, 0), kv.Invalid)
	require.ErrorIs(t, f.Remove(background, 7), kv.Invalid)

	values, release := f.values(t, chunks(2), 64)
	defer release()
	r, err := f.Store(background, chunks(2), values)
	require.NoError(t, err)
	require.Len(t, r.Members, 1)
	require.Equal(t, "b", r.Members[0].Name)
	got := f.prefetch(t, tier.List(chunks(2, 1), 64))
	defer got.Release()
	require.Equal(t, []string{"10"}, text(got.Hit), "traffic moves to b")
	require.Empty(t, a.called("lookup"))
	require.Equal(t, 2, f.add(t, "c", tier.MemberOptions{}).id, "ids are not reused")
	require.Equal(t, 1, a.closed)
}
