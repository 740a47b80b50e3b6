package l2_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
)

var background = context.Background()

type fixture struct {
	*l2.NativeAdapter
	conn *bridgetest.Connector
}

func newFixture(t *testing.T, opts l2.Options, setup ...func(*bridgetest.Connector)) fixture {
	t.Helper()
	conn := bridgetest.NewConnector(t)
	for _, f := range setup {
		f(conn)
	}
	if opts.CloseGrace == 0 {
		opts.CloseGrace = 50 * time.Millisecond
	}
	a, err := l2.New(conn, opts)
	require.NoError(t, err)
	t.Cleanup(func() { _ = a.Close() })
	return fixture{a, conn}
}

func (f fixture) buffers(t *testing.T, n, size int, fill byte) []kv.Buffer {
	return bridgetest.Buffers(t, f.Arena(), n, size, fill)
}

// await polls fd as a host does and clears it.
func await(t *testing.T, fd int) {
	t.Helper()
	for {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, 30_000)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		require.NoError(t, err)
		require.Equal(t, 1, n, "the event fd stayed silent for 30 s")
		break
	}
	var count [8]byte
	_, err := unix.Read(fd, count[:])
	require.NoError(t, err)
}

func (f fixture) store(t *testing.T, keys []kv.Key, bufs []kv.Buffer) kv.StoreResult {
	t.Helper()
	id, err := f.SubmitStoreTask(keys, bufs)
	require.NoError(t, err)
	for {
		await(t, f.StoreEventFD())
		if r, ok := f.PopCompletedStoreTasks()[id]; ok {
			return r
		}
	}
}

func (f fixture) lookup(t *testing.T, keys []kv.Key) string {
	t.Helper()
	id, err := f.SubmitLookupAndLockTask(keys, nil)
	require.NoError(t, err)
	await(t, f.LookupAndLockEventFD())
	bits, ok := f.QueryLookupAndLockResult(id)
	require.True(t, ok, "the result is there when the fd signals")
	return bits.String()
}

func (f fixture) load(t *testing.T, keys []kv.Key, bufs []kv.Buffer) string {
	t.Helper()
	id, err := f.SubmitLoadTask(keys, bufs)
	require.NoError(t, err)
	await(t, f.LoadEventFD())
	bits, ok := f.QueryLoadResult(id)
	require.True(t, ok, "the result is there when the fd signals")
	return bits.String()
}

func TestRow22UsageSnapshotIsDetached(t *testing.T) {
	f := newFixture(t, l2.Options{})
	salted := bridgetest.Key(1)
	salted.Salt = "alice"
	f.store(t, []kv.Key{bridgetest.Key(0), salted}, f.buffers(t, 2, 10, 1))
	held := f.Usage()
	require.Equal(t, map[string]int64{"": 10, "alice": 10}, held.BytesBySalt)
	f.store(t, []kv.Key{bridgetest.Key(2)}, f.buffers(t, 1, 10, 1))
	require.Equal(t, int64(20), held.BytesUsed)
	require.Equal(t, map[string]int64{"": 10, "alice": 10}, held.BytesBySalt)
	require.Equal(t, int64(30), f.Usage().BytesUsed)
}

func TestRow23EventFDsAreDistinct(t *testing.T) {
	a, b := newFixture(t, l2.Options{}), newFixture(t, l2.Options{})
	seen := map[int]bool{}
	for _, fd := range []int{a.StoreEventFD(), a.LookupAndLockEventFD(), a.LoadEventFD(), b.StoreEventFD(), b.LookupAndLockEventFD(), b.LoadEventFD()} {
		require.GreaterOrEqual(t, fd, 0)
		require.False(t, seen[fd])
		seen[fd] = true
	}
	require.Equal(t, a.StoreEventFD(), a.StoreEventFD(), "constant until close")
}

func TestRow25StoreIsPoppedOnce(t *testing.T) {
	f := newFixture(t, l2.Options{})
	id, err := f.SubmitStoreTask(bridgetest.Keys(1), f.buffers(t, 1, 10, 1))
	require.NoError(t, err)
	await(t, f.StoreEventFD())
	require.Equal(t, map[kv.TaskID]kv.StoreResult{id: {OK: true, Bytes: 10}}, f.PopCompletedStoreTasks())
	require.Empty(t, f.PopCompletedStoreTasks())
	require.NotNil(t, f.PopCompletedStoreTasks())
}

func TestRow26And44IdsAreUniqueOverAllKinds(t *testing.T) {
	f := newFixture(t, l2.Options{})
	seen := map[kv.TaskID]bool{}
	for range 5 {
		s, err := f.SubmitStoreTask(bridgetest.Keys(1), f.buffers(t, 1, 10, 1))
		require.NoError(t, err)
		l, err := f.SubmitLookupAndLockTask(bridgetest.Keys(1), nil)
		require.NoError(t, err)
		d, err := f.SubmitLoadTask(bridgetest.Keys(1), f.buffers(t, 1, 10, 1))
		require.NoError(t, err)
		for _, id := range []kv.TaskID{s, l, d} {
			require.False(t, seen[id])
			seen[id] = true
		}
	}
	require.True(t, seen[0], "ids count from 0")
}

func TestRows27To30LookupAndLoad(t *testing.T) {
	f := newFixture(t, l2.Options{})
	keys := bridgetest.Keys(2)
	f.store(t, keys[:1], f.buffers(t, 1, 10, 9))
	id, err := f.SubmitLookupAndLockTask(keys, map[int64]kv.Layout{0: {}})
	require.NoError(t, err)
	await(t, f.LookupAndLockEventFD())
	bits, ok := f.QueryLookupAndLockResult(id)
	require.True(t, ok)
	require.Equal(t, "10", bits.String(), "row 27")
	_, ok = f.QueryLookupAndLockResult(id)
	require.False(t, ok, "row 27: a result is taken once")
	_, ok = f.QueryLookupAndLockResult(999)
	require.False(t, ok, "row 28")
	_, ok = f.QueryLoadResult(id)
	require.False(t, ok, "row 28: a lookup's id is no load's")

	bufs := f.buffers(t, 2, 10, 0)
	require.Equal(t, "10", f.load(t, keys, bufs), "rows 29 and 30")
	require.Equal(t, []byte{9, 9, 9, 9, 9, 9, 9, 9, 9, 9}, bufs[0], "row 29")
}

func TestRows31And32UnlockCountsPins(t *testing.T) {
	f := newFixture(t, l2.Options{})
	k := bridgetest.Key(0)
	f.SubmitUnlock(bridgetest.Keys(3)) // row 31: nothing happens
	f.store(t, []kv.Key{k}, f.buffers(t, 1, 10, 1))
	require.Equal(t, "11", f.lookup(t, []kv.Key{k, k}))
	f.SubmitUnlock([]kv.Key{k})
	r, err := f.Delete(background, []kv.Key{k})
	require.NoError(t, err)
	require.Equal(t, kv.DeleteResult{Pinned: 1}, r, "rows 32 and 71: one pin remains, and a pinned key is not deleted")
	f.SubmitUnlock([]kv.Key{k})
	r, err = f.Delete(background, []kv.Key{k})
	require.NoError(t, err)
	require.Equal(t, kv.DeleteResult{Deleted: 1}, r)
}

func TestRow34DeleteOfNothing(t *testing.T) {
	f := newFixture(t, l2.Options{})
	r, err := f.Delete(background, nil)
	require.NoError(t, err)
	require.Zero(t, r)
	require.Zero(t, f.conn.Submits())
}

func TestRows35And47RefusedSubmits(t *testing.T) {
	f := newFixture(t, l2.Options{})
	_, err := f.SubmitStoreTask(bridgetest.Keys(2), f.buffers(t, 1, 10, 1))
	require.ErrorIs(t, err, kv.Invalid, "row 35")
	require.NoError(t, f.Close())
	_, err = f.SubmitLookupAndLockTask(bridgetest.Keys(1), nil)
	require.ErrorIs(t, err, kv.Closed, "row 47")
}

func TestRow43SpuriousWakeUps(t *testing.T) {
	f := newFixture(t, l2.Options{})
	for range 100 {
		f.conn.Signal()
	}
	require.Equal(t, "0", f.lookup(t, bridgetest.Keys(1)))
	require.Equal(t, true, f.Status()["is_healthy"])
}

func TestRow54FailedLookupHitsNothingAndPinsNothing(t *testing.T) {
	f := newFixture(t, l2.Options{}, func(c *bridgetest.Connector) {
		c.OnComplete = func(b *kv.Batch, rec *kv.Completion) {
			if b.Op == kv.OpExists {
				rec.RC = kv.IO
			}
		}
	})
	f.store(t, bridgetest.Keys(2), f.buffers(t, 2, 10, 1))
	require.Equal(t, "00", f.lookup(t, bridgetest.Keys(2)))
	require.Zero(t, f.Stats().Pins)
}

func TestRow55FailedLoadKeepsWhatWasLoaded(t *testing.T) {
	f := newFixture(t, l2.Options{}, func(c *bridgetest.Connector) {
		c.OnComplete = func(b *kv.Batch, rec *kv.Completion) {
			if b.Op == kv.OpGet {
				rec.RC = kv.IO
				b.Status[1] = kv.StatusError
			}
		}
	})
	l := &journal{}
	f.RegisterListener(l)
	f.store(t, bridgetest.Keys(2), f.buffers(t, 2, 10, 1))
	require.Equal(t, "10", f.load(t, bridgetest.Keys(2), f.buffers(t, 2, 10, 0)))
	l.waitFor(t, "accessed", [][]kv.Key{bridgetest.Keys(1)})
}

// Rows 53, 56 and 57 are about completions without a list of results. In the C
// ABI every key has a status byte; one that was left unset is a miss.
func TestRows53And57UnsetStatusIsAMiss(t *testing.T) {
	f := newFixture(t, l2.Options{}, func(c *bridgetest.Connector) {
		c.OnComplete = func(b *kv.Batch, rec *kv.Completion) {
			if b.Op != kv.OpSet {
				for i := 1; i < b.Len(); i++ {
					b.Status[i] = kv.StatusUnset
				}
			}
		}
	})
	keys := bridgetest.Keys(3)
	f.store(t, keys, f.buffers(t, 3, 10, 1))
	require.Equal(t, "100", f.lookup(t, keys))
	require.Equal(t, "100", f.load(t, keys, f.buffers(t, 3, 10, 0)))
	require.Equal(t, int64(4), f.Stats().Misbehaviour.BadStatus)
}

func TestRows58To60StoreAccounting(t *testing.T) {
	f := newFixture(t, l2.Options{})
	l := &journal{}
	f.RegisterListener(l)
	keys := bridgetest.Keys(2)
	bufs := []kv.Buffer{f.buffers(t, 1, 10, 1)[0], f.buffers(t, 1, 20, 1)[0]}
	require.Equal(t, kv.StoreResult{OK: true, Bytes: 30}, f.store(t, keys, bufs), "row 58")
	require.Equal(t, int64(30), f.Usage().BytesUsed, "row 58: accounted before the result is there")
	require.Equal(t, kv.StoreResult{OK: true}, f.store(t, keys, bufs), "row 59")
	require.Equal(t, int64(30), f.Usage().BytesUsed, "row 59")
	l.waitForSizes(t, [][]int64{{10, 20}, {0, 0}})

	require.Equal(t, kv.StoreResult{OK: true, Bytes: 5}, f.store(t, keys[:1], f.buffers(t, 1, 15, 1)), "a new size counts as its difference")
	require.Equal(t, int64(35), f.Usage().BytesUsed)
	require.Equal(t, kv.StoreResult{OK: true}, f.store(t, keys[:1], f.buffers(t, 1, 12, 1)))
	require.Equal(t, int64(32), f.Usage().BytesUsed)
	l.waitForSizes(t, [][]int64{{10, 20}, {0, 0}, {5}, {-3}})
	f.store(t, keys[:1], f.buffers(t, 1, 15, 1))

	f.conn.OnComplete = func(b *kv.Batch, rec *kv.Completion) {
		rec.RC = kv.IO
		for i := range b.Status {
			b.Status[i] = kv.StatusRefused
		}
	}
	r := f.store(t, []kv.Key{bridgetest.Key(7)}, f.buffers(t, 1, 10, 1))
	require.Equal(t, int64(-1), r.Encoded(), "row 60")
	require.Equal(t, int64(35), f.Usage().BytesUsed, "row 60")
}

func TestRow61UnknownTicketsAreHarmless(t *testing.T) {
	f := newFixture(t, l2.Options{})
	f.conn.Publish(kv.Completion{Ticket: 1 << 50})
	require.Equal(t, "0", f.lookup(t, bridgetest.Keys(1)))
	require.Equal(t, true, f.Status()["is_healthy"])
	require.Equal(t, int64(1), f.Stats().Misbehaviour.UnknownTickets)
}

func TestRow65DeleteThenStoreKeepsTheOrder(t *testing.T) {
	f := newFixture(t, l2.Options{})
	l := &journal{}
	f.RegisterListener(l)
	k := bridgetest.Keys(1)
	f.store(t, k, f.buffers(t, 1, 10, 1))
	f.conn.SetHold(true)
	deleted := make(chan error)
	go func() { _, err := f.Delete(background, k); deleted <- err }()
	require.Eventually(t, func() bool { return f.conn.Held() == 1 }, 30*time.Second, time.Millisecond)
	_, err := f.SubmitStoreTask(k, f.buffers(t, 1, 10, 2))
	require.NoError(t, err)
	f.conn.Release(2) // both complete before the next drain
	require.NoError(t, <-deleted)
	await(t, f.StoreEventFD())
	l.waitForKinds(t, "stored", "deleted", "stored")
	require.Equal(t, int64(10), f.Usage().BytesUsed)
}

func TestRows66To68Delete(t *testing.T) {
	f := newFixture(t, l2.Options{})
	l := &journal{}
	f.RegisterListener(l)
	keys := bridgetest.Keys(2)
	f.store(t, keys, f.buffers(t, 2, 400, 1))
	r, err := f.Delete(background, keys[:1])
	require.NoError(t, err)
	require.Equal(t, kv.DeleteResult{Deleted: 1}, r)
	require.Equal(t, int64(400), f.Usage().BytesUsed, "row 66: accounted when the call returns")
	require.Equal(t, "01", f.lookup(t, keys), "row 66")
	f.SubmitUnlock(keys[1:])

	f.conn.Forget(keys[1]) // behind our back
	r, err = f.Delete(background, keys[1:])
	require.NoError(t, err)
	require.Equal(t, kv.DeleteResult{Absent: 1}, r, "row 68")
	require.Zero(t, f.Usage().BytesUsed, "row 68: what is not there is not accounted")
	l.waitForKinds(t, "stored", "deleted", "deleted")

	r, err = f.Delete(background, []kv.Key{bridgetest.Key(9)})
	require.NoError(t, err)
	require.Equal(t, kv.DeleteResult{Absent: 1}, r, "row 67: no accounting change")
	require.Zero(t, f.Usage().BytesUsed)
}

func TestRow69LateDeleteSettlesTheAccounts(t *testing.T) {
	f := newFixture(t, l2.Options{Deadlines: l2.Deadlines{Delete: 30 * time.Millisecond}})
	k := bridgetest.Keys(1)
	f.store(t, k, f.buffers(t, 1, 10, 1))
	f.conn.SetHold(true)
	r, err := f.Delete(background, k)
	require.ErrorIs(t, err, kv.Timeout)
	require.Equal(t, kv.DeleteResult{Failed: 1}, r)
	require.Equal(t, int64(10), f.Usage().BytesUsed)
	f.conn.Release(1)
	require.Eventually(t, func() bool { return f.Usage().BytesUsed == 0 }, 30*time.Second, time.Millisecond)
}

func TestRow70ConnectorWithoutDelete(t *testing.T) {
	f := newFixture(t, l2.Options{}, func(c *bridgetest.Connector) { c.NoDelete = true })
	f.store(t, bridgetest.Keys(1), f.buffers(t, 1, 10, 1))
	r, err := f.Delete(background, bridgetest.Keys(1))
	require.NoError(t, err)
	require.Zero(t, r)
	require.Equal(t, "1", f.lookup(t, bridgetest.Keys(1)))
}

func TestRows72To74Status(t *testing.T) {
	f := newFixture(t, l2.Options{MaxCapacityBytes: 2_684_354_560})
	require.Equal(t, int64(2_684_354_560), f.Usage().BytesCapacity, "row 72")
	require.True(t, f.SupportsGlobalEviction())
	require.Equal(t, true, f.Status()["is_healthy"], "row 73")
	require.Equal(t, "test", f.Status()["type"], "row 73")
	require.NoError(t, f.Close())
	require.Equal(t, false, f.Status()["is_healthy"], "row 74")
	require.Equal(t, -1, f.StoreEventFD())
	require.Zero(t, f.Usage().BytesUsed, "usage still answers")
}

func TestRow75CloseAnswersPendingTasks(t *testing.T) {
	f := newFixture(t, l2.Options{}, func(c *bridgetest.Connector) { c.Hold = true })
	s, err := f.SubmitStoreTask(bridgetest.Keys(1), f.buffers(t, 1, 10, 1))
	require.NoError(t, err)
	l, err := f.SubmitLookupAndLockTask(bridgetest.Keys(2), nil)
	require.NoError(t, err)
	d, err := f.SubmitLoadTask(bridgetest.Keys(1), f.buffers(t, 1, 10, 1))
	require.NoError(t, err)
	deleted := make(chan error)
	go func() { _, err := f.Delete(background, bridgetest.Keys(1)); deleted <- err }()
	require.Eventually(t, func() bool { return f.conn.Held() == 4 }, 30*time.Second, time.Millisecond)
	require.NoError(t, f.Close())
	require.ErrorIs(t, <-deleted, kv.Closed, "a blocked delete returns")
	require.Equal(t, map[kv.TaskID]kv.StoreResult{s: {}}, f.PopCompletedStoreTasks())
	bits, ok := f.QueryLookupAndLockResult(l)
	require.True(t, ok)
	require.Equal(t, "00", bits.String())
	bits, ok = f.QueryLoadResult(d)
	require.True(t, ok)
	require.Equal(t, "0", bits.String())
}

func TestIdentity(t *testing.T) {
	f := newFixture(t, l2.Options{Name: "x"})
	require.ErrorIs(t, f.SetBackendIdentity("", true), kv.Invalid)
	require.NoError(t, f.SetBackendIdentity("native_plugin", true))
	name, shared := f.BackendIdentity()
	require.Equal(t, "native_plugin", name)
	require.True(t, shared)
}

func TestFailedNewClosesTheConnector(t *testing.T) {
	conn := bridgetest.NewConnector(t) // checks that it is closed once
	_, err := l2.New(conn, l2.Options{MaxInFlight: -1})
	require.ErrorIs(t, err, kv.Invalid)
}

// journal is a listener that writes down what it hears.
type journal struct {
	mu       sync.Mutex
	kinds    []string
	accessed [][]kv.Key
	sizes    [][]int64
}

func (j *journal) KeysStored(_ []kv.Key, sizes []int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.kinds, j.sizes = append(j.kinds, "stored"), append(j.sizes, sizes)
}

func (j *journal) KeysAccessed(keys []kv.Key) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.kinds, j.accessed = append(j.kinds, "accessed"), append(j.accessed, keys)
}

func (j *journal) KeysDeleted([]kv.Key) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.kinds = append(j.kinds, "deleted")
}

// waitUntil polls the journal under its mutex.
func (j *journal) waitUntil(t *testing.T, what string, cond func() bool) {
	t.Helper()
	require.Eventually(t, func() bool {
		j.mu.Lock()
		defer j.mu.Unlock()
		return cond()
	}, 30*time.Second, time.Millisecond, what)
}

func (j *journal) waitForKinds(t *testing.T, want ...string) {
	t.Helper()
	j.waitUntil(t, "events", func() bool { return len(j.kinds) >= len(want) })
	j.mu.Lock()
	defer j.mu.Unlock()
	require.Equal(t, want, j.kinds)
}

func (j *journal) waitFor(t *testing.T, what string, want [][]kv.Key) {
	t.Helper()
	j.waitUntil(t, what, func() bool { return len(j.accessed) >= len(want) })
	j.mu.Lock()
	defer j.mu.Unlock()
	require.Equal(t, want, j.accessed)
}

func (j *journal) waitForSizes(t *testing.T, want [][]int64) {
	t.Helper()
	j.waitUntil(t, "stored events", func() bool { return len(j.sizes) >= len(want) })
	j.mu.Lock()
	defer j.mu.Unlock()
	require.Equal(t, want, j.sizes)
}
