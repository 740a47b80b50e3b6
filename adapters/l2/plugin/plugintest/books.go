package plugintest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge/kv"
)

func pins(t *testing.T, f *fixture) {
	key := keys(1)
	f.SubmitUnlock(keys(3)) // unknown keys are ignored
	f.fill(t, key, 64)
	bits := f.lookup(t, []kv.Key{key[0], key[0]})
	require.Equal(t, "11", bits.String())
	require.Equal(t, kv.DeleteResult{Pinned: 1}, f.delete(t, key), "a pinned key is not deleted")
	f.SubmitUnlock(key)
	require.Equal(t, kv.DeleteResult{Pinned: 1}, f.delete(t, key), "one pin per position remains")
	bits = f.load(t, key, empty(1, 64))
	require.Equal(t, "1", bits.String(), "a pinned key stays")
	f.SubmitUnlock(key)
	f.SubmitUnlock(key) // one too many
	f.eventually(t, "delete of an unlocked key", func() bool { return f.delete(t, key) == kv.DeleteResult{Deleted: 1} })

	f.fill(t, key, 64)
	bits = f.lookup(t, key)
	require.Equal(t, "1", bits.String())
	require.Equal(t, kv.DeleteResult{Pinned: 1}, f.delete(t, key), "an unlock too many does not take a later pin")
	f.SubmitUnlock(key)
}

func usage(t *testing.T, f *fixture) {
	require.Zero(t, f.Usage().BytesUsed, "a new adapter holds nothing")
	salted := keys(2)
	salted[1].Salt = "alice"
	values := f.fill(t, salted, 10)
	held := f.Usage()
	require.Equal(t, int64(20), held.BytesUsed, "accounted before the result is there")
	require.Equal(t, map[string]int64{"": 10, "alice": 10}, held.BytesBySalt)
	require.Equal(t, kv.StoreResult{OK: true}, f.store(t, salted, values), "a second store of the same adds nothing")
	require.Equal(t, int64(20), f.Usage().BytesUsed)

	f.fill(t, keys(3)[2:], 10)
	require.Equal(t, int64(30), f.Usage().BytesUsed)
	require.Equal(t, int64(20), held.BytesUsed, "a snapshot does not change")
	require.Equal(t, map[string]int64{"": 10, "alice": 10}, held.BytesBySalt)
	require.Equal(t, f.Usage().BytesCapacity > 0, f.SupportsGlobalEviction())
}

// journal is a listener that writes down what it hears, then panics.
type journal struct {
	mu     sync.Mutex
	events []event
}

// event is what a listener hears of one key. How many keys come in one call is
// the adapter's choice.
type event struct {
	kind string
	key  kv.Key
	size int64
}

func (j *journal) add(kind string, keys []kv.Key, sizes []int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i, key := range keys {
		e := event{kind: kind, key: key}
		if sizes != nil {
			e.size = sizes[i]
		}
		j.events = append(j.events, e)
	}
	panic("a listener of plugintest panics on purpose")
}

func (j *journal) KeysStored(keys []kv.Key, sizes []int64) { j.add("stored", keys, sizes) }
func (j *journal) KeysAccessed(keys []kv.Key)              { j.add("accessed", keys, nil) }
func (j *journal) KeysDeleted(keys []kv.Key)               { j.add("deleted", keys, nil) }

// heard waits for n events and returns them.
func (f *fixture) heard(t *testing.T, j *journal, n int) (events []event) {
	t.Helper()
	f.eventually(t, "listeners hear of every operation", func() bool {
		j.mu.Lock()
		defer j.mu.Unlock()
		events = slices.Clone(j.events)
		return len(events) >= n
	})
	return events
}

func listeners(t *testing.T, f *fixture) {
	first, second := &journal{}, &journal{}
	f.RegisterListener(first)
	f.RegisterListener(second)
	keys := keys(2)
	f.fill(t, keys, 10)
	f.load(t, keys, empty(2, 10))
	want := []event{{"stored", keys[0], 10}, {"stored", keys[1], 10}, {"accessed", keys[0], 0}, {"accessed", keys[1], 0}}
	require.Equal(t, want, f.heard(t, first, 4))
	require.Equal(t, want, f.heard(t, second, 4))
	f.delete(t, keys[:1])
	want = append(want, event{"deleted", keys[0], 0})
	require.Equal(t, want, f.heard(t, first, 5))
	require.Equal(t, want, f.heard(t, second, 5))
}

func deletes(t *testing.T, f *fixture) {
	keys := keys(3)
	f.fill(t, keys[:2], 400)
	require.Equal(t, kv.DeleteResult{Deleted: 1, Absent: 1}, f.delete(t, []kv.Key{keys[0], keys[2]}))
	require.Equal(t, int64(400), f.Usage().BytesUsed, "accounted when the call returns")
	bits := f.lookup(t, keys)
	require.Equal(t, "010", bits.String())
	f.SubmitUnlock(keys)
	bits = f.load(t, keys[:1], empty(1, 400))
	require.Equal(t, "0", bits.String())
	require.Equal(t, kv.DeleteResult{Absent: 1}, f.delete(t, keys[:1]), "again")
	require.Equal(t, int64(400), f.Usage().BytesUsed)
	f.fill(t, keys[:1], 300)
	require.Equal(t, int64(700), f.Usage().BytesUsed, "a deleted key can be stored with another size")
}

func listing(t *testing.T, f *fixture) {
	ctx, cancel := context.WithTimeout(context.Background(), f.timeout)
	defer cancel()
	want := keys(5)
	f.fill(t, want, 10)
	f.fill(t, keysOf("another/model", 2), 10)
	if _, err := f.ListKeys(ctx, "", 1, ""); errors.Is(err, kv.Unsupported) {
		t.Skip("the adapter cannot list")
	}
	_, err := f.ListKeys(ctx, "", 0, "")
	require.ErrorIs(t, err, kv.Invalid, "a page size of 0")
	_, err = f.ListKeys(ctx, "", 1, "no token of this adapter")
	require.ErrorIs(t, err, kv.Invalid, "a bad page token")
	listed := map[kv.Key]bool{}
	for token := ""; ; {
		page, err := f.ListKeys(ctx, want[0].Model, 2, token)
		require.NoError(t, err)
		require.LessOrEqual(t, len(page.Entries), 2)
		for _, entry := range page.Entries {
			require.Contains(t, []int64{10, -1}, entry.SizeBytes)
			listed[entry.Key] = true
		}
		if token = page.NextPageToken; token == "" {
			break
		}
	}
	require.Len(t, listed, len(want))
	for _, key := range want {
		require.True(t, listed[key], "%s is not listed", key)
	}
}

func status(t *testing.T, f *fixture) {
	require.ErrorIs(t, f.SetBackendIdentity("", false), kv.Invalid)
	require.NoError(t, f.SetBackendIdentity("plugin", true))
	require.Equal(t, true, f.Status()["is_healthy"])
	require.NotEmpty(t, f.Status()["type"])
}
