package bridge

import (
	"fmt"
	"math"

	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/kv"
)

// phase is where a slot is in its life. Guarded by Bridge.slotMu.
type phase uint8

const (
	free     phase = iota
	encoding       // being filled, or waiting in the backlog
	inFlight       // the connector has it
	done           // completed; its task waits for its other slots
)

// slot is one batch: its memory outside the Go heap, and what the bridge has to
// remember about it. The ticket is its index and a generation, so that a
// completion finds it without a map and a stale one is recognised.
type slot struct {
	index uint32
	gen   uint32
	phase phase
	task  *task
	batch kv.Batch
	mem   *arena.Block

	first int     // index of its first key in the task, or in keep
	keep  []int   // where its keys stand in the task; nil = first, first+1, ...
	rc    kv.Code // of the completion
	// text of a failure that the connector did not write into the batch
	text string

	bufs []kv.Buffer
	lent []*arena.Block // blocks of bufs, one loan each
	// foreign lists the caller's buffers that were staged, by position.
	foreign []foreign
	hashes  []hash // of the keys, for the index; empty until somebody asks
	// ends is the memory of batch.Ends. It lies on the Go heap, because the bridge
	// reads it after the connector had the batch: nobody else may write it.
	ends []uint32
	// status is the memory of batch.Status once the batch has completed.
	status []byte
	// hidden marks keys that were hidden at submit; nil when there were none.
	hidden []bool
}

// foreign is a buffer of the caller that a staging block stands for.
type foreign struct {
	at    int // position in the slot
	buf   kv.Buffer
	stage *arena.Block
}

// maxGen keeps tickets below 1<<63: the tickets above are the connectors' own.
const maxGen = 1<<31 - 1

// at returns where key i of the slot stands in its task.
func (s *slot) at(i int) int {
	if s.keep != nil {
		return s.keep[i]
	}
	return s.first + i
}

func (s *slot) ticket() uint64 { return uint64(s.gen)<<32 | uint64(s.index) }

// encode fills the batch with keys[i] at position i, whose texts have at most text
// bytes. The memory of the slot grows when it must and is kept for the slot's next
// batch.
//
// raw names keys by their ChunkHash alone, lengths asks for the stored sizes.
func (s *slot) encode(a *arena.Arena, op kv.Op, keys []kv.Key, text int, raw, lengths bool) error {
	n := len(keys)
	s.hashes = s.hashes[:0]
	// Layout: err, scratch, status, lengths, key text; each 8-byte aligned.
	scratch := kv.ErrBlockSize
	status := scratch + kv.ScratchBase + n*kv.ScratchPerKey
	lens := status + align8(n)
	keyText := lens
	if lengths {
		keyText += 8 * n
	}
	if need := keyText + text; s.mem == nil || len(s.mem.Bytes()) < need {
		size := 2 * arena.PageSize
		for size < need {
			size *= 2
		}
		mem, err := a.Alloc(size)
		if err != nil {
			return err
		}
		if s.mem != nil {
			s.mem.Release()
		}
		s.mem = mem
	}
	if cap(s.ends) < n {
		s.ends = make([]uint32, n, max(2*cap(s.ends), n))
	}
	m := s.mem.Bytes()
	b := &s.batch
	*b = kv.Batch{
		Op:      op,
		Err:     m[:kv.ErrBlockSize:kv.ErrBlockSize],
		Scratch: m[scratch:status:status],
		Ends:    s.ends[:n],
		Status:  m[status : status+n : status+n],
	}
	b.Err.Reset()
	for rest := b.Status; len(rest) > 0; {
		rest = rest[copy(rest, unset[:]):]
	}
	if lengths {
		b.ValueLens = arena.Uint64s(m[lens:keyText])
		for i := range b.ValueLens {
			b.ValueLens[i] = math.MaxUint64
		}
	}
	var err error
	if out := m[keyText:keyText:len(m)]; raw {
		b.Keys, err = rawTexts(out, keys, b.Ends)
	} else {
		b.Keys, err = kv.AppendTexts(out, keys, b.Ends)
	}
	return err
}

// unset is what the status bytes of a batch begin as.
var unset = func() (bytes [1024]byte) {
	for i := range bytes {
		bytes[i] = kv.StatusUnset
	}
	return bytes
}()

// rawTexts is kv.AppendTexts for keys that are named by their ChunkHash.
func rawTexts(out []byte, keys []kv.Key, ends []uint32) ([]byte, error) {
	for i := range keys {
		k := &keys[i]
		if k.ChunkHash == "" || *k != (kv.Key{ChunkHash: k.ChunkHash}) {
			return out, &kv.Error{Op: "key", Code: kv.Invalid, Err: fmt.Errorf("key %q has more or less than a ChunkHash, and keys are raw", k)}
		}
		out = append(out, k.ChunkHash...)
		ends[i] = uint32(len(out))
	}
	return out, nil
}

// textLen returns how many bytes of text keys have at most, all and the longest.
func textLen(keys []kv.Key) (all, longest int) {
	for i := range keys {
		k := &keys[i]
		n := len(k.Model) + 2*len(k.ChunkHash) + len(k.Salt)
		all += n
		longest = max(longest, n)
	}
	most := (kv.Key{}).MaxTextLen() // of what keys of any text have
	return all + len(keys)*most, longest + most
}

// hashed returns the hashes of the keys of a slot. keys are those of its task.
func (s *slot) hashed(x *index, keys []kv.Key) []hash {
	n := s.batch.Len()
	if len(s.hashes) == n {
		return s.hashes
	}
	h := x.hasher()
	for i := range n {
		s.hashes = append(s.hashes, h.of(&keys[s.at(i)]))
	}
	return s.hashes
}

func align8(n int) int { return (n + 7) &^ 7 }
