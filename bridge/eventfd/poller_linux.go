package eventfd

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// Poller waits, on Go's network poller, for a descriptor that belongs to
// somebody else. It works on a duplicate and never reads it. Run belongs to one
// goroutine; Close may be called from any.
//
// Parking on the network poller was measured against a thread blocked in
// poll(2): the thread loses its P and needs up to 100 µs to get one back.
type Poller struct {
	file *os.File
	raw  syscall.RawConn

	closed atomic.Bool
}

// MonotonicNS reads CLOCK_MONOTONIC, the clock of connectors, in nanoseconds.
func MonotonicNS() uint64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // cannot fail for this clock
	return uint64(ts.Nano())
}

// NewPoller returns a poller for fd, which must be pollable (an eventfd, pipe
// or socket). A blocking fd is made non-blocking.
func NewPoller(fd int) (*Poller, error) {
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("event fd %d: %w", fd, err)
	}
	if err := pollable(dup); err != nil {
		_ = unix.Close(dup)
		return nil, fmt.Errorf("event fd %d: %w", fd, err)
	}
	if err := unix.SetNonblock(dup, true); err != nil {
		_ = unix.Close(dup)
		return nil, fmt.Errorf("event fd %d: %w", fd, err)
	}
	file := os.NewFile(uintptr(dup), "event fd")
	raw, err := file.SyscallConn()
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("event fd %d: %w", fd, err)
	}
	return &Poller{file: file, raw: raw}, nil
}

// pollable asks epoll, which refuses regular files and directories: os.NewFile
// would silently fall back to blocking reads for those.
func pollable(fd int) error {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(ep)
	err = unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN})
	if errors.Is(err, unix.EPERM) {
		return errors.New("cannot be polled; want an eventfd, a pipe or a socket")
	}
	return err
}

// Run calls ready at once and then each time the descriptor became readable,
// until ready returns true or Close is called. The network poller reports
// edges, so ready has to take all there is.
func (p *Poller) Run(ready func() (stop bool)) error {
	err := p.raw.Read(func(uintptr) bool { return ready() })
	if p.closed.Load() { // the error of a file closed under a read is internal to package os
		return nil
	}
	return err
}

// Close ends Run and releases the duplicate.
func (p *Poller) Close() {
	p.closed.Store(true)
	_ = p.file.Close()
}

// Yield lets another thread of this CPU run first.
func Yield() { _, _, _ = unix.Syscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }
