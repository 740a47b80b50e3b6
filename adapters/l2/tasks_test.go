package l2_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/bridge"
	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
)

func readable(t *testing.T, fd int) bool {
	t.Helper()
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	require.NoError(t, err)
	return n == 1
}

func newTasks(t *testing.T, limit int) *l2.Tasks {
	t.Helper()
	tasks, err := l2.NewTasks(limit)
	require.NoError(t, err)
	t.Cleanup(tasks.Close)
	return tasks
}

func TestNotifiers(t *testing.T) {
	n, err := l2.NewNotifiers()
	require.NoError(t, err)
	fds := func() []int { return []int{n.StoreEventFD(), n.LookupAndLockEventFD(), n.LoadEventFD()} }
	for i, kind := range []bridge.Kind{bridge.Store, bridge.Lookup, bridge.Load} {
		n.Signal(kind)
		n.Signal(kind)
		for j, fd := range fds() {
			require.Equal(t, i == j, readable(t, fd), "row 23: %v signals its own fd only", kind)
		}
		await(t, fds()[i])
		require.False(t, readable(t, fds()[i]), "row 24: two signals are one read")
	}
	n.Signal(bridge.Delete) // has no fd
	n.Close()
	n.Close()
	n.Signal(bridge.Store)
	require.Equal(t, []int{-1, -1, -1}, fds())
}

func TestTasksEndOnce(t *testing.T) {
	tasks := newTasks(t, 0)
	store, err := tasks.Start(bridge.Store, bridgetest.Keys(1), make([]kv.Buffer, 1))
	require.NoError(t, err)
	look, err := tasks.Start(bridge.Lookup, bridgetest.Keys(2), nil)
	require.NoError(t, err)
	load, err := tasks.Start(bridge.Load, bridgetest.Keys(2), make([]kv.Buffer, 2))
	require.NoError(t, err)
	require.Equal(t, []kv.TaskID{0, 1, 2}, []kv.TaskID{store, look, load}, "row 26")
	require.Equal(t, 3, tasks.Running())

	tasks.EndStore(look, kv.StoreResult{OK: true})
	tasks.EndLoad(look, kv.NewBitmapPrefix(2, 2))
	require.Equal(t, 3, tasks.Running(), "an end of another kind is none")

	tasks.EndLookup(look, kv.NewBitmapPrefix(2, 1))
	tasks.EndLookup(look, kv.NewBitmap(2))
	require.True(t, readable(t, tasks.Notifiers().LookupAndLockEventFD()))
	bits, ok := tasks.QueryLookupAndLockResult(look)
	require.True(t, ok)
	require.Equal(t, "10", bits.String(), "the first end counts")
	_, ok = tasks.QueryLookupAndLockResult(look)
	require.False(t, ok, "row 27")

	tasks.EndStore(store, kv.StoreResult{OK: true, Bytes: 5})
	require.Equal(t, map[kv.TaskID]kv.StoreResult{store: {OK: true, Bytes: 5}}, tasks.PopCompletedStoreTasks())
	require.NotNil(t, tasks.PopCompletedStoreTasks())
	require.Empty(t, tasks.PopCompletedStoreTasks(), "row 25")
	_, ok = tasks.QueryLoadResult(load)
	require.False(t, ok, "it still runs")
}

func TestTasksRefuse(t *testing.T) {
	tasks := newTasks(t, 1)
	_, err := tasks.Start(bridge.Load, bridgetest.Keys(2), make([]kv.Buffer, 1))
	require.ErrorIs(t, err, kv.Invalid, "row 35")
	_, err = tasks.Start(bridge.Lookup, []kv.Key{{Model: "a@b"}}, nil)
	require.ErrorIs(t, err, kv.Invalid, "row 5")
	require.ErrorContains(t, err, "key 0")
	id, err := tasks.Start(bridge.Lookup, nil, nil)
	require.NoError(t, err)
	_, err = tasks.Start(bridge.Lookup, nil, nil)
	require.ErrorIs(t, err, kv.Busy)
	tasks.EndLookup(id, kv.NewBitmap(0))
	_, err = tasks.Start(bridge.Lookup, nil, nil)
	require.NoError(t, err)
}

func TestClosedTasksAreAnswered(t *testing.T) {
	tasks := newTasks(t, 0)
	store, err := tasks.Start(bridge.Store, bridgetest.Keys(1), make([]kv.Buffer, 1))
	require.NoError(t, err)
	look, err := tasks.Start(bridge.Lookup, bridgetest.Keys(2), nil)
	require.NoError(t, err)
	load, err := tasks.Start(bridge.Load, bridgetest.Keys(3), make([]kv.Buffer, 3))
	require.NoError(t, err)
	require.False(t, tasks.Closed())
	tasks.Close()
	tasks.Close()
	require.True(t, tasks.Closed())
	tasks.EndStore(store, kv.StoreResult{OK: true}) // too late

	require.Equal(t, map[kv.TaskID]kv.StoreResult{store: {}}, tasks.PopCompletedStoreTasks(), "row 75")
	bits, ok := tasks.QueryLookupAndLockResult(look)
	require.True(t, ok, "row 75")
	require.Equal(t, "00", bits.String())
	bits, ok = tasks.QueryLoadResult(load)
	require.True(t, ok, "row 75")
	require.Equal(t, "000", bits.String())
	_, err = tasks.Start(bridge.Lookup, nil, nil)
	require.ErrorIs(t, err, kv.Closed, "row 47")
}
