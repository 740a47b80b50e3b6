//go:build linux && (amd64 || arm64)

package worker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/sixcall/sixcall/bridge/kv"
)

// The time that calls may take which the ABI says do not block, and a listing whose
// context has no deadline.
const (
	quickTimeout = 2 * time.Second
	listTimeout  = 30 * time.Second
)

// require returns the worker that serves, or an error unless the connector is open
// and has the capability.
func (c *Connector) require(op string, want kv.Caps) (*life, error) {
	if c.closed.Load() {
		return nil, c.fail(op, kv.Closed, "the connector is closed")
	}
	if !c.info.Caps.Has(want) {
		return nil, c.fail(op, kv.Unsupported, "%q does not have the capability %s", c.info.Name, want.Names()[0])
	}
	l := c.current.Load()
	if l == nil {
		return nil, &kv.Error{Op: op, Connector: c.name(), Code: kv.Unavailable, Err: c.why.Load().Err}
	}
	return l, nil
}

// requestError makes a kv.Error of what ask returned.
func (l *life) requestError(op string, err error) error {
	c := l.c
	var no failed
	var known *kv.Error
	switch {
	case errors.As(err, &known):
		return err
	case errors.As(err, &no):
		return l.failedError(op, c.name(), no)
	case errors.Is(err, errNoAnswer):
		return c.fail(op, kv.Timeout, "the worker did not answer in time")
	}
	return c.fail(op, kv.Unavailable, "%w", err)
}

// regions is memory that callers have made known. Handles stay the same over
// restarts.
type regions struct {
	mu   sync.Mutex // held while workers map; guards what follows
	all  []*region
	last uint64
}

// region is one piece of it.
type region struct {
	id       uint64
	memory   kv.Memory
	register bool
}

// Register implements [kv.Registrar], with [kv.CapRegisterMemory]. The memory has to
// be a shared mapping of a descriptor, which stays open until Unregister, or lie in
// the connector's arena.
func (c *Connector) Register(m kv.Memory) (handle uint64, err error) {
	return c.share("register", m, true, kv.CapRegisterMemory)
}

// Share has the workers map memory that batches will use, so that it is not copied,
// without registering it with the connector. The memory has to be a shared mapping
// of m.FD at m.Offset, a multiple of the page size; both stay until Unshare.
func (c *Connector) Share(m kv.Memory) (id uint64, err error) {
	return c.share("share", m, false, 0)
}

func (c *Connector) share(op string, m kv.Memory, register bool, caps kv.Caps) (uint64, error) {
	l, err := c.require(op, caps)
	if err != nil {
		return 0, err
	}
	if len(m.Bytes) == 0 || m.Offset < 0 {
		return 0, c.fail(op, kv.Invalid, "%d bytes at offset %d, want at least one, at 0 or more", len(m.Bytes), m.Offset)
	}
	if m.FD < 0 {
		found := false
		for _, seg := range c.arena.Segments() {
			s := span{lo: address(seg.Bytes), hi: address(seg.Bytes) + uintptr(len(seg.Bytes))}
			if s.has(address(m.Bytes), uintptr(len(m.Bytes))) {
				m.FD, m.Offset, found = seg.FD, int64(address(m.Bytes)-s.lo), true
			}
		}
		if !found {
			return 0, c.fail(op, kv.Unsupported, "memory without a descriptor cannot be shared with a worker process")
		}
	}
	if m.Offset%pageSize != 0 {
		return 0, c.fail(op, kv.Invalid, "the offset is %d, want a multiple of %d", m.Offset, pageSize)
	}
	c.regions.mu.Lock()
	defer c.regions.mu.Unlock()
	r := &region{id: c.regions.last + 1, memory: m, register: register}
	if err := l.mapMemory(m, r); err != nil {
		return 0, l.requestError(op, err)
	}
	c.regions.last++
	c.regions.all = append(c.regions.all, r)
	return r.id, nil
}

// Unregister implements [kv.Registrar], with [kv.CapRegisterMemory].
func (c *Connector) Unregister(handle uint64) error {
	return c.unshare("unregister", handle, true, kv.CapRegisterMemory)
}

// Unshare ends a Share. No batch may use the memory any more.
func (c *Connector) Unshare(id uint64) error { return c.unshare("unshare", id, false, 0) }

func (c *Connector) unshare(op string, id uint64, register bool, caps kv.Caps) error {
	if !c.info.Caps.Has(caps) || c.closed.Load() {
		_, err := c.require(op, caps)
		return err
	}
	c.regions.mu.Lock()
	defer c.regions.mu.Unlock()
	i := slices.IndexFunc(c.regions.all, func(r *region) bool { return r.id == id && r.register == register })
	if i < 0 {
		return c.fail(op, kv.Invalid, "%q refused the handle %d", c.info.Name, id)
	}
	r := c.regions.all[i]
	for _, l := range *c.lives.Load() {
		if err := l.unmap(r); err != nil {
			select {
			case <-l.proc.ended: // then it has no memory of ours
			default:
				return l.requestError(op, err)
			}
		}
	}
	c.regions.all = slices.Delete(c.regions.all, i, i+1)
	return nil
}

// Cancel implements [kv.Canceler], with [kv.CapCancel].
func (c *Connector) Cancel(ticket uint64) error {
	if _, err := c.require("cancel", kv.CapCancel); err != nil {
		return err
	}
	for _, l := range *c.lives.Load() {
		if found, err := l.cancel(ticket); found {
			return err
		}
	}
	return c.fail("cancel", kv.Invalid, "ticket %d", ticket)
}

func (l *life) cancel(ticket uint64) (found bool, err error) {
	l.mu.Lock()
	index := slices.IndexFunc(l.slots, func(s slot) bool { return s.out && s.user == ticket })
	if index < 0 || l.rings == nil {
		l.mu.Unlock()
		return false, nil
	}
	wake, full, ok := l.rings.push(&submission{Ticket: l.slots[index].gen<<slotBits | uint64(index), Op: ringCancel})
	if wake {
		l.waking.Add(1)
	}
	l.mu.Unlock()
	switch {
	case !ok:
		return true, l.broken("its head of the submissions is out of range")
	case full:
		return true, l.c.busy
	case wake:
		l.wake()
	}
	return true, nil
}

// Usage implements [kv.UsageReporter], with [kv.CapUsage]. It asks the worker, which
// takes microseconds unless a listing or a registration is under way.
func (c *Connector) Usage() (bytesUsed, bytesCapacity, keys int64, err error) {
	l, err := c.require("usage", kv.CapUsage)
	if err != nil {
		return -1, -1, -1, err
	}
	reply, err := l.control.ask(quickTimeout, request{kind: usageRequest{}})
	if err != nil {
		return -1, -1, -1, l.requestError("usage", err)
	}
	u := reply.(usageReply)
	return known(u.used), known(u.capacity), known(u.keys), nil
}

// known turns the ABI's "unknown" into -1.
func known(v uint64) int64 {
	if v > math.MaxInt64 {
		return -1
	}
	return int64(v)
}

// StatsText returns the connector's own metrics as Prometheus text, with
// [kv.CapStatsText], cut to what a message holds.
func (c *Connector) StatsText() (string, error) {
	l, err := c.require("stats", kv.CapStatsText)
	if err != nil {
		return "", err
	}
	reply, err := l.control.ask(quickTimeout, request{kind: statsRequest{}})
	if err != nil {
		return "", l.requestError("stats", err)
	}
	return reply.(statsReply).text, nil
}

// maxCursor is the longest cursor of a listing in bytes.
const maxCursor = 216

// List implements [kv.Lister], with [kv.CapList].
func (c *Connector) List(ctx context.Context, cursor []byte) (entries []kv.KeyEntry, next []byte, err error) {
	l, err := c.require("list", kv.CapList)
	if err != nil {
		return nil, nil, err
	}
	if len(cursor) > maxCursor {
		return nil, nil, c.fail("list", kv.Invalid, "the cursor has %d bytes, want one that List returned", len(cursor))
	}
	limit := listTimeout
	if deadline, ok := ctx.Deadline(); ok {
		limit = max(time.Until(deadline), time.Millisecond)
	}
	q, err := l.control.send(limit, request{kind: listRequest{cursor, milliseconds(limit)}})
	if err != nil {
		return nil, nil, l.requestError("list", err)
	}
	timer := time.NewTimer(limit + time.Second) // the worker ends it first
	defer timer.Stop()
	select {
	case answer := <-q.answer:
		reply, err := unpack(answer)
		if err != nil {
			return nil, nil, l.requestError("list", err)
		}
		if entries, next, err = reply.(listReply).decode(); err != nil {
			return nil, nil, c.fail("list", kv.Internal, "submit_list of %q: %w", l.library, err)
		}
		return entries, next, nil
	case <-ctx.Done():
		return nil, nil, &kv.Error{Op: "list", Connector: c.name(), Code: kv.Cancelled, Err: ctx.Err()}
	case <-timer.C:
		return nil, nil, l.requestError("list", errNoAnswer)
	}
}

// decode reads a page, believing nothing that it says.
func (p listReply) decode() (entries []kv.KeyEntry, next []byte, err error) {
	rest := p.entries
	for range p.n {
		const head = 16 // bytes: key_len, reserved, value length
		if len(rest) < head {
			return nil, nil, errors.New("the page ends inside an entry")
		}
		keyLen := uint64(binary.LittleEndian.Uint32(rest))
		size := known(binary.LittleEndian.Uint64(rest[8:]))
		whole := (head + keyLen + 7) &^ 7
		if keyLen == 0 || whole > uint64(len(rest)) {
			return nil, nil, fmt.Errorf("the page has an entry with a key of %d bytes", keyLen)
		}
		entries = append(entries, kv.KeyEntry{Key: string(rest[head : head+keyLen]), Size: size})
		rest = rest[whole:]
	}
	switch {
	case p.last:
		return entries, nil, nil
	case len(p.cursor) == 0 || len(p.cursor) > maxCursor:
		return nil, nil, fmt.Errorf("the page is not the last, but has a cursor of %d bytes", len(p.cursor))
	}
	return entries, p.cursor, nil
}
