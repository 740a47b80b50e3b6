package bridge

import (
	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/kv"
)

// lend takes the buffers of a slot. Memory of the arena is lent as it is; other
// memory is staged, or passed on when the caller vouches for it.
func (b *Bridge) lend(t *task, s *slot, bufs []kv.Buffer) error {
	checked := b.opts.Integrity != IntegrityOff
	for i, buf := range bufs {
		block := b.arena.BlockOf(buf)
		if block != nil && block.Quarantined() {
			return b.errorf(t.res.Kind.String(), kv.Invalid,
				"buffer %d is still lent to a task that was answered early; release it and allocate another", s.at(i))
		}
		switch {
		case checked, block == nil && len(buf) > 0 && b.opts.Buffers == BuffersCopy, !arena.Aligned(buf, b.info.Limits.BufAlign):
			staged, err := b.staged(t, s, i, buf)
			if err != nil {
				return err
			}
			buf = staged
		case block != nil:
			block.Lend()
			s.lent = append(s.lent, block)
		case len(buf) > 0:
			t.unsafe = true
		}
		s.bufs = append(s.bufs, buf)
	}
	s.batch.Bufs = s.bufs
	if b.opts.HostMemory.Handle != 0 && b.registered(s.bufs) {
		s.batch.MemHandle = b.opts.HostMemory.Handle
	}
	return nil
}

// registered reports whether all buffers lie in the registered memory of the host.
func (b *Bridge) registered(bufs []kv.Buffer) bool {
	for _, buf := range bufs {
		if !arena.Within(buf, b.opts.HostMemory.Bytes) {
			return false
		}
	}
	return true
}

// staged returns the staging buffer that stands for buf, with room for a
// trailer if values carry one. A store's is filled.
func (b *Bridge) staged(t *task, s *slot, i int, buf kv.Buffer) (kv.Buffer, error) {
	n := len(buf)
	if b.opts.Integrity != IntegrityOff {
		n += trailerSize
	}
	stage, err := b.stage.take(n)
	if err != nil {
		return nil, b.named(t.res.Kind, err)
	}
	s.foreign = append(s.foreign, foreign{i, buf, stage})
	out := stage.Bytes()[:n:n]
	if t.res.Kind == Store {
		copy(out, buf)
		if n > len(buf) {
			seal(out, s.batch.Key(i))
		}
	}
	b.stats.copiedBytes.Add(int64(len(buf)))
	return out, nil
}

// valueLen is the size of the caller's value in a buffer of a batch.
func (b *Bridge) valueLen(buf kv.Buffer) int64 {
	if b.opts.Integrity != IntegrityOff {
		return int64(len(buf) - trailerSize)
	}
	return int64(len(buf))
}
