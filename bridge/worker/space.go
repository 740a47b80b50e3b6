//go:build linux && (amd64 || arm64)

package worker

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/sixcall/sixcall/bridge/kv"
)

// span is a run of our addresses and where the worker has them.
type span struct {
	lo, hi uintptr
	shift  uint64 // worker's address minus ours
}

func (s *span) has(at, n uintptr) bool { return at >= s.lo && at < s.hi && n <= s.hi-at }

// space is what one worker has mapped: sorted, disjoint, never changed.
type space []span

// find returns the span of n bytes at an address, or nil.
func (s space) find(at, n uintptr) *span {
	lo, hi := 0, len(s)
	for lo < hi {
		mid := (lo + hi) / 2
		if s[mid].lo <= at {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == 0 || !s[lo-1].has(at, n) {
		return nil
	}
	return &s[lo-1]
}

// mapping is one piece of memory in a worker. A registered one has a handle.
type mapping struct {
	span
	region *region // nil for a segment of the arena
	handle uint64
}

// layOut returns the space of the mappings; later ones lie over earlier ones,
// because a registration counts for its addresses only.
func layOut(all []mapping) space {
	var out space
	for _, m := range all {
		var next space
		for _, s := range out {
			if s.lo < m.lo {
				next = append(next, span{s.lo, min(s.hi, m.lo), s.shift})
			}
			if s.hi > m.hi {
				next = append(next, span{max(s.lo, m.hi), s.hi, s.shift})
			}
		}
		out = append(next, m.span)
	}
	out = slices.DeleteFunc(out, func(s span) bool { return s.lo >= s.hi })
	slices.SortFunc(out, func(a, b span) int { return cmp.Compare(a.lo, b.lo) })
	return out
}

// mapTimeout is what a worker may take to map memory.
const mapTimeout = time.Second

// registerTimeout is what it may take to register memory. A test shortens it.
var registerTimeout = time.Minute

// mapMemory has the worker map memory, and register it if it is a region that wants
// that.
func (l *life) mapMemory(m kv.Memory, r *region) error {
	register := r != nil && r.register
	bound := mapTimeout
	if register {
		bound = registerTimeout
	}
	reply, err := l.control.ask(bound, request{kind: mapRequest{uint64(len(m.Bytes)), uint64(m.Offset), register}, fds: []int{m.FD}})
	if err != nil {
		return err
	}
	at := reply.(mapped)
	lo := address(m.Bytes)
	switch {
	case at.base == 0 || at.base%pageSize != 0 || at.base+uint64(len(m.Bytes)) < at.base:
		return l.broken("it says that %d bytes are mapped at %#x", len(m.Bytes), at.base)
	case register && at.handle == 0:
		return &kv.Error{Op: "register", Connector: l.c.name(), Code: kv.Internal, Err: fmt.Errorf("register_memory of %q returned success, but the handle 0", l.library)}
	}
	l.changeMappings(func(all []mapping) []mapping {
		return append(all, mapping{span{lo, lo + uintptr(len(m.Bytes)), at.base - uint64(lo)}, r, at.handle})
	})
	return nil
}

// changeMappings changes the mappings that submissions use from now on.
func (l *life) changeMappings(change func([]mapping) []mapping) {
	l.mapMu.Lock()
	defer l.mapMu.Unlock()
	l.mappings = change(l.mappings)
	s := layOut(l.mappings)
	l.space.Store(&s)
	var handles []handlePair
	var total int64
	for _, m := range l.mappings {
		total += int64(m.hi - m.lo)
		if m.handle != 0 {
			handles = append(handles, handlePair{m.region.id, m.handle})
		}
	}
	l.handles.Store(&handles)
	l.mapped.Store(total)
}

// handlePair is a registration: what our caller has, and what the worker has.
type handlePair struct{ ours, theirs uint64 }

// handle translates Batch.MemHandle.
func (l *life) handle(ours uint64) (theirs uint64, ok bool) {
	for _, p := range *l.handles.Load() {
		if p.ours == ours {
			return p.theirs, true
		}
	}
	return 0, false
}

const pageSize = 4096

// learn maps the segment of the arena that holds p, if there is one, and reports
// whether p is now mapped.
func (l *life) learn(p []byte) (bool, error) {
	at, n := address(p), uintptr(len(p))
	if l.c.arena.BlockOf(p) == nil {
		return false, nil
	}
	l.learning.Lock()
	defer l.learning.Unlock()
	if l.space.Load().find(at, n) != nil {
		return true, nil
	}
	for _, seg := range l.c.arena.Segments() {
		s := span{lo: address(seg.Bytes), hi: address(seg.Bytes) + uintptr(len(seg.Bytes))}
		// One that is mapped already has a registration across p: not contiguous.
		if s.has(at, n) && !l.hasMapped(nil, seg.Bytes) {
			err := l.mapMemory(kv.Memory{Bytes: seg.Bytes, FD: seg.FD}, nil)
			return err == nil, err
		}
	}
	return false, nil
}

// hasMapped reports whether a region, or with nil a segment of the arena, is mapped.
func (l *life) hasMapped(r *region, mem []byte) bool {
	l.mapMu.Lock()
	defer l.mapMu.Unlock()
	return slices.ContainsFunc(l.mappings, func(m mapping) bool { return m.region == r && m.lo == address(mem) })
}

// mapAll maps the segments of the arena and the regions that are not mapped yet.
// regions.mu is held.
func (l *life) mapAll() error {
	l.learning.Lock()
	defer l.learning.Unlock()
	for _, seg := range l.c.arena.Segments() {
		if !l.hasMapped(nil, seg.Bytes) {
			if err := l.mapMemory(kv.Memory{Bytes: seg.Bytes, FD: seg.FD}, nil); err != nil {
				return err
			}
		}
	}
	for _, r := range l.c.regions.all {
		if !l.hasMapped(r, r.memory.Bytes) {
			if err := l.mapMemory(r.memory, r); err != nil {
				return err
			}
		}
	}
	return nil
}

// unmap has the worker forget a region. regions.mu is held.
func (l *life) unmap(r *region) error {
	var gone []mapping
	// Out of use first: a submission that finds the memory unknown copies it.
	l.changeMappings(func(all []mapping) []mapping {
		i := slices.IndexFunc(all, func(m mapping) bool { return m.region == r })
		if i < 0 {
			return all
		}
		gone = append(gone, all[i])
		return slices.Delete(all, i, i+1)
	})
	if len(gone) == 0 {
		return nil
	}
	m := gone[0]
	_, err := l.control.ask(registerTimeout, request{kind: unmapRequest{uint64(m.lo) + m.shift, uint64(m.hi - m.lo), m.handle}})
	if err != nil {
		l.changeMappings(func(all []mapping) []mapping { return append(all, m) })
	}
	return err
}
