//go:build linux && (amd64 || arm64)

package worker

import (
	"time"

	"github.com/sixcall/sixcall/bridge/kv"
)

// Close implements [kv.Connector]. A worker that has not closed a second after grace
// is killed, so the result is nil unless its process cannot be killed: then the error
// matches [kv.Stuck] and everything that was lent stays in place. A second call
// returns the result of the first.
func (c *Connector) Close(grace time.Duration) error {
	c.closing.Lock()
	defer c.closing.Unlock()
	if c.ended {
		return c.endErr
	}
	c.ended = true
	c.closed.Store(true)
	c.cancel()
	<-c.supervised // a start that was under way has ended too
	c.replacing.Lock()
	defer c.replacing.Unlock()
	current := c.current.Swap(nil)
	for _, l := range *c.lives.Load() {
		if l != current {
			l.kill(ReasonHost, "the connector is closed")
		}
	}
	if current != nil {
		current.close(grace)
	}
	c.retiring.Wait()
	c.draining.Lock() // waits for a drain that should not be running
	defer c.draining.Unlock()
	for _, l := range *c.lives.Load() {
		if !l.await(buryLimit) {
			c.endErr = c.fail("close", kv.Stuck, "the worker process %d was killed and does not end; the memory it was lent stays lent", l.proc.pid)
		}
	}
	c.output.stop()
	c.setState(Closed, "")
	if c.endErr != nil {
		return c.endErr
	}
	for _, l := range *c.lives.Load() {
		l.giveUp()
		l.free()
	}
	c.lives.Store(&[]*life{})
	c.event.close()
	if c.ownArena {
		_ = c.arena.Close() // blocks that are in use keep it, which is their owners' business
	}
	return nil
}

// giveUp drops what stood for memory of batches that never completed.
func (l *life) giveUp() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.slots {
		if s := &l.slots[i]; s.out {
			s.copies.drop()
			l.give(uint32(i))
		}
	}
}
