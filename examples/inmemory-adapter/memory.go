package inmemory

import (
	"bytes"
	"container/list"
	"sync"

	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/bridge/kv"
)

// memory is the storage: values in the order in which they came. When it is full
// the oldest goes, unless a lookup holds it. Safe for concurrent use.
type memory struct {
	capacity int64 // bytes
	accounts *l2.Accounting

	mu     sync.Mutex // guards what follows; accounts are kept under it
	queue  *list.List // of *entry, the oldest first
	byKey  map[kv.Key]*list.Element
	used   int64 // bytes
	pinned int64 // of used, bytes of entries with pins
}

type entry struct {
	key   kv.Key
	value []byte
	pins  int
}

func (e *entry) size() int64 { return int64(len(e.value)) }

func newMemory(capacity int64, accounts *l2.Accounting) *memory {
	return &memory{capacity: capacity, accounts: accounts, queue: list.New(), byKey: map[kv.Key]*list.Element{}}
}

// store copies what is new, and makes room for it. A value above the capacity is
// skipped. ok is false when a value did not fit because pinned ones are in the
// way; the others of the batch are stored all the same.
func (m *memory) store(keys []kv.Key, values []kv.Buffer) (added int64, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ok = true
	var stored []kv.Key
	var sizes []int64
	account := func() {
		_ = m.accounts.Stored(stored, sizes) // as many of one as of the other
		stored, sizes = stored[:0], sizes[:0]
	}
	for i, key := range keys {
		size := int64(len(values[i]))
		if m.byKey[key] != nil || size > m.capacity {
			continue
		}
		if m.used+size > m.capacity {
			account() // what goes may have come with this batch
			if !m.evict(size) {
				ok = false
				continue
			}
		}
		m.byKey[key] = m.queue.PushBack(&entry{key: key, value: bytes.Clone(values[i])})
		m.used += size
		added += size
		stored, sizes = append(stored, key), append(sizes, size)
	}
	account()
	return added, ok
}

// evict makes room for size bytes, from the oldest entry on. A pinned one moves
// to the end of the queue. When the pinned ones leave too little room nothing is
// evicted.
func (m *memory) evict(size int64) bool {
	if m.pinned+size > m.capacity {
		return false
	}
	for m.used+size > m.capacity {
		oldest := m.queue.Front()
		if oldest.Value.(*entry).pins > 0 {
			m.queue.MoveToBack(oldest)
			continue
		}
		m.remove(oldest)
	}
	return true
}

// remove takes an entry out and accounts that. m.mu is held.
func (m *memory) remove(at *list.Element) {
	e := m.queue.Remove(at).(*entry)
	delete(m.byKey, e.key)
	m.used -= e.size()
	_ = m.accounts.Deleted([]kv.Key{e.key}, []int64{e.size()})
}

// lookup pins what is there, once per position.
func (m *memory) lookup(keys []kv.Key) kv.Bitmap {
	bits := kv.NewBitmap(len(keys))
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, key := range keys {
		if at := m.byKey[key]; at != nil {
			m.pin(at.Value.(*entry), 1)
			bits.Set(i)
		}
	}
	return bits
}

// unlock takes one pin per key.
func (m *memory) unlock(keys []kv.Key) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, key := range keys {
		if at := m.byKey[key]; at != nil && at.Value.(*entry).pins > 0 {
			m.pin(at.Value.(*entry), -1)
		}
	}
}

func (m *memory) pin(e *entry, change int) {
	was := e.pins
	e.pins += change
	switch {
	case was == 0:
		m.pinned += e.size()
	case e.pins == 0:
		m.pinned -= e.size()
	}
}

// load copies the values whose size is that of their buffer, and returns their
// bytes.
func (m *memory) load(keys []kv.Key, bufs []kv.Buffer) (bits kv.Bitmap, loaded int64) {
	bits = kv.NewBitmap(len(keys))
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, key := range keys {
		at := m.byKey[key]
		if at == nil || len(at.Value.(*entry).value) != len(bufs[i]) {
			continue
		}
		loaded += int64(copy(bufs[i], at.Value.(*entry).value))
		bits.Set(i)
	}
	m.accounts.Accessed(kv.Gather(&bits, keys))
	return bits, loaded
}

// delete removes what is not pinned.
func (m *memory) delete(keys []kv.Key) (r kv.DeleteResult) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, key := range keys {
		switch at := m.byKey[key]; {
		case at == nil:
			r.Absent++
		case at.Value.(*entry).pins > 0:
			r.Pinned++
		default:
			m.remove(at)
			r.Deleted++
		}
	}
	return r
}

// usage returns bytes and keys of one moment.
func (m *memory) usage() kv.Usage {
	m.mu.Lock()
	defer m.mu.Unlock()
	u := m.accounts.Usage()
	u.Keys = int64(m.queue.Len())
	return u
}
