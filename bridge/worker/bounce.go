//go:build linux && (amd64 || arm64)

package worker

import (
	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/kv"
)

// bounce is shared memory that stands for memory of one batch that is not.
type bounce struct {
	block *arena.Block
	// What goes back at the end: small pieces always, a value when its key was got.
	small  []piece
	values []piece
	status []byte // as the worker writes it
}

// piece is memory of the batch and what stands for it.
type piece struct {
	theirs []byte
	ours   []byte
	key    int
}

// encodeSlow encodes a batch of which some memory is not known to be mapped: new
// segments of the arena are mapped now, and what is no memory of ours is copied.
func (l *life) encodeSlow(b *kv.Batch, s *submission) (*bounce, error) {
	for {
		unknown := l.unknown(b)
		if unknown == nil {
			break
		}
		more, err := l.learn(unknown)
		if err != nil {
			return nil, l.notMapped(err)
		}
		if !more {
			return l.bounce(b, s)
		}
	}
	*s = submission{}
	if !l.encode(b, s) {
		return l.bounce(b, s)
	}
	return nil, nil
}

// unknown returns a part of the batch that is in the arena and not mapped, or any
// part that is not mapped, or nil.
func (l *life) unknown(b *kv.Batch) (found []byte) {
	known := *l.space.Load()
	l.parts(b, func(p []byte, _ partKind, _ int) {
		if len(p) == 0 || known.find(address(p), uintptr(len(p))) != nil {
			return
		}
		if found == nil || l.c.arena.BlockOf(found) == nil {
			found = p
		}
	})
	return found
}

type partKind int

const (
	partScratch partKind = iota
	partKeys
	partStatus
	partLens
	partErr
	partBuf
)

// parts calls f for each piece of memory of a batch.
func (l *life) parts(b *kv.Batch, f func(p []byte, kind partKind, key int)) {
	f(b.Scratch[:kv.ScratchBase+len(b.Ends)*kv.ScratchPerKey], partScratch, 0)
	f(b.Keys, partKeys, 0)
	f(b.Status, partStatus, 0)
	f(bytesOf(b.ValueLens), partLens, 0)
	if b.Err != nil {
		f(b.Err[:errSize], partErr, 0)
	}
	if b.Op == kv.OpGet || b.Op == kv.OpSet {
		for i, buf := range b.Bufs {
			f(buf, partBuf, i)
		}
	}
}

// bounce encodes a batch with copies of what is not mapped.
func (l *life) bounce(b *kv.Batch, s *submission) (*bounce, error) {
	align := max(64, l.info.Limits.BufAlign)
	room := func(n int) int { return (n + align - 1) &^ (align - 1) }
	known, need := *l.space.Load(), align
	l.parts(b, func(p []byte, _ partKind, _ int) {
		if len(p) > 0 && known.find(address(p), uintptr(len(p))) == nil {
			need += room(len(p))
		}
	})
	block, err := l.c.arena.Alloc(need)
	if err != nil {
		return nil, &kv.Error{Op: "submit", Connector: l.c.name(), Code: kv.NoMemory, Err: err}
	}
	if ok, err := l.learnBlock(block); !ok {
		block.Release()
		return nil, l.notMapped(err)
	}
	own := *l.space.Load() // has the block
	out := &bounce{block: block}
	free := block.Bytes()
	if off := int(-address(free) & uintptr(align-1)); off > 0 {
		free = free[off:]
	}
	var items []item
	var moved int64
	l.parts(b, func(p []byte, kind partKind, key int) {
		if len(p) == 0 {
			return
		}
		local, at := p, known.find(address(p), uintptr(len(p)))
		if at == nil {
			local, free = free[:len(p):len(p)], free[room(len(p)):]
			at = own.find(address(local), uintptr(len(local)))
			switch kind {
			case partKeys:
				copy(local, p)
			case partStatus:
				copy(local, p)
				out.status = local
			case partLens:
				copy(local, p)
				out.small = append(out.small, piece{local, p, 0})
			case partErr:
				copy(local, p)
				out.small = append(out.small, piece{local, p, 0})
			case partBuf:
				moved += int64(len(p))
				if b.Op == kv.OpSet {
					copy(local, p)
				} else {
					out.values = append(out.values, piece{local, p, key})
				}
			}
		}
		theirs := uint64(address(local)) + at.shift
		switch kind {
		case partScratch:
			if n := len(b.Ends); n > 0 {
				items = itemsIn(local[kv.ScratchBase:], n)
				s.Items = theirs + kv.ScratchBase
			}
		case partKeys:
			start := uint32(0)
			for i, end := range b.Ends {
				items[i] = item{Key: theirs + uint64(start), KeyLen: end - start}
				start = end
			}
		case partStatus:
			s.Status = theirs
		case partLens:
			s.ValueLens = theirs
		case partErr:
			s.Err = theirs
		case partBuf:
			items[key].Buf, items[key].Len = theirs, uint64(len(p))
		}
	})
	l.c.bouncedBatches.Add(1)
	l.c.bouncedBytes.Add(moved)
	return out, nil
}

func (l *life) learnBlock(block *arena.Block) (bool, error) {
	p := block.Bytes()
	if l.space.Load().find(address(p), uintptr(len(p))) != nil {
		return true, nil
	}
	return l.learn(p)
}

// notMapped is the error of a batch whose memory could not be mapped in time.
func (l *life) notMapped(err error) error {
	if err == nil {
		return l.c.fail("submit", kv.Internal, "the arena has no segment for its own block")
	}
	return l.c.fail("submit", kv.Unavailable, "the worker could not map the memory of the batch: %w", err)
}

// finish copies back what the worker wrote. failed says that the batch never
// completed: then only the error and the status bytes matter.
func (o *bounce) finish(b *kv.Batch, failed bool) {
	if o == nil {
		return
	}
	if !failed {
		if o.status != nil {
			copy(b.Status, o.status)
		}
		for _, v := range o.values {
			if b.Status[v.key] == kv.StatusHit {
				copy(v.ours, v.theirs)
			}
		}
		for _, p := range o.small {
			copy(p.ours, p.theirs)
		}
	}
	o.block.Release()
}

// drop gives the memory of a batch that was not submitted back.
func (o *bounce) drop() {
	if o != nil {
		o.block.Release()
	}
}
