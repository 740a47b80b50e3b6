package eviction

import (
	"strings"

	"github.com/sixcall/sixcall/bridge/kv"
)

// families gives a number to each combination of the fields of a key other than
// its chunk hash. There are few: models times ranks times groups times salts.
type families struct {
	ids  map[kv.Key]uint32 // by key without chunk hash
	all  []family
	free []uint32
	last kv.Key // the one asked for last: keys of a batch mostly share it
	id   uint32
	ok   bool
}

type family struct {
	key  kv.Key
	keys int // nodes of this family
}

func newFamilies() families { return families{ids: map[kv.Key]uint32{}} }

func (f *families) find(k *kv.Key) (id uint32, ok bool) {
	if f.ok && f.last.Salt == k.Salt && f.last.SamePrefix(*k) {
		return f.id, true
	}
	bare := *k
	bare.ChunkHash = ""
	if id, ok = f.ids[bare]; ok {
		f.last, f.id, f.ok = f.all[id].key, id, true
	}
	return id, ok
}

// intern returns the number of k's family, given if it has none. Without a key
// that uses it, it must not stay.
func (f *families) intern(k *kv.Key) uint32 {
	if id, ok := f.find(k); ok {
		return id
	}
	own := kv.Key{Model: strings.Clone(k.Model), KVRank: k.KVRank, ObjectGroup: k.ObjectGroup, Salt: strings.Clone(k.Salt)}
	var id uint32
	if n := len(f.free); n > 0 {
		id, f.free = f.free[n-1], f.free[:n-1]
		f.all[id] = family{key: own}
	} else {
		id = uint32(len(f.all))
		f.all = append(f.all, family{key: own})
	}
	f.ids[own] = id
	f.last, f.id, f.ok = own, id, true
	return id
}

// release takes one key out of a family and forgets it after the last.
func (f *families) release(id uint32) {
	member := &f.all[id]
	if member.keys--; member.keys > 0 {
		return
	}
	delete(f.ids, member.key)
	if f.id == id {
		f.ok, f.last = false, kv.Key{}
	}
	*member = family{}
	f.free = append(f.free, id)
}
