package plugintest

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge/kv"
)

func storeIsPopped(t *testing.T, f *fixture) {
	require.NotNil(t, f.PopCompletedStoreTasks(), "nothing stored gives an empty map")
	keys := keys(1)
	id, err := f.SubmitStoreTask(keys, contents(keys, 64))
	require.NoError(t, err)
	require.True(t, await(t, f.StoreEventFD(), f.timeout), "no signal")
	require.Equal(t, map[kv.TaskID]kv.StoreResult{id: {OK: true, Bytes: 64}}, f.PopCompletedStoreTasks(), "the result is there when the fd signals")
	require.Empty(t, f.PopCompletedStoreTasks(), "a result is popped once")
	require.False(t, await(t, f.StoreEventFD(), 0), "one 8-byte read clears the fd")
}

func idsAreUnique(t *testing.T, f *fixture) {
	keys := keys(1)
	seen := map[kv.TaskID]bool{}
	for range 3 {
		store, err := f.SubmitStoreTask(keys, contents(keys, 8))
		require.NoError(t, err)
		look, err := f.SubmitLookupAndLockTask(keys, nil)
		require.NoError(t, err)
		load, err := f.SubmitLoadTask(keys, empty(1, 8))
		require.NoError(t, err)
		for _, id := range []kv.TaskID{store, look, load} {
			require.False(t, seen[id], "id %d was given out twice", id)
			require.GreaterOrEqual(t, id, kv.TaskID(0))
			seen[id] = true
		}
	}
}

func lookup(t *testing.T, f *fixture) {
	keys := keys(3)
	f.fill(t, []kv.Key{keys[0], keys[2]}, 64)
	id, err := f.SubmitLookupAndLockTask(keys, nil)
	require.NoError(t, err)
	require.True(t, await(t, f.LookupAndLockEventFD(), f.timeout), "no signal")
	bits, ok := f.QueryLookupAndLockResult(id)
	require.True(t, ok, "the result is there when the fd signals")
	require.Equal(t, "101", bits.String())
	_, ok = f.QueryLookupAndLockResult(id)
	require.False(t, ok, "a result is taken once")
	_, ok = f.QueryLookupAndLockResult(id + 1000)
	require.False(t, ok, "an unknown id has no result")
	_, ok = f.QueryLoadResult(id)
	require.False(t, ok, "a lookup's id is no load's")
	f.SubmitUnlock(keys)

	// The same key, but for one field, is another key.
	for _, other := range []func(*kv.Key){
		func(k *kv.Key) { k.ChunkHash += "x" },
		func(k *kv.Key) { k.Model += "x" },
		func(k *kv.Key) { k.KVRank++ },
		func(k *kv.Key) { k.ObjectGroup++ },
		func(k *kv.Key) { k.Salt = "alice" },
	} {
		k := keys[0]
		other(&k)
		bits := f.lookup(t, []kv.Key{k})
		require.Equal(t, "0", bits.String(), "%s beside %s (row 9)", k, keys[0])
	}
}

func load(t *testing.T, f *fixture) {
	keys := keys(3)
	values := f.fill(t, []kv.Key{keys[0], keys[2]}, 100)
	bufs := empty(3, 100)
	id, err := f.SubmitLoadTask(keys, bufs)
	require.NoError(t, err)
	require.True(t, await(t, f.LoadEventFD(), f.timeout), "no signal")
	bits, ok := f.QueryLoadResult(id)
	require.True(t, ok, "the result is there when the fd signals")
	require.Equal(t, "101", bits.String(), "an absent key is a miss, and no error")
	require.Equal(t, values, []kv.Buffer{bufs[0], bufs[2]})
	_, ok = f.QueryLoadResult(id)
	require.False(t, ok, "a result is taken once")
	_, ok = f.QueryLoadResult(id + 1000)
	require.False(t, ok, "an unknown id has no result")

	// What was stored is a copy: its buffer is the host's again.
	clear(values[0])
	bits = f.load(t, keys[:1], bufs[:1])
	require.Equal(t, "1", bits.String())
	require.Equal(t, content(keys[0], 100), bufs[0])
}

func loadOfAnotherSize(t *testing.T, f *fixture) {
	keys := keys(2)
	f.fill(t, keys, 64)
	bufs := []kv.Buffer{make(kv.Buffer, 65), make(kv.Buffer, 64)}
	bits := f.load(t, keys, bufs)
	require.Equal(t, "01", bits.String(), "the other key is not affected")
	bits = f.load(t, keys[:1], empty(1, 63))
	require.Equal(t, 1, bits.Len(), "a buffer that is too short completes as well")
}

func batches(t *testing.T, f *fixture) {
	const n = 300 // more than a bitmap holds inline
	keys := keys(n)
	values := make([]kv.Buffer, n)
	want := int64(0)
	for i := range values {
		values[i] = content(keys[i], 1+i*7%500)
		want += int64(len(values[i]))
	}
	require.Equal(t, kv.StoreResult{OK: true, Bytes: want}, f.store(t, keys, values))
	mixed := slices.Concat(keysOf("another/model", 1), keys, keys[:1])
	bits := f.lookup(t, mixed)
	require.Equal(t, "0"+strings.Repeat("1", n+1), bits.String())
	f.SubmitUnlock(mixed)
	bufs := make([]kv.Buffer, n)
	for i := range bufs {
		bufs[i] = make(kv.Buffer, len(values[i]))
	}
	bits = f.load(t, keys, bufs)
	require.Equal(t, strings.Repeat("1", n), bits.String())
	require.Equal(t, values, bufs)
}

func keysAreCopied(t *testing.T, f *fixture) {
	mine := keys(4)
	id, err := f.SubmitStoreTask(mine, contents(mine, 32))
	require.NoError(t, err)
	clear(mine)
	f.until(t, f.StoreEventFD(), "store", func() bool { _, ok := f.PopCompletedStoreTasks()[id]; return ok })

	mine = keys(4)
	id, err = f.SubmitLookupAndLockTask(mine, nil)
	require.NoError(t, err)
	clear(mine)
	var bits kv.Bitmap
	f.until(t, f.LookupAndLockEventFD(), "lookup", func() (ok bool) { bits, ok = f.QueryLookupAndLockResult(id); return ok })
	require.Equal(t, "1111", bits.String())
	f.SubmitUnlock(keys(4))
}

func emptyBatches(t *testing.T, f *fixture) {
	accepted := func(id kv.TaskID, err error) bool {
		if err != nil {
			require.ErrorIs(t, err, kv.Invalid, "an empty batch is refused as invalid, or completes")
		}
		return err == nil
	}
	if id, err := f.SubmitStoreTask(nil, nil); accepted(id, err) {
		f.until(t, f.StoreEventFD(), "store", func() bool {
			r, ok := f.PopCompletedStoreTasks()[id]
			return ok && r == kv.StoreResult{OK: true}
		})
	}
	if id, err := f.SubmitLookupAndLockTask(nil, nil); accepted(id, err) {
		f.until(t, f.LookupAndLockEventFD(), "lookup", func() bool {
			bits, ok := f.QueryLookupAndLockResult(id)
			return ok && bits.Len() == 0
		})
	}
	if id, err := f.SubmitLoadTask(nil, nil); accepted(id, err) {
		f.until(t, f.LoadEventFD(), "load", func() bool {
			bits, ok := f.QueryLoadResult(id)
			return ok && bits.Len() == 0
		})
	}
	f.SubmitUnlock(nil)
	require.Zero(t, f.delete(t, nil))
}

func badBatches(t *testing.T, f *fixture) {
	two := keys(2)
	_, err := f.SubmitStoreTask(two, empty(1, 8))
	require.ErrorIs(t, err, kv.Invalid, "2 keys, 1 object")
	_, err = f.SubmitLoadTask(two[:1], empty(2, 8))
	require.ErrorIs(t, err, kv.Invalid, "1 key, 2 buffers")
	for _, bad := range []kv.Key{{Model: "a@b"}, {Salt: "a/b"}, {ObjectGroup: -1}, {Salt: strings.Repeat("s", kv.MaxSaltRunes+1)}} {
		illegal := []kv.Key{two[0], bad}
		_, err = f.SubmitStoreTask(illegal, empty(2, 8))
		require.ErrorIs(t, err, kv.Invalid, "store of %+v", bad)
		_, err = f.SubmitLookupAndLockTask(illegal, nil)
		require.ErrorIs(t, err, kv.Invalid, "lookup of %+v", bad)
		_, err = f.SubmitLoadTask(illegal, empty(2, 8))
		require.ErrorIs(t, err, kv.Invalid, "load of %+v", bad)
	}
	bits := f.lookup(t, two)
	require.Equal(t, "00", bits.String(), "a refused batch stores nothing")
}
