package tier_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/l2/tier"
	"github.com/sixcall/sixcall/bridge/kv"
)

func TestAddChecksItsArguments(t *testing.T) {
	f := newFixture(t, tier.Options{})
	_, err := f.Add("", newFake("x", f.arena), tier.MemberOptions{})
	require.ErrorIs(t, err, kv.Invalid)
	_, err = f.Add("x", nil, tier.MemberOptions{})
	require.ErrorIs(t, err, kv.Invalid)
	require.NoError(t, f.Close())
	_, err = f.Add("x", newFake("x", f.arena), tier.MemberOptions{})
	require.ErrorIs(t, err, kv.Closed)
}

func TestRemoveWaitsForWhatIsInFlight(t *testing.T) {
	f := newFixture(t, tier.Options{}, "a", "b")
	a := f.fakes[0]
	a.put(64, chunks(1)...)
	hold := make(chan struct{})
	a.on("load", fault{hold: hold})
	answer := async(func() (*tier.Result, error) { return f.Prefetch(background, tier.List(chunks(1), 64)) })
	eventually(t, "the load is held", func() bool { return len(a.called("load")) == 1 })

	ctx, cancel := context.WithTimeout(background, time.Millisecond)
	defer cancel()
	err := f.Remove(ctx, 0)
	require.ErrorIs(t, err, kv.Timeout)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Equal(t, tier.Draining, f.Status().Members[0].State)
	require.Zero(t, a.closed)

	r, err := f.Lookup(background, tier.List(chunks(1), 64))
	require.NoError(t, err)
	require.Len(t, r.Members, 1, "a draining member gets no new work")

	again := async(func() (int, error) { return 0, f.Remove(background, 0) })
	close(hold)
	got := receive(t, answer)
	require.NoError(t, got.err)
	require.Equal(t, 1, got.value.PrefixLen, "what was in flight completes")
	got.value.Release()
	require.NoError(t, receive(t, again).err)
	require.Len(t, f.Status().Members, 1)
}

func TestRemoveReturnsTheErrorOfClose(t *testing.T) {
	f := newFixture(t, tier.Options{}, "a")
	f.fakes[0].closeErr = errFault
	require.ErrorIs(t, f.Remove(background, 0), errFault)
	require.ErrorIs(t, f.Remove(background, 0), kv.Invalid, "gone all the same")
}

func TestRemoveThatGaveUpDuringCloseCanBeRepeated(t *testing.T) {
	f := newFixture(t, tier.Options{}, "a")
	a := f.fakes[0]
	a.closeHold, a.closeErr = make(chan struct{}), errFault
	ctx, cancel := context.WithTimeout(background, time.Millisecond)
	defer cancel()
	require.ErrorIs(t, f.Remove(ctx, 0), kv.Timeout)
	require.Equal(t, tier.Closing, f.Status().Members[0].State)
	close(a.closeHold)
	eventually(t, "it is closed", func() bool { return len(f.Status().Members) == 0 })
	require.ErrorIs(t, f.Remove(background, 0), errFault, "how the close ended is told once")
	require.ErrorIs(t, f.Remove(background, 0), kv.Invalid)
}

func TestCloseAnswersEverything(t *testing.T) {
	f := newFixture(t, tier.Options{MaxInFlight: 1, CloseGrace: patience}, "a", "b")
	a, b := f.fakes[0], f.fakes[1]
	a.put(64, chunks(1)...)
	b.put(64, chunks(1, 2)...)
	never, soon := make(chan struct{}), make(chan struct{})
	a.on("load", fault{hold: never})
	b.on("store", fault{hold: soon})
	loading := async(func() (*tier.Result, error) { return f.Prefetch(background, tier.List(chunks(1, 2), 64)) })
	eventually(t, "one loads", func() bool { return len(a.called("load")) == 1 })
	queued := async(func() (*tier.Result, error) { return f.Prefetch(background, tier.List(chunks(1), 64)) })
	eventually(t, "one waits", func() bool { return f.Status().Queued == 1 })
	values, release := f.values(t, chunks(3), 64)
	defer release()
	storing := async(func() (*tier.StoreResult, error) { return f.Store(background, chunks(3), values) })
	eventually(t, "one stores", func() bool { return len(b.called("store")) == 1 })

	closed := async(func() (int, error) { return 0, f.Close() })
	for _, answer := range []<-chan result[*tier.Result]{loading, queued} {
		got := receive(t, answer)
		require.ErrorIs(t, got.err, kv.Closed)
		require.NotErrorIs(t, got.err, context.Canceled)
		require.Zero(t, got.value.PrefixLen)
	}
	close(soon)
	stored := receive(t, storing)
	require.NoError(t, stored.err, "a store in flight may finish")
	require.Equal(t, "1", stored.value.Everywhere.String())
	require.NoError(t, receive(t, closed).err)
	require.Zero(t, a.pinned()+b.pinned())

	_, err := f.Prefetch(background, tier.List(chunks(1), 64))
	require.ErrorIs(t, err, kv.Closed)
	_, err = f.Lookup(background, tier.List(chunks(1), 64))
	require.ErrorIs(t, err, kv.Closed)
	_, err = f.Store(background, chunks(1), []kv.Buffer{{1}})
	require.ErrorIs(t, err, kv.Closed)
	_, err = f.Delete(background, chunks(1))
	require.ErrorIs(t, err, kv.Closed)
	require.NoError(t, f.Close(), "again")
	require.False(t, f.Status().Healthy)
}

func TestCloseClosesTheOthersAfterAnError(t *testing.T) {
	f := newFixture(t, tier.Options{}, "a", "b", "c")
	second := errors.New("second")
	f.fakes[0].closeErr, f.fakes[2].closeErr = errFault, second
	err := f.Close()
	require.ErrorIs(t, err, errFault)
	require.ErrorIs(t, err, second)
	require.Equal(t, err, f.Close())
	for _, m := range f.fakes {
		require.Equal(t, 1, m.closed)
	}
}

func TestCloseCutsStoresOffAfterTheGrace(t *testing.T) {
	f := newFixture(t, tier.Options{CloseGrace: time.Millisecond}, "a")
	f.fakes[0].on("store", fault{hold: make(chan struct{})})
	values, release := f.values(t, chunks(1), 64)
	defer release()
	storing := async(func() (*tier.StoreResult, error) { return f.Store(background, chunks(1), values) })
	eventually(t, "it stores", func() bool { return len(f.fakes[0].called("store")) == 1 })
	require.NoError(t, f.Close())
	require.ErrorIs(t, receive(t, storing).err, kv.Closed)
}

func TestCloseNamesWhoDoesNotReturn(t *testing.T) {
	f := newFixture(t, tier.Options{CloseGrace: time.Millisecond}, "a", "deaf")
	deaf := f.fakes[1]
	deaf.put(64, chunks(1)...)
	hold := make(chan struct{})
	deaf.on("lookup", fault{hold: hold, deaf: true})
	asking := async(func() (*tier.Result, error) { return f.Prefetch(background, tier.List(chunks(1), 64)) })
	eventually(t, "it asks", func() bool { return len(deaf.called("lookup")) == 1 })
	err := f.Close()
	require.ErrorIs(t, err, kv.Stuck)
	require.ErrorContains(t, err, `"deaf"`)
	require.ErrorIs(t, receive(t, asking).err, kv.Closed)
	close(hold) // its pins come back even now; the end of the test checks it
}

func TestStatusShowsWhoFails(t *testing.T) {
	f := newFixture(t, tier.Options{}, "a", "b")
	a, b := f.fakes[0], f.fakes[1]
	require.True(t, f.Status().Healthy)
	a.on("lookup", fault{err: errFault})
	for range 3 {
		require.True(t, f.Status().Healthy)
		f.prefetch(t, tier.List(chunks(1), 8))
	}
	s := f.Status()
	require.False(t, s.Healthy)
	require.False(t, s.Members[0].Healthy)
	require.True(t, s.Members[1].Healthy)
	require.Equal(t, "injected", s.Members[0].LastError)
	require.Equal(t, int64(3), s.Members[0].LookupsFailed)
	a.follow(nil)
	f.prefetch(t, tier.List(chunks(1), 8))
	require.True(t, f.Status().Healthy)
	b.sick = true
	s = f.Status()
	require.False(t, s.Healthy, "what a member says of itself counts")
	require.Equal(t, int64(4), s.Prefetches)

	encoded, err := json.Marshal(s)
	require.NoError(t, err)
	require.Contains(t, string(encoded), `"is_healthy":false`)
	require.Contains(t, string(encoded), `"num_inflight_l2_loads":0`)
}
