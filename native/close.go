//go:build linux && (amd64 || arm64)

package native

import (
	"time"

	"github.com/sixcall/sixcall/bridge/kv"
)

// Close implements [kv.Connector]. A second call returns the result of the
// first. When it fails everything that was lent to the library stays mapped for
// the life of the process, on our side too.
func (c *Connector) Close(grace time.Duration) error {
	c.closing.Lock()
	defer c.closing.Unlock()
	if c.ended {
		return c.endErr
	}
	c.ended = true
	c.closed.Store(true)
	var rc int32
	c.locked(func() { rc = call32(c.lib.api.Close, c.conn, uintptr(milliseconds(grace)), 0, 0) })
	switch {
	case rc >= 0:
		c.lists.abandon(true)
		c.release()
	case rc == cEBusy:
		c.endErr = c.fail("close", kv.Stuck, "%q could not stop everything within %v; the memory it was lent stays lent", c.lib.path, grace)
		c.abandon()
	default:
		c.endErr = c.fail("close", kv.Stuck, "close of %q returned %d (%s), want 0 or SIXCALL_E_BUSY; the memory it was lent stays lent", c.lib.path, rc, kv.CodeOf(rc))
		c.abandon()
	}
	return c.endErr
}

// release gives back what prepare made. The library no longer uses any of it.
func (c *Connector) release() {
	c.abandon()
	if c.host != nil {
		*c.host = cHost{StructSize: sizeofHost, ABIMajor: cABIMajor, ABIMinor: cABIMinor, Name: c.host.Name, Version: c.host.Version}
		releaseHostSlot(c.host)
		c.host = nil
	}
	if c.own != nil {
		c.draining.Lock() // waits for a drain that should not be running
		c.out = nil
		c.own.free(false)
		c.own = nil
		c.draining.Unlock()
	}
}

// abandon ends our own goroutine and forgets the log, but keeps all memory.
func (c *Connector) abandon() {
	c.lists.abandon(false)
	if c.log != nil {
		c.log.stop()
		c.log = nil
	}
}
