package tier

import (
	"context"
	"errors"
	"fmt"

	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/kv"
)

// StoreResult is the outcome of a store.
type StoreResult struct {
	// Everywhere has one bit per key: every member that takes stores has the
	// value. It is what a host waits for before it drops its own copy (LMCache's
	// policy skip_l1). All zero without such a member.
	Everywhere kv.Bitmap
	// Members says what each member did, in their order.
	Members []MemberStore
}

// MemberStore is one member's part in a store.
type MemberStore struct {
	ID   int
	Name string
	// Stored has one bit per key that the member is known to have stored.
	Stored kv.Bitmap
	// Bytes is what was added to the member's usage.
	Bytes int64
	// Dropped says that the store was not tried because too many bytes were on
	// their way, or because loads were waiting.
	Dropped bool
	// Err is the first failure, nil if every key was stored.
	Err error
}

// Store stores values[i] under keys[i] at every member that is not read-only:
// one task per model and rank and member, whatever the sizes. A member that
// fails, or that is dropped because of MaxStoreBytes, does not affect the others.
//
// # Ownership
//
// Keys are copied. Values are read until Store returns. After an error that
// matches [kv.Timeout], [kv.Cancelled] or [kv.Closed], or when a member's Err
// does, values in the arena may still be lent, and are then quarantined: see
// package arena. With values in other memory Store does not return before all
// members have.
//
// # Errors
//
// An error is about the request: [kv.Invalid] (no keys, unequal lengths, an
// illegal key), [kv.Cancelled] or [kv.Timeout] (ctx ended; the result has what
// was stored by then), [kv.Closed]. What the members did is in the result.
//
// Store is safe for concurrent use. It waits for the slowest member or its
// deadline.
func (t *Tier) Store(ctx context.Context, keys []kv.Key, values []kv.Buffer) (*StoreResult, error) {
	const op = "store"
	res := &StoreResult{Everywhere: kv.NewBitmap(len(keys))}
	if err := checkStore(keys, values); err != nil {
		return res, &kv.Error{Op: op, Connector: "tier", Code: kv.Invalid, Err: err}
	}
	if err := t.enter(op); err != nil {
		return res, err
	}
	defer t.ops.done()
	run, cancel := scope(ctx, t.writing)
	defer cancel()
	if err := over(run, t.writing, op); err != nil {
		return res, err
	}
	t.stats.stores.Add(1)
	t.stats.storing.Add(1)
	defer t.stats.storing.Add(-1)
	t.storeAll(run, res, t.tasks(keys, values))
	return res, over(run, t.writing, op)
}

func checkStore(keys []kv.Key, values []kv.Buffer) error {
	if len(keys) == 0 {
		return errors.New("keys list is empty, want 1 key or more")
	}
	if len(keys) != len(values) {
		return fmt.Errorf("%d keys and %d values, want one value per key", len(keys), len(values))
	}
	return checkKeys(keys)
}

// task is the part of a store that goes to a member in one call.
type task struct {
	at     []int // positions in the request
	keys   []kv.Key
	values []kv.Buffer
	blocks []*arena.Block
	bytes  int64
	// foreign says that a value is not memory of the arena: it cannot be lent.
	foreign bool
}

// tasks groups a store by model and rank, in order of appearance.
func (t *Tier) tasks(keys []kv.Key, values []kv.Buffer) []*task {
	type group struct {
		model string
		rank  int64
	}
	var order []*task
	groups := map[group]*task{}
	for i, k := range keys {
		id := group{k.Model, k.KVRank}
		g := groups[id]
		if g == nil {
			g = &task{}
			groups[id] = g
			order = append(order, g)
		}
		g.at = append(g.at, i)
		g.keys = append(g.keys, k)
		g.values = append(g.values, values[i])
		g.bytes += int64(len(values[i]))
		if b := t.arena.BlockOf(values[i]); b != nil {
			g.blocks = append(g.blocks, b)
		} else if len(values[i]) > 0 {
			g.foreign = true
		}
	}
	return order
}

// stored is the answer of one store task.
type stored struct {
	bits  kv.Bitmap
	bytes int64
	err   error
}

// storeAll runs every task at every member and waits for the answers.
func (t *Tier) storeAll(run context.Context, res *StoreResult, tasks []*task) {
	phase, cancel := within(run, t.opts.Deadlines.Store)
	defer cancel()
	members := t.acquire(writable)
	res.Members = make([]MemberStore, len(members))
	calls := make([][]*call[stored], len(members))
	for i, m := range members {
		res.Members[i] = MemberStore{ID: m.id, Name: m.name, Stored: kv.NewBitmap(res.Everywhere.Len())}
		calls[i] = t.startStores(phase, m, tasks)
	}
	for i, m := range members {
		report := &res.Members[i]
		if calls[i] == nil {
			report.Dropped = true
			report.Err = m.errorf("store", kv.Busy, "dropped: too many bytes are in flight")
			continue
		}
		for j, task := range tasks {
			t.awaitStore(run, phase, m, task, calls[i][j], report)
		}
	}
	if len(members) == 0 {
		return
	}
	res.Everywhere.SetRange(0, res.Everywhere.Len())
	for i := range res.Members {
		res.Everywhere = res.Everywhere.And(&res.Members[i].Stored)
	}
}

// startStores starts all tasks at one member, or returns nil when they are
// dropped. The use of the member that the caller holds ends with them.
func (t *Tier) startStores(phase context.Context, m *member, tasks []*task) []*call[stored] {
	defer m.uses.done()
	var bytes int64
	for _, task := range tasks {
		bytes += task.bytes
	}
	if _, waiting := t.room.level(); waiting > 0 || !m.storeRoom.tryEnter(bytes) {
		m.stats.storesDropped.Add(1)
		m.stats.bytesDropped.Add(bytes)
		return nil
	}
	calls := make([]*call[stored], len(tasks))
	for i, task := range tasks {
		m.uses.add(1)
		for _, b := range task.blocks {
			b.Lend()
		}
		calls[i] = begin(func() stored {
			s := m.storeKeys(phase, task.keys, task.values)
			m.storeRoom.leave(task.bytes)
			m.uses.done()
			return s
		}, func(stored) {
			for _, b := range task.blocks {
				b.Pardon()
			}
			task.endLoans()
			m.stats.strays.Add(-1)
		})
	}
	return calls
}

func (g *task) endLoans() {
	for _, b := range g.blocks {
		b.Return()
	}
}

// awaitStore waits for one task at one member. A call whose values are all
// memory of the arena can be left; they are in quarantine until it returns.
func (t *Tier) awaitStore(run, phase context.Context, m *member, g *task, c *call[stored], report *MemberStore) {
	patience := phase
	if g.foreign {
		patience = context.Background()
	}
	s, ok := c.wait(patience)
	if ok {
		g.endLoans()
		report.Stored.SetAll(kv.Gather(&s.bits, g.at)...)
		report.Bytes += s.bytes
	} else {
		for _, b := range g.blocks {
			b.Quarantine()
		}
		m.stats.strays.Add(1)
		s.bits, s.err = kv.NewBitmap(len(g.keys)), m.silent(run, "store", t.opts.Deadlines.Store)
	}
	if report.Err == nil {
		report.Err = s.err
	}
	m.stats.store(&s, g)
	t.watch(run, m, classStore, s.err)
}
