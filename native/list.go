//go:build linux && (amd64 || arm64)

package native

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/sixcall/sixcall/bridge/kv"
)

// The buffer of one listing page: first size and the largest that a key may ask for, in bytes.
const (
	listPage    = 256 << 10
	listPageMax = 16 << 20
)

// lists are the listings that are in flight. Their tickets are random, so that
// they do not meet those that callers of Submit choose. The mutex is never held
// while the library runs.
type lists struct {
	active  atomic.Int32 // how many are pending
	mu      sync.Mutex
	pending map[uint64]*listing // by ticket
}

// listing is one submit_list and the memory lent for it.
type listing struct {
	mem   *region
	batch *cBatch
	page  *cPage
	buf   []byte
	err   kv.ErrBlock
	done  chan int32 // the rc, or is closed when the connector was
	left  bool       // its caller has gone; guarded by lists.mu
}

// List implements [kv.Lister], with [kv.CapList]. Its completion arrives through
// [Connector.Drain], so somebody must be draining while it waits. When ctx ends
// first the memory stays lent until the completion has come.
func (c *Connector) List(ctx context.Context, cursor []byte) (entries []kv.KeyEntry, next []byte, err error) {
	if err := c.require("list", kv.CapList); err != nil {
		return nil, nil, err
	}
	for size := listPage; ; size *= 4 {
		l, ticket, err := c.submitList(cursor, size)
		if err != nil {
			return nil, nil, err
		}
		select {
		case rc, ok := <-l.done:
			if !ok {
				return nil, nil, c.fail("list", kv.Closed, "the connector was closed")
			}
			if rc == cENospace && size < listPageMax {
				l.mem.free(false)
				continue
			}
			if rc < 0 {
				err = c.textError("list", rc, l.err)
			} else if entries, next, err = l.decode(); err != nil {
				err = c.fail("list", kv.Internal, "submit_list of %q: %w", c.lib.path, err)
			}
			l.mem.free(false)
			return entries, next, err
		case <-ctx.Done():
			c.lists.leave(ticket, l)
			return nil, nil, &kv.Error{Op: "list", Connector: c.name, Code: kv.Cancelled, Err: ctx.Err()}
		}
	}
}

func (c *Connector) submitList(cursor []byte, size int) (*listing, uint64, error) {
	l := &listing{done: make(chan int32, 1)}
	if len(cursor) > len(cPage{}.Cursor) {
		return nil, 0, c.fail("list", kv.Invalid, "the cursor has %d bytes, want one that List returned", len(cursor))
	}
	var err error
	if l.mem, err = newRegion(sizeofBatch + sizeofPage + sizeofErr + 64 + size); err != nil {
		return nil, 0, c.fail("list", kv.NoMemory, "%v", err)
	}
	l.batch, l.page = at[cBatch](l.mem.take(sizeofBatch)), at[cPage](l.mem.take(sizeofPage))
	l.err, l.buf = l.mem.take(sizeofErr), l.mem.take(size)
	l.err.Reset()
	*l.page = cPage{StructSize: sizeofPage, Buf: address(l.buf), Cap: uint64(len(l.buf)), CursorLen: uint32(len(cursor))}
	copy(l.page.Cursor[:], cursor)
	ticket := c.lists.add(l)
	*l.batch = cBatch{StructSize: sizeofBatch, Ticket: ticket, ItemStride: sizeofItem, Err: address(l.err)}
	var rc int32
	c.locked(func() {
		rc = call32(c.lib.api.SubmitList, c.conn, uintptr(unsafe.Pointer(l.batch)), uintptr(unsafe.Pointer(l.page)), 0)
	})
	if rc < 0 {
		c.lists.remove(ticket)
		err = c.textError("list", rc, l.err)
		l.mem.free(false)
		return nil, 0, err
	}
	return l, ticket, nil
}

// decode reads the page, believing nothing that it says.
func (l *listing) decode() (entries []kv.KeyEntry, next []byte, err error) {
	page := *l.page // read once
	if page.Used > uint64(len(l.buf)) || int(page.CursorLen) > len(page.Cursor) {
		return nil, nil, fmt.Errorf("the page claims %d bytes and a cursor of %d", page.Used, page.CursorLen)
	}
	rest := l.buf[:page.Used]
	for range page.N {
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
	case page.Flags&cPageLast != 0:
		return entries, nil, nil
	case page.CursorLen == 0:
		return nil, nil, errors.New("the page is not the last, but has no cursor")
	}
	return entries, append([]byte(nil), page.Cursor[:page.CursorLen]...), nil
}

func (s *lists) add(l *listing) (ticket uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pending == nil {
		s.pending = map[uint64]*listing{}
	}
	for ticket == 0 || s.pending[ticket] != nil {
		ticket = rand.Uint64()
	}
	s.pending[ticket] = l
	s.active.Store(int32(len(s.pending)))
	return ticket
}

func (s *lists) remove(ticket uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(ticket)
}

// forget is called with mu held.
func (s *lists) forget(ticket uint64) {
	delete(s.pending, ticket)
	s.active.Store(int32(len(s.pending)))
}

// finish takes the completion of a listing; false means that it is none.
func (s *lists) finish(record *cCompletion) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.pending[record.Ticket]
	if l == nil {
		return false
	}
	s.forget(record.Ticket)
	if l.left {
		l.mem.free(false)
	} else {
		l.done <- record.RC
	}
	return true
}

// leave says that the caller no longer waits.
func (s *lists) leave(ticket uint64, l *listing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pending[ticket] != nil {
		l.left = true
		return
	}
	l.mem.free(false) // the completion came in the meantime
}

// abandon wakes all callers after close. With safe their memory is unmapped:
// the library will not touch it again.
func (s *lists) abandon(safe bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ticket, l := range s.pending {
		s.forget(ticket)
		if safe {
			l.mem.free(false)
		}
		if !l.left {
			close(l.done)
		}
	}
}
