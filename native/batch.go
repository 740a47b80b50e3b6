//go:build linux && (amd64 || arm64)

package native

import (
	"unsafe"

	"github.com/sixcall/sixcall/bridge/kv"
)

// Submit implements [kv.Connector]. It does not allocate when the batch is
// accepted or the queue is full.
func (c *Connector) Submit(b *kv.Batch) error {
	if c.closed.Load() {
		return c.fail("submit", kv.Closed, "the connector is closed")
	}
	if b.Op >= kv.Op(len(c.submit)) || c.submit[b.Op] == 0 {
		return c.fail("submit", kv.Unsupported, "%q does not implement %s", c.lib.name, b.Op)
	}
	fn := c.submit[b.Op]
	native := c.encode(b)
	if native == 0 {
		return c.invalid(b)
	}
	one := c.spare.Swap(nil)
	if one == nil { // another submit runs at this moment
		one = callers.Get().(*caller)
	}
	var rc int32
	if m := c.serial; m == nil {
		rc = int32(one.call(fn, c.conn, native, 0, 0))
	} else {
		m.Lock()
		rc = int32(one.call(fn, c.conn, native, 0, 0))
		m.Unlock()
	}
	if !c.spare.CompareAndSwap(nil, one) {
		callers.Put(one)
	}
	switch {
	case rc >= 0:
		return nil
	case rc == cEAgain:
		return c.busy
	case b.Err.Code() != kv.OK:
		return c.textError("submit", rc, b.Err)
	}
	return c.fail("submit", kv.CodeOf(rc), "%q refused the batch with %d", c.lib.name, rc)
}

// encode writes the batch into its scratch memory and returns the address of
// the sixcall_batch, or 0 when the batch breaks the contract.
func (c *Connector) encode(b *kv.Batch) uintptr {
	n := len(b.Ends)
	if len(b.Scratch) < kv.ScratchBase+n*kv.ScratchPerKey || address(b.Scratch)%8 != 0 ||
		b.Err != nil && len(b.Err) < sizeofErr {
		return 0
	}
	out := at[cBatch](b.Scratch)
	*out = cBatch{
		StructSize: sizeofBatch, Ticket: b.Ticket, N: uint32(n), ItemStride: sizeofItem,
		DeadlineNS: b.DeadlineNS & c.deadlines, MemHandle: b.MemHandle,
	}
	if b.Err != nil {
		out.Err = address(b.Err)
	}
	if b.Op == kv.OpPing {
		if n != 0 {
			return 0
		}
		return uintptr(unsafe.Pointer(out))
	}
	moves := b.Op == kv.OpGet || b.Op == kv.OpSet
	if n == 0 || len(b.Status) != n || moves && len(b.Bufs) != n || b.ValueLens != nil && len(b.ValueLens) != n {
		return 0
	}
	items := unsafe.Slice(at[cItem](b.Scratch[kv.ScratchBase:]), n)
	out.Items = uintptr(unsafe.Pointer(&items[0]))
	out.Status = address(b.Status)
	if b.ValueLens != nil {
		out.ValueLens = uintptr(unsafe.Pointer(&b.ValueLens[0]))
	}
	keys, start, limit := address(b.Keys), uint32(0), uint32(len(b.Keys))
	for i, end := range b.Ends {
		if end <= start || end > limit {
			return 0
		}
		items[i] = cItem{Key: keys + uintptr(start), KeyLen: end - start}
		start = end
	}
	if moves {
		for i, buf := range b.Bufs {
			items[i].Buf, items[i].Len = address(buf), uint64(len(buf))
		}
	}
	return uintptr(unsafe.Pointer(out))
}

// invalid says what encode did not like. It is off the hot path.
func (c *Connector) invalid(b *kv.Batch) error {
	n := len(b.Ends)
	bad := func(format string, args ...any) error { return c.fail("submit", kv.Invalid, format, args...) }
	switch {
	case b.Op == kv.OpPing && n != 0:
		return bad("a ping has no keys, this one has %d", n)
	case b.Op != kv.OpPing && n == 0:
		return bad("a batch needs at least one key")
	case len(b.Scratch) < kv.ScratchBase+n*kv.ScratchPerKey || address(b.Scratch)%8 != 0:
		return bad("Scratch has %d bytes at %#x, want %d, 8-byte aligned", len(b.Scratch), address(b.Scratch), kv.ScratchBase+n*kv.ScratchPerKey)
	case b.Err != nil && len(b.Err) < sizeofErr:
		return bad("Err has %d bytes, want %d", len(b.Err), sizeofErr)
	case len(b.Status) != n:
		return bad("Status has %d bytes for %d keys", len(b.Status), n)
	case b.ValueLens != nil && len(b.ValueLens) != n:
		return bad("ValueLens has %d entries for %d keys", len(b.ValueLens), n)
	case (b.Op == kv.OpGet || b.Op == kv.OpSet) && len(b.Bufs) != n:
		return bad("Bufs has %d entries for %d keys", len(b.Bufs), n)
	}
	return bad("Ends does not ascend within the %d bytes of Keys", len(b.Keys))
}

// canary fills the record behind those that the library may write.
var canary = cCompletion{Ticket: 0xA5C3_5AA5_C33C_5A3C, RC: 0x5AC3_3CA5, Op: 0x3C5A_A5C3, NOk: 0xC35A_3CA5, Flags: 0x5A3C_C3A5, DoneNS: 0x3CA5_5AC3_A53C_C35A}

// Drain implements [kv.Connector]. It does not allocate. An error means that the
// library broke the contract or said that it cannot go on; it never completes
// anything then.
func (c *Connector) Drain(dst []kv.Completion) (int, error) {
	if len(dst) == 0 {
		return 0, nil
	}
	if !c.draining.TryLock() {
		return 0, c.fail("drain", kv.Invalid, "another drain is running")
	}
	defer c.draining.Unlock()
	if c.closed.Load() || c.out == nil {
		return 0, c.fail("drain", kv.Closed, "the connector is closed")
	}
	for total := 0; ; {
		limit := min(len(dst)-total, drainCap)
		n, err := c.drainOnce(limit)
		if err != nil {
			return total, err
		}
		for i := range c.out[:n] {
			record := &c.out[i]
			if c.lists.active.Load() != 0 && c.lists.finish(record) {
				continue
			}
			dst[total] = kv.Completion{
				Ticket: record.Ticket, RC: kv.CodeOf(record.RC), Op: kv.Op(record.Op),
				NOK: record.NOk, Flags: record.Flags, DoneNS: record.DoneNS,
			}
			total++
		}
		// A full native drain means that more may wait.
		if n < limit || total == len(dst) {
			return total, nil
		}
	}
}

// drainOnce lets the library write up to limit records into c.out.
func (c *Connector) drainOnce(limit int) (int, error) {
	c.out[limit] = canary
	var n int32
	out := uintptr(unsafe.Pointer(&c.out[0]))
	if m := c.serial; m == nil {
		n = int32(c.drainer.call(c.drain, c.conn, out, uintptr(limit), sizeofCompletion))
	} else {
		m.Lock()
		n = int32(c.drainer.call(c.drain, c.conn, out, uintptr(limit), sizeofCompletion))
		m.Unlock()
	}
	switch {
	case n < 0:
		return 0, c.fail("drain", kv.CodeOf(n), "drain_completions of %q returned %d", c.lib.path, n)
	case int(n) > limit:
		return 0, c.fail("drain", kv.Internal, "drain_completions of %q returned %d, but was given room for %d", c.lib.path, n, limit)
	case c.out[limit] != canary:
		return 0, c.fail("drain", kv.Internal, "drain_completions of %q wrote past the %d records that it was given", c.lib.path, limit)
	}
	return int(n), nil
}
