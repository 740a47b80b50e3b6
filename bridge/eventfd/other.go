//go:build !linux

package eventfd

import "errors"

var errOther = errors.New("event fds are not supported on this system; Sixcall runs on Linux")

// Event is not supported on this system.
type Event struct{}

// New reports that this system is not supported.
func New() (*Event, error) { return nil, errOther }

// FD returns -1.
func (*Event) FD() int { return -1 }

// Signal does nothing.
func (*Event) Signal() {}

// Clear returns false.
func (*Event) Clear() bool { return false }

// Close does nothing.
func (*Event) Close() {}

// Poller is not supported on this system.
type Poller struct{}

// MonotonicNS returns 0.
func MonotonicNS() uint64 { return 0 }

// NewPoller reports that this system is not supported.
func NewPoller(int) (*Poller, error) { return nil, errOther }

// Run returns an error.
func (*Poller) Run(func() bool) error { return errOther }

// Close does nothing.
func (*Poller) Close() {}

// Yield does nothing.
func Yield() {}
