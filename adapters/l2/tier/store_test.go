package tier_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/l2/tier"
	"github.com/sixcall/sixcall/bridge/kv"
)

func TestStoresAreChecked(t *testing.T) {
	f := newFixture(t, tier.Options{}, "a")
	for name, tc := range map[string]struct {
		keys   []kv.Key
		values []kv.Buffer
		want   string
	}{
		"no keys":        {nil, nil, "keys list is empty"},
		"too few values": {chunks(1, 2), []kv.Buffer{{1}}, "2 keys and 1 values"},
		"an illegal key": {[]kv.Key{{Salt: "a/b"}}, []kv.Buffer{{1}}, "cache_salt"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.Store(background, tc.keys, tc.values)
			require.ErrorIs(t, err, kv.Invalid)
			require.ErrorContains(t, err, tc.want)
		})
	}
	require.Empty(t, f.fakes[0].called("store"))
}

func TestReadOnlyMembersGetNoStores(t *testing.T) {
	f := newFixture(t, tier.Options{}, "a")
	b := f.add(t, "b", tier.MemberOptions{ReadOnly: true})
	b.put(64, chunks(2)...)
	values, release := f.values(t, chunks(1), 64)
	defer release()
	r, err := f.Store(background, chunks(1), values)
	require.NoError(t, err)
	require.Equal(t, "1", r.Everywhere.String())
	require.Len(t, r.Members, 1)
	_, err = f.Delete(background, chunks(2))
	require.NoError(t, err)
	require.Empty(t, b.called("store"))
	require.Empty(t, b.called("delete"))
	got := f.prefetch(t, tier.List(chunks(1, 2), 64))
	defer got.Release()
	require.Equal(t, []string{"11"}, text(got.Hit))
}

func TestAMemberThatTellsEachKey(t *testing.T) {
	f := newFixture(t, tier.Options{}, "a")
	b := newFake("b", f.arena)
	b.on("store", fault{lose: chunks(2)})
	_, err := f.Add("b", keyStorer{b}, tier.MemberOptions{})
	require.NoError(t, err)
	f.fakes = append(f.fakes, b)
	values, release := f.values(t, chunks(1, 2, 3), 64)
	defer release()
	r, err := f.Store(background, chunks(1, 2, 3), values)
	require.NoError(t, err)
	require.Equal(t, "111", r.Members[0].Stored.String())
	require.Equal(t, "101", r.Members[1].Stored.String())
	require.Error(t, r.Members[1].Err)
	require.Equal(t, "101", r.Everywhere.String())
}

func TestStoresBeyondTheBytesOfAMemberAreDroppedThere(t *testing.T) {
	f := newFixture(t, tier.Options{MaxStoreBytes: 100}, "slow")
	f.add(t, "fast", tier.MemberOptions{MaxStoreBytes: -1})
	slow := f.fakes[0]
	hold := make(chan struct{})
	slow.on("store", fault{hold: hold})
	values, release := f.values(t, chunks(1, 2), 64)
	defer release()
	first := async(func() (*tier.StoreResult, error) { return f.Store(background, chunks(1), values[:1]) })
	eventually(t, "the first is under way", func() bool { return len(slow.called("store")) == 1 })
	require.Equal(t, int64(64), f.Status().Members[0].StoreBytes)
	require.Equal(t, 1, f.Status().Storing)
	r, err := f.Store(background, chunks(2), values[1:])
	require.NoError(t, err)
	require.True(t, r.Members[0].Dropped)
	require.Equal(t, "1", r.Members[1].Stored.String())
	require.Equal(t, "0", r.Everywhere.String())
	close(hold)
	require.Equal(t, "1", receive(t, first).value.Everywhere.String())
	s := f.Status().Members[0]
	require.Equal(t, int64(1), s.StoresDropped)
	require.Equal(t, int64(64), s.BytesDropped)
	require.Zero(t, s.StoreBytes)
}

func TestALeftStoreKeepsItsValues(t *testing.T) {
	f := newFixture(t, tier.Options{}, "a")
	a := f.fakes[0]
	hold := make(chan struct{})
	a.on("store", fault{hold: hold, deaf: true})
	values, release := f.values(t, chunks(1), 4096)
	block := f.arena.BlockOf(values[0])
	ctx, cancel := context.WithCancel(background)
	answer := async(func() (*tier.StoreResult, error) { return f.Store(ctx, chunks(1), values) })
	eventually(t, "it is held", func() bool { return len(a.called("store")) == 1 })
	cancel()
	got := receive(t, answer)
	require.ErrorIs(t, got.err, context.Canceled)
	require.ErrorIs(t, got.err, kv.Cancelled)
	require.Equal(t, "0", got.value.Everywhere.String())
	require.True(t, block.Quarantined())
	release()
	require.Equal(t, int64(4096), f.arena.Stats().InUse, "a still reads")
	close(hold)
	eventually(t, "the memory is back", func() bool { return f.arena.Stats().InUse == 0 })
	a.follow(nil)
	r := f.prefetch(t, tier.List(chunks(1), 4096)) // checks what a has read
	require.Equal(t, 1, r.PrefixLen)
	r.Release()
}

func TestStoreOfOtherMemoryWaitsForTheMember(t *testing.T) {
	f := newFixture(t, tier.Options{}, "a")
	a := f.fakes[0]
	hold := make(chan struct{})
	a.on("store", fault{hold: hold, deaf: true})
	value := valueOf(chunks(1)[0], 100)
	ctx, cancel := context.WithCancel(background)
	answer := async(func() (*tier.StoreResult, error) { return f.Store(ctx, chunks(1), []kv.Buffer{value}) })
	eventually(t, "it is held", func() bool { return len(a.called("store")) == 1 })
	cancel()
	close(hold)
	got := receive(t, answer)
	require.ErrorIs(t, got.err, kv.Cancelled)
	require.Equal(t, "1", got.value.Everywhere.String(), "it waited, so it knows")
}

func TestDeleteGoesToAllMembers(t *testing.T) {
	f := newFixture(t, tier.Options{}, "a", "b")
	f.fakes[0].put(8, chunks(1)...)
	f.fakes[1].put(8, chunks(1, 2)...)
	got, err := f.Delete(background, chunks(1, 2))
	require.NoError(t, err)
	require.Equal(t, []tier.MemberDelete{
		{ID: 0, Name: "a", Result: kv.DeleteResult{Deleted: 1, Absent: 1}},
		{ID: 1, Name: "b", Result: kv.DeleteResult{Deleted: 2}},
	}, got)
	f.fakes[0].on("delete", fault{err: errFault})
	got, err = f.Delete(background, chunks(1))
	require.NoError(t, err)
	require.ErrorIs(t, got[0].Err, errFault)
	require.NoError(t, got[1].Err)
	_, err = f.Delete(background, []kv.Key{{ObjectGroup: -1}})
	require.ErrorIs(t, err, kv.Invalid)
}
