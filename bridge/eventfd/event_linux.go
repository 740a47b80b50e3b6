package eventfd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// Event is a pollable, coalescing signal: readable after any number of Signal
// calls, silent after one Clear. Safe for concurrent use.
type Event struct {
	// mu keeps a Signal from writing into a number that Close gave back to the
	// system. Guards fd.
	mu sync.RWMutex
	fd int
}

// New returns a silent event on an eventfd: non-blocking, close-on-exec.
func New() (*Event, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	return &Event{fd: fd}, nil
}

// FD returns the descriptor, or -1 after Close. It stays the caller's to poll
// and to clear with an 8-byte read, and the Event's to close.
func (e *Event) FD() int {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.fd
}

// Signal makes the descriptor readable. It does nothing after Close.
func (e *Event) Signal() {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.fd < 0 {
		return
	}
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	// EAGAIN means that the counter is at its maximum, thus readable.
	for {
		if _, err := unix.Write(e.fd, one[:]); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// Clear makes the descriptor silent and reports whether it was signalled.
func (e *Event) Clear() bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.fd < 0 {
		return false
	}
	var count [8]byte
	for {
		n, err := unix.Read(e.fd, count[:])
		if !errors.Is(err, unix.EINTR) {
			return n == 8
		}
	}
}

// Close gives the descriptor back. Further calls do nothing.
func (e *Event) Close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.fd >= 0 {
		_ = unix.Close(e.fd)
		e.fd = -1
	}
}
