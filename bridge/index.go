package bridge

import (
	"crypto/rand"
	"encoding/binary"
	"maps"
	"sync"
	"sync/atomic"

	"github.com/zeebo/xxh3"

	"github.com/sixcall/sixcall/bridge/kv"
)

// index remembers, per key: its size if it is stored, how many lookups pin it,
// and whether it is tainted. A key is known by a 128-bit hash with a secret seed, so an entry is 32 bytes without pointers and the garbage
// collector has nothing to scan. Safe for concurrent use through its mutex,
// which callers take once per batch.
type index struct {
	seed uint64
	// hiding is how many reasons there are to hide a key, taints and holds;
	// written under mu, read without it to skip the check that mostly finds
	// nothing.
	hiding atomic.Int64

	mu     sync.Mutex // guards what follows
	tables [64]table
	keys   int64 // accounted
	bytes  int64
	// reserved is what stores in flight may still add.
	reserved int64
	bySalt   map[string]int64
	tainted  int64 // keys
	pins     int64
	recent   pinLog // pins that are not in the tables yet
}

// hash names a key.
type hash = xxh3.Uint128

// entry is what the index knows of one key.
type entry struct {
	key  hash
	size int64 // bytes; valid if accounted
	pins int32
	// holds counts stores that were answered early and deletes, as long as the
	// connector has them: the key is hidden meanwhile.
	holds uint16
	flags uint8
	used  bool
}

const (
	accounted uint8 = 1 << iota // the backend holds it, as far as we know
	tainted                     // must not be served
)

func newIndex() *index {
	var seed [8]byte
	_, _ = rand.Read(seed[:])
	return &index{seed: binary.LittleEndian.Uint64(seed[:]), bySalt: map[string]int64{}}
}

// hasher makes the hashes of the keys of one batch. What such keys mostly share,
// all but the chunk hash, is hashed once and seeds the rest.
type hasher struct {
	seed   uint64
	prev   *kv.Key
	prefix uint64
}

func (x *index) hasher() hasher { return hasher{seed: x.seed} }

// of returns the hash of k, which must stay in place until the next call.
func (h *hasher) of(k *kv.Key) hash {
	if h.prev == nil || !k.SamePrefix(*h.prev) || k.Salt != h.prev.Salt {
		var buf [256]byte
		text := append(k.AppendPrefix(buf[:0]), k.Salt...)
		h.prefix = xxh3.HashSeed(text, h.seed)
	}
	h.prev = k
	return xxh3.HashString128Seed(k.ChunkHash, h.prefix)
}

func (x *index) table(h hash) *table { return &x.tables[h.Hi>>58] }

// find returns the entry of h or nil. It stays valid until the next put or drop.
func (x *index) find(h hash) *entry { return x.table(h).find(h) }

// put returns the entry of h, made if need be.
func (x *index) put(h hash) *entry { return x.table(h).put(h) }

// tidy drops the entry of h if it says nothing any more.
func (x *index) tidy(h hash, e *entry) {
	if e.pins == 0 && e.holds == 0 && e.flags == 0 {
		x.table(h).drop(h)
	}
}

// missing returns how many bytes a store of size would add.
func (x *index) missing(h hash, size int64) int64 {
	if e := x.find(h); e != nil && e.flags&accounted != 0 {
		return max(size-e.size, 0)
	}
	return size
}

// stored accounts a value and returns what it added: 0 when it was there with
// the same size, a negative number when it was larger.
func (x *index) stored(h hash, salt string, size int64) int64 {
	e := x.put(h)
	added := size
	if e.flags&accounted != 0 {
		added = size - e.size
	} else {
		e.flags |= accounted
		x.keys++
	}
	e.size = size
	x.add(salt, added)
	return added
}

// gone takes a value out of the accounts; false if it was not in.
func (x *index) gone(h hash, salt string) bool {
	e := x.find(h)
	if e == nil || e.flags&accounted == 0 {
		return false
	}
	e.flags &^= accounted
	x.keys--
	x.add(salt, -e.size)
	x.tidy(h, e)
	return true
}

func (x *index) add(salt string, bytes int64) {
	x.bytes += bytes
	if sum := x.bySalt[salt] + bytes; sum > 0 {
		x.bySalt[salt] = sum
	} else {
		delete(x.bySalt, salt)
	}
}

// pin adds one pin.
func (x *index) pin(h hash) {
	x.put(h).pins++
	x.pins++
}

// unpin takes one pin; keys without one are ignored.
func (x *index) unpin(h hash) {
	if e := x.find(h); e != nil && e.pins > 0 {
		e.pins--
		x.pins--
		x.tidy(h, e)
	}
}

func (x *index) pinned(h hash) bool {
	e := x.find(h)
	return e != nil && e.pins > 0
}

// hidden reports whether the key must not be served.
func (x *index) hidden(h hash) bool {
	e := x.find(h)
	return e != nil && (e.flags&tainted != 0 || e.holds > 0)
}

// hold hides a key until release.
func (x *index) hold(h hash) {
	x.put(h).holds++
	x.hiding.Add(1)
}

// release ends one hold.
func (x *index) release(h hash) {
	if e := x.find(h); e != nil && e.holds > 0 {
		e.holds--
		x.hiding.Add(-1)
		x.tidy(h, e)
	}
}

// taint hides a key until untaint.
func (x *index) taint(h hash) {
	if e := x.put(h); e.flags&tainted == 0 {
		e.flags |= tainted
		x.tainted++
		x.hiding.Add(1)
	}
}

// untaint shows a key again, unless it is held: then whoever ends the hold does.
func (x *index) untaint(h hash) {
	e := x.find(h)
	if e == nil || e.flags&tainted == 0 || e.holds > 0 {
		return
	}
	e.flags &^= tainted
	x.tainted--
	x.hiding.Add(-1)
	x.tidy(h, e)
}

func (x *index) usage(capacity int64) kv.Usage {
	x.mu.Lock()
	defer x.mu.Unlock()
	return kv.Usage{BytesUsed: x.bytes, BytesCapacity: capacity, Keys: x.keys, BytesBySalt: maps.Clone(x.bySalt)}
}
