//go:build linux

package eventfd_test

import (
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/sixcall/sixcall/bridge/eventfd"
)

func readable(t *testing.T, fd int) bool {
	t.Helper()
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	require.NoError(t, err)
	return n == 1
}

func newEvent(t *testing.T) *eventfd.Event {
	t.Helper()
	e, err := eventfd.New()
	require.NoError(t, err)
	t.Cleanup(e.Close)
	return e
}

func TestRow24TwoSignalsAreOneClear(t *testing.T) {
	e := newEvent(t)
	require.False(t, readable(t, e.FD()))
	require.False(t, e.Clear())
	e.Signal()
	e.Signal()
	require.True(t, readable(t, e.FD()))
	require.True(t, e.Clear())
	require.False(t, readable(t, e.FD()))
	flags, err := unix.FcntlInt(uintptr(e.FD()), unix.F_GETFL, 0)
	require.NoError(t, err)
	require.NotZero(t, flags&unix.O_NONBLOCK)
	e.Close()
	e.Close()
	e.Signal()
	require.Equal(t, -1, e.FD())
}

func TestPollerSeesEverySignal(t *testing.T) {
	e := newEvent(t)
	p, err := eventfd.NewPoller(e.FD())
	require.NoError(t, err)
	var seen atomic.Int64
	ended := make(chan error)
	go func() {
		ended <- p.Run(func() bool {
			if e.Clear() {
				seen.Add(1)
			}
			return false
		})
	}()
	for i := range int64(100) {
		e.Signal()
		require.Eventually(t, func() bool { return seen.Load() == i+1 }, 10*time.Second, 10*time.Microsecond)
	}
	p.Close()
	require.NoError(t, <-ended, "Close ends Run")
}

func TestPollerRefusesWhatCannotBePolled(t *testing.T) {
	file, err := os.CreateTemp(t.TempDir(), "")
	require.NoError(t, err)
	defer file.Close()
	_, err = eventfd.NewPoller(int(file.Fd()))
	require.ErrorContains(t, err, "cannot be polled")
	_, err = eventfd.NewPoller(-1)
	require.Error(t, err)
}
