package tier

import (
	"context"
	"sync/atomic"
)

// call states. A call is settled by whoever moves it away from running.
const (
	running  uint32 = iota
	answered        // the value is the waiter's
	left            // the waiter is gone
)

// call is one call of a member, on a goroutine of its own, so that a member that
// does not come back holds up nobody.
type call[T any] struct {
	state atomic.Uint32
	ready chan struct{} // closed once answered
	value T
}

// begin runs f. Its value goes to wait, or to late if the waiter has left. One of
// the two gets it, whatever races.
func begin[T any](f func() T, late func(T)) *call[T] {
	c := &call[T]{ready: make(chan struct{})}
	go func() {
		value := f()
		c.value = value
		if c.state.CompareAndSwap(running, answered) {
			close(c.ready)
			return
		}
		late(value)
	}()
	return c
}

// wait returns the value of f, or false when ctx ended first. Call it once.
func (c *call[T]) wait(ctx context.Context) (value T, ok bool) {
	select {
	case <-c.ready:
		return c.value, true
	case <-ctx.Done():
	}
	if c.state.CompareAndSwap(running, left) {
		return value, false
	}
	<-c.ready
	return c.value, true
}
