//go:build linux && (amd64 || arm64)

package native

import (
	"golang.org/x/sys/unix"

	"github.com/sixcall/sixcall/bridge/kv"
)

// checkEventFD takes the event fd and holds it to its contract. What can be
// put right is put right and noted.
func (c *Connector) checkEventFD() error {
	var fd, again int32
	c.locked(func() {
		fd = call32(c.lib.api.EventFD, c.conn, 0, 0, 0)
		again = call32(c.lib.api.EventFD, c.conn, 0, 0, 0)
	})
	switch {
	case fd < 0:
		return c.fail("open", kv.Internal, "event_fd of %q returned %d, want a descriptor", c.lib.path, fd)
	case again != fd:
		return c.fail("open", kv.Internal, "event_fd of %q returned %d and then %d, want a constant", c.lib.path, fd, again)
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	if err != nil {
		return c.fail("open", kv.Internal, "event_fd of %q returned %d, which is not an open descriptor", c.lib.path, fd)
	}
	if err := pollable(int(fd)); err != nil {
		return c.fail("open", kv.Internal, "event_fd of %q returned %d, which cannot be polled: %w", c.lib.path, fd, err)
	}
	if flags&unix.FD_CLOEXEC == 0 {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_SETFD, flags|unix.FD_CLOEXEC)
		c.report.warn("its event fd was not close-on-exec, which was set (%v)", orDone(err))
	}
	flags, err = unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err == nil && flags&unix.O_NONBLOCK == 0 {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_SETFL, flags|unix.O_NONBLOCK)
		c.report.warn("its event fd was blocking, which was changed (%v)", orDone(err))
	}
	c.report.conclude()
	c.fd = int(fd)
	return nil
}

func orDone(err error) string {
	if err != nil {
		return err.Error()
	}
	return "done"
}

// pollable tries fd with epoll, as the host's poller will.
func pollable(fd int) error {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(ep)
	return unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN})
}
