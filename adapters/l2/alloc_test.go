package l2_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
)

// TestTheEventFaceDoesNotAllocate runs tasks as a host does, several at a time: submit,
// poll the event fd, take the results, unlock.
func TestTheEventFaceDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool drop what it holds; the run without it counts")
	}
	a, err := l2.New(bridgetest.NewNull(t), l2.Options{})
	require.NoError(t, err)
	defer a.Close()
	const depth, batch = 8, 256
	keys := bridgetest.Keys(depth * batch)
	bufs := bridgetest.Buffers(t, a.Arena(), batch, 64, 0)
	ids := make([]kv.TaskID, depth)
	for _, kind := range []struct {
		name   string
		fd     int
		submit func(keys []kv.Key) (kv.TaskID, error)
		query  func(kv.TaskID) (kv.Bitmap, bool)
	}{
		{"lookup", a.LookupAndLockEventFD(), func(keys []kv.Key) (kv.TaskID, error) { return a.SubmitLookupAndLockTask(keys, nil) }, a.QueryLookupAndLockResult},
		{"load", a.LoadEventFD(), func(keys []kv.Key) (kv.TaskID, error) { return a.SubmitLoadTask(keys, bufs) }, a.QueryLoadResult},
	} {
		poll := []unix.PollFd{{Fd: int32(kind.fd), Events: unix.POLLIN}}
		var count [8]byte
		run := func() {
			for i := range ids {
				id, err := kind.submit(keys[i*batch : (i+1)*batch])
				if err != nil {
					t.Error(err)
				}
				ids[i] = id
			}
			for i := 0; i < depth; {
				bits, ok := kind.query(ids[i])
				if !ok {
					if n, err := unix.Poll(poll, 10_000); n != 1 && err != unix.EINTR {
						t.Fatalf("no signal in 10 s: %v", err)
					}
					_, _ = unix.Read(kind.fd, count[:])
					continue
				}
				if bits.Count() != batch {
					t.Errorf("%d of %d keys", bits.Count(), batch)
				}
				if kind.name == "lookup" {
					a.SubmitUnlock(keys[i*batch : (i+1)*batch])
				}
				i++
			}
		}
		for range 100 {
			run()
		}
		// The pools may be emptied by a collection in between: less than one in all.
		require.Less(t, testing.AllocsPerRun(300, run), 1.0, kind.name)
	}
	require.Zero(t, a.Stats().Pins)
}
