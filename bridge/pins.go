package bridge

import (
	"github.com/zeebo/xxh3"

	"github.com/sixcall/sixcall/bridge/kv"
)

// pinLog keeps the pins of recent lookups as the lists of keys that they came in.
// An unlock mostly names the keys of one lookup, all of them or the first ones:
// then its list goes, and no key was hashed or looked up in the index. For any
// other unlock, for a delete, and when there are too many, all pins move to the
// index first. Each pin is in one of the two, and the order of pins does not
// matter, so nobody can tell the difference. Guarded by index.mu.
type pinLog struct {
	buckets [1024]*pinList
	keys    int        // in all lists
	spare   []*pinList // empty, for reuse
	room    int        // keys that the spare lists have room for
}

// pinList is the keys that one lookup pinned. At least one.
type pinList struct {
	next *pinList
	all  []kv.Key
	from int // all[:from] were unlocked
}

// maxLoggedPins bounds the log, in keys: what nobody unlocks belongs in the index,
// where an entry has no pointers for the garbage collector to follow.
// It bounds the memory of spare lists as well.
const maxLoggedPins = 1 << 16

// bucket returns where the list that begins with k belongs.
func (x *index) bucket(k *kv.Key) **pinList {
	return &x.recent.buckets[xxh3.HashStringSeed(k.ChunkHash, x.seed)&1023]
}

// pinAll pins keys, one pin for each position, and takes the slice over; it
// returns another one that is empty.
func (x *index) pinAll(keys []kv.Key) (empty []kv.Key) {
	if len(keys) == 0 {
		return keys
	}
	log := &x.recent
	if log.keys+len(keys) > maxLoggedPins {
		x.foldPins()
		if len(keys) > maxLoggedPins {
			x.pinEach(keys)
			return keys[:0]
		}
	}
	var l *pinList
	if n := len(log.spare); n > 0 {
		l, log.spare = log.spare[n-1], log.spare[:n-1]
		log.room -= cap(l.all)
	} else {
		l = &pinList{}
	}
	empty, l.all, l.from = l.all, keys, 0
	at := x.bucket(&keys[0])
	l.next, *at = *at, l
	log.keys += len(keys)
	x.pins += int64(len(keys))
	return empty
}

// unpinList takes the pins of keys if they are those of one list or its first
// ones; false if there is no such list.
func (x *index) unpinList(keys []kv.Key) bool {
	if x.recent.keys < len(keys) || len(keys) == 0 {
		return len(keys) == 0
	}
	for at := x.bucket(&keys[0]); *at != nil; at = &(*at).next {
		l := *at
		if !beginsWith(l.all[l.from:], keys) {
			continue
		}
		x.recent.keys -= len(keys)
		x.pins -= int64(len(keys))
		*at = l.next
		if l.from += len(keys); l.from < len(l.all) {
			to := x.bucket(&l.all[l.from])
			l.next, *to = *to, l
		} else {
			x.recent.release(l)
		}
		return true
	}
	return false
}

func beginsWith(all, head []kv.Key) bool {
	if len(all) < len(head) {
		return false
	}
	for i := range head {
		a, b := &all[i], &head[i]
		if a.ChunkHash != b.ChunkHash || a.KVRank != b.KVRank || a.ObjectGroup != b.ObjectGroup || a.Model != b.Model || a.Salt != b.Salt {
			return false
		}
	}
	return true
}

// release empties a list for reuse.
func (log *pinLog) release(l *pinList) {
	clear(l.all)
	l.all, l.next, l.from = l.all[:0], nil, 0
	if log.room+cap(l.all) <= maxLoggedPins {
		log.room += cap(l.all)
		log.spare = append(log.spare, l)
	}
}

// foldPins moves all pins to the index.
func (x *index) foldPins() {
	log := &x.recent
	if log.keys == 0 {
		return
	}
	for i, l := range log.buckets {
		for l != nil {
			next := l.next
			x.pins -= int64(len(l.all) - l.from) // pinEach counts them again
			x.pinEach(l.all[l.from:])
			log.release(l)
			l = next
		}
		log.buckets[i] = nil
	}
	log.keys = 0
}

func (x *index) pinEach(keys []kv.Key) {
	h := x.hasher()
	for i := range keys {
		x.pin(h.of(&keys[i]))
	}
}

// unlock takes one pin per key; keys without one are ignored.
func (x *index) unlock(keys []kv.Key) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.unpinList(keys) {
		return
	}
	x.foldPins()
	h := x.hasher()
	for i := range keys {
		x.unpin(h.of(&keys[i]))
	}
}
