//go:build linux && (amd64 || arm64)

package native

import (
	"math"
	"unsafe"

	"github.com/sixcall/sixcall/bridge/kv"
)

// require returns an error unless the connector is open and has the capability.
func (c *Connector) require(op string, want kv.Caps) error {
	if c.closed.Load() {
		return c.fail(op, kv.Closed, "the connector is closed")
	}
	if !c.lib.caps.Has(want) {
		return c.fail(op, kv.Unsupported, "%q does not have the capability %s", c.lib.name, want.Names()[0])
	}
	return nil
}

// Register implements [kv.Registrar], with [kv.CapRegisterMemory].
func (c *Connector) Register(m kv.Memory) (handle uint64, err error) {
	if err := c.require("register", kv.CapRegisterMemory); err != nil {
		return 0, err
	}
	if len(m.Bytes) == 0 || m.Offset < 0 {
		return 0, c.fail("register", kv.Invalid, "%d bytes at offset %d, want at least one, at 0 or more", len(m.Bytes), m.Offset)
	}
	temp, err := newRegion(sizeofMemory + sizeofErr + 64)
	if err != nil {
		return 0, c.fail("register", kv.NoMemory, "%v", err)
	}
	defer temp.free(false)
	memory := at[cMemory](temp.take(sizeofMemory))
	*memory = cMemory{StructSize: sizeofMemory, Kind: cMemoryAnonymous, Base: address(m.Bytes), Len: uint64(len(m.Bytes)), FD: -1}
	if m.FD >= 0 {
		memory.Kind, memory.FD, memory.Offset = cMemoryFD, int32(m.FD), uint64(m.Offset)
	}
	out := at[uint64](temp.take(8))
	block := kv.ErrBlock(temp.take(sizeofErr))
	block.Reset()
	var rc int32
	c.locked(func() {
		rc = call32(c.lib.api.RegisterMemory, c.conn, uintptr(unsafe.Pointer(memory)), uintptr(unsafe.Pointer(out)), address(block))
	})
	if rc < 0 {
		return 0, c.textError("register", rc, block)
	}
	if *out == 0 {
		return 0, c.fail("register", kv.Internal, "register_memory of %q returned success, but the handle 0", c.lib.path)
	}
	return *out, nil
}

// Unregister implements [kv.Registrar], with [kv.CapRegisterMemory].
func (c *Connector) Unregister(handle uint64) error {
	if err := c.require("unregister", kv.CapRegisterMemory); err != nil {
		return err
	}
	var rc int32
	c.locked(func() { rc = call32(c.lib.api.UnregisterMemory, c.conn, uintptr(handle), 0, 0) })
	if rc < 0 {
		return c.fail("unregister", kv.CodeOf(rc), "%q refused the handle %d", c.lib.name, handle)
	}
	return nil
}

// Cancel implements [kv.Canceler], with [kv.CapCancel].
func (c *Connector) Cancel(ticket uint64) error {
	if err := c.require("cancel", kv.CapCancel); err != nil {
		return err
	}
	var rc int32
	c.locked(func() { rc = call32(c.lib.api.Cancel, c.conn, uintptr(ticket), 0, 0) })
	if rc < 0 {
		return c.fail("cancel", kv.CodeOf(rc), "ticket %d", ticket)
	}
	return nil
}

// Usage implements [kv.UsageReporter], with [kv.CapUsage].
func (c *Connector) Usage() (bytesUsed, bytesCapacity, keys int64, err error) {
	if err := c.require("usage", kv.CapUsage); err != nil {
		return -1, -1, -1, err
	}
	temp, err := newRegion(sizeofUsage)
	if err != nil {
		return -1, -1, -1, c.fail("usage", kv.NoMemory, "%v", err)
	}
	defer temp.free(false)
	usage := at[cUsage](temp.take(sizeofUsage))
	*usage = cUsage{StructSize: sizeofUsage, BytesUsed: cLenUnknown, BytesCapacity: cLenUnknown, Keys: cLenUnknown}
	var rc int32
	c.locked(func() { rc = call32(c.lib.api.Usage, c.conn, uintptr(unsafe.Pointer(usage)), 0, 0) })
	if rc < 0 {
		return -1, -1, -1, c.fail("usage", kv.CodeOf(rc), "usage of %q failed", c.lib.path)
	}
	return known(usage.BytesUsed), known(usage.BytesCapacity), known(usage.Keys), nil
}

// known turns the ABI's "unknown" into -1.
func known(v uint64) int64 {
	if v > math.MaxInt64 {
		return -1
	}
	return int64(v)
}

// maxStats bounds the text of StatsText in bytes.
const maxStats = 4 << 20

// StatsText returns the connector's own metrics as Prometheus text, with
// [kv.CapStatsText]. It does not block.
func (c *Connector) StatsText() (string, error) {
	if err := c.require("stats", kv.CapStatsText); err != nil {
		return "", err
	}
	for size := 16 << 10; ; {
		temp, err := newRegion(size)
		if err != nil {
			return "", c.fail("stats", kv.NoMemory, "%v", err)
		}
		text := temp.take(size)
		var full int64
		c.locked(func() { full = int64(call(c.lib.api.StatsText, c.conn, address(text), uintptr(size), 0)) })
		if full >= 0 && full <= int64(size) {
			s := string(text[:full])
			temp.free(false)
			return s, nil
		}
		temp.free(false)
		if full < 0 {
			return "", c.fail("stats", kv.CodeOf(int32(max(full, math.MinInt32))), "stats_text of %q failed", c.lib.path)
		}
		if full > maxStats {
			return "", c.fail("stats", kv.NoSpace, "stats_text of %q has %d bytes, want at most %d", c.lib.path, full, maxStats)
		}
		size = int(full) + 4096 // it may grow before the next call
	}
}
