package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// waitFD waits until an event fd is signalled, and clears it. It returns
// ErrTimeout at the deadline and the context's error when that ends.
func waitFD(ctx context.Context, fd int, deadline time.Time) error {
	const slice = 100 * time.Millisecond // after which ctx is looked at
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		left := time.Until(deadline)
		if left <= 0 {
			return ErrTimeout
		}
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int(min(left, slice)/time.Millisecond)+1)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("poll event fd %d: %w", fd, err)
		case n == 0:
			continue
		case fds[0].Revents&unix.POLLIN == 0:
			return fmt.Errorf("event fd %d is closed", fd)
		}
		var count [8]byte
		if _, err := unix.Read(fd, count[:]); err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("read event fd %d: %w", fd, err)
		}
		return nil
	}
}
