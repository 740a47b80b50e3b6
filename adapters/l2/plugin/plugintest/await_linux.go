package plugintest

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// await waits until fd is readable and clears it, as a host does. It reports
// whether that was so within timeout.
func await(t testing.TB, fd int, timeout time.Duration) bool {
	t.Helper()
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for deadline := time.Now().Add(timeout); ; {
		n, err := unix.Poll(fds, int(max(time.Until(deadline), 0)/time.Millisecond))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		require.NoError(t, err, "poll of event fd %d", fd)
		if n == 0 {
			return false
		}
		break
	}
	require.NotZero(t, fds[0].Revents&unix.POLLIN, "event fd %d is not readable but %#x; a closed one?", fd, fds[0].Revents)
	var count [8]byte
	_, err := unix.Read(fd, count[:])
	require.NoError(t, err, "an 8-byte read of event fd %d", fd)
	return true
}
