package eviction

import (
	"hash/maphash"
	"strings"

	"github.com/sixcall/sixcall/bridge/kv"
)

const (
	// none is the number of no node.
	none = 0
	// inlineHash is the longest chunk hash that fits into a node, in bytes.
	// Hosts use 32 (SHA-256, BLAKE3) or less.
	inlineHash = 32
	// longHash marks a node whose chunk hash is in tracker.long.
	longHash = 255

	pageLen  = 1024
	minSlots = 64 // a power of two
)

// node is one tracked key: 64 bytes without a pointer, so that a million of them
// are nothing to the garbage collector.
type node struct {
	size       int64  // bytes, 0 = unknown
	prev, next uint32 // in the list; next also chains free nodes
	family     uint32 // all fields of the key but its chunk hash
	list       uint32 // which list of the policy
	tag        uint32 // hash of the key
	hashLen    uint8
	flags      uint8 // the policy's
	hash       [inlineHash]byte
}

// slot is one place of the hash table; node none = empty.
type slot struct{ tag, node uint32 }

// tracker remembers keys for a policy: a hash table of node numbers, and nodes
// that lie in pages and hang in lists by number. One goroutine.
type tracker struct {
	seed  maphash.Seed
	slots []slot // linear probing, at most 3/4 full, deletion by shifting back
	keys  int
	pages []*[pageLen]node
	made  uint32 // nodes in use or free; node 0 stands for none
	free  uint32
	long  map[uint32]string // chunk hashes longer than inlineHash

	families families
}

func newTracker() tracker {
	return tracker{seed: maphash.MakeSeed(), slots: make([]slot, minSlots), families: newFamilies()}
}

// node returns a node by number. It stays where it is while the key is tracked.
func (t *tracker) node(at uint32) *node { return &t.pages[at/pageLen][at%pageLen] }

// find returns the node of k, or none.
func (t *tracker) find(k *kv.Key) uint32 {
	family, ok := t.families.find(k)
	if !ok {
		return none
	}
	return t.probe(k, family, t.tag(k, family))
}

// insert returns the node of k, made when k is new. A new node is in no list.
func (t *tracker) insert(k *kv.Key) (at uint32, fresh bool) {
	family := t.families.intern(k)
	tag := t.tag(k, family)
	if at = t.probe(k, family, tag); at != none {
		return at, false
	}
	if (t.keys+1)*4 > len(t.slots)*3 {
		t.grow()
	}
	at = t.alloc()
	n := t.node(at)
	*n = node{family: family, tag: tag, hashLen: longHash}
	if len(k.ChunkHash) <= inlineHash {
		n.hashLen = uint8(copy(n.hash[:], k.ChunkHash))
	} else {
		if t.long == nil {
			t.long = map[uint32]string{}
		}
		t.long[at] = strings.Clone(k.ChunkHash)
	}
	t.families.all[family].keys++
	t.place(slot{tag, at})
	t.keys++
	return at, true
}

// drop forgets a node, which is in no list any more.
func (t *tracker) drop(at uint32) {
	n := t.node(at)
	t.clear(n.tag, at)
	t.keys--
	if n.hashLen == longHash {
		delete(t.long, at)
	}
	t.families.release(n.family)
	n.next, t.free = t.free, at
}

// key returns the key of a node. It allocates the chunk hash.
func (t *tracker) key(at uint32) kv.Key {
	n := t.node(at)
	k := t.families.all[n.family].key
	if n.hashLen == longHash {
		k.ChunkHash = t.long[at]
	} else {
		k.ChunkHash = string(n.hash[:n.hashLen])
	}
	return k
}

func (t *tracker) alloc() uint32 {
	if at := t.free; at != none {
		t.free = t.node(at).next
		return at
	}
	t.made++
	if int(t.made/pageLen) == len(t.pages) {
		t.pages = append(t.pages, new([pageLen]node))
	}
	return t.made
}

func (t *tracker) tag(k *kv.Key, family uint32) uint32 {
	h := maphash.String(t.seed, k.ChunkHash) ^ uint64(family)*0x9e3779b97f4a7c15
	return uint32(h ^ h>>32)
}

// probe looks for a key of a family.
func (t *tracker) probe(k *kv.Key, family, tag uint32) uint32 {
	mask := uint32(len(t.slots) - 1)
	for i := tag & mask; ; i = (i + 1) & mask {
		s := t.slots[i]
		if s.node == none {
			return none
		}
		if s.tag == tag && t.is(s.node, k, family) {
			return s.node
		}
	}
}

func (t *tracker) is(at uint32, k *kv.Key, family uint32) bool {
	n := t.node(at)
	if n.family != family {
		return false
	}
	if n.hashLen == longHash {
		return t.long[at] == k.ChunkHash
	}
	return string(n.hash[:n.hashLen]) == k.ChunkHash
}

func (t *tracker) place(s slot) {
	mask := uint32(len(t.slots) - 1)
	i := s.tag & mask
	for t.slots[i].node != none {
		i = (i + 1) & mask
	}
	t.slots[i] = s
}

// clear empties the slot of a node and closes the gap.
func (t *tracker) clear(tag, at uint32) {
	mask := uint32(len(t.slots) - 1)
	i := tag & mask
	for t.slots[i].node != at {
		i = (i + 1) & mask
	}
	for j := (i + 1) & mask; t.slots[j].node != none; j = (j + 1) & mask {
		// The entry at j may move to i unless its home lies between them.
		if home := t.slots[j].tag & mask; (j-home)&mask >= (j-i)&mask {
			t.slots[i] = t.slots[j]
			i = j
		}
	}
	t.slots[i] = slot{}
}

func (t *tracker) grow() {
	old := t.slots
	t.slots = make([]slot, 2*len(old))
	for _, s := range old {
		if s.node != none {
			t.place(s)
		}
	}
}
