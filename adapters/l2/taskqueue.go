package l2

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/sixcall/sixcall/bridge"
	"github.com/sixcall/sixcall/bridge/eventfd"
	"github.com/sixcall/sixcall/bridge/kv"
)

// taskQueue holds the finished tasks of one kind until the host takes them. It
// is the sink of those tasks. Safe for concurrent use.
type taskQueue struct {
	event *eventfd.Event
	fresh atomic.Bool // a result came since the last signal

	mu   sync.Mutex // guards done
	done resultTable
}

func (q *taskQueue) open() (err error) {
	if q.event, err = eventfd.New(); err != nil {
		return fmt.Errorf("make an event fd: %w", err)
	}
	return nil
}

func (q *taskQueue) close() {
	if q.event != nil {
		q.event.Close()
	}
}

// Done implements [bridge.Sink].
func (q *taskQueue) Done(r *bridge.Result) {
	q.mu.Lock()
	e := q.done.put(r.ID)
	e.bits, e.store = r.Bits, storeResult(r)
	q.mu.Unlock()
	q.fresh.Store(true)
}

// Flush implements [bridge.Flusher]: each result is there before its signal, and
// results that came together have one.
func (q *taskQueue) Flush() {
	if q.fresh.Load() && q.fresh.Swap(false) {
		q.event.Signal()
	}
}

func (q *taskQueue) pop(id kv.TaskID) (kv.Bitmap, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e := q.done.find(id)
	if e == nil {
		return kv.Bitmap{}, false
	}
	bits := e.bits
	q.done.drop(id)
	return bits, true
}

func (q *taskQueue) popAll() map[kv.TaskID]kv.StoreResult {
	q.mu.Lock()
	defer q.mu.Unlock()
	results := make(map[kv.TaskID]kv.StoreResult, q.done.count)
	if q.done.count == 0 {
		return results
	}
	for i := range q.done.slots {
		if e := &q.done.slots[i]; e.used {
			results[e.id] = e.store
			*e = finished{}
		}
	}
	q.done.count = 0
	return results
}

// finished is a result that nobody has taken.
type finished struct {
	id    kv.TaskID
	used  bool
	store kv.StoreResult
	bits  kv.Bitmap
}

// resultTable is an open-addressed hash table of results by task: linear probing,
// a power of two long, at most half full, deletion by shifting back. Ids count up,
// so their low bits are the position and mostly hit nothing. It does not shrink,
// and allocates only when there are more results than ever before.
type resultTable struct {
	slots []finished
	count int
}

func (t *resultTable) home(id kv.TaskID) int { return int(id) & (len(t.slots) - 1) }

// find returns the entry of id or nil. It stays valid until the next put or drop.
func (t *resultTable) find(id kv.TaskID) *finished {
	if t.count == 0 {
		return nil
	}
	for i := t.home(id); t.slots[i].used; i = (i + 1) & (len(t.slots) - 1) {
		if t.slots[i].id == id {
			return &t.slots[i]
		}
	}
	return nil
}

// put returns a new entry for id, which is not in the table.
func (t *resultTable) put(id kv.TaskID) *finished {
	if 2*(t.count+1) > len(t.slots) {
		old := t.slots
		t.slots = make([]finished, max(64, 2*len(old)))
		for i := range old {
			if old[i].used {
				*t.vacant(old[i].id) = old[i]
			}
		}
	}
	t.count++
	e := t.vacant(id)
	e.id, e.used = id, true
	return e
}

func (t *resultTable) vacant(id kv.TaskID) *finished {
	i := t.home(id)
	for t.slots[i].used {
		i = (i + 1) & (len(t.slots) - 1)
	}
	return &t.slots[i]
}

// drop removes the entry of id, which is in the table, and closes the gap, so that
// no probe stops short.
func (t *resultTable) drop(id kv.TaskID) {
	mask := len(t.slots) - 1
	gap := t.home(id)
	for t.slots[gap].id != id || !t.slots[gap].used {
		gap = (gap + 1) & mask
	}
	for i := (gap + 1) & mask; t.slots[i].used; i = (i + 1) & mask {
		// An entry may move into the gap unless its home lies cyclically after it.
		if home := t.home(t.slots[i].id); (i-home)&mask >= (i-gap)&mask {
			t.slots[gap] = t.slots[i]
			gap = i
		}
	}
	t.slots[gap] = finished{}
	t.count--
}
