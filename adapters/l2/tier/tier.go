package tier

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/kv"
)

// Tier is an ordered set of L2 adapters. Safe for concurrent use.
type Tier struct {
	opts     Options
	arena    *arena.Arena
	ownArena bool
	log      *zap.Logger

	slots gate // prefetches
	room  gate // bytes of loads
	// ops counts calls of the host that have passed the closed check.
	ops    refs
	stats  tierStats
	events *feed

	// reading and writing end when lookups and loads, and stores and deletes,
	// have to be answered because the tier closes.
	reading, writing         context.Context
	stopReading, stopWriting context.CancelFunc

	// adding makes one Add finish before the next, so that ids are the order of
	// the members. Lock order: adding, then mu; all others are leaves.
	adding sync.Mutex
	// mu guards what follows and the state of members. No member is called
	// under it.
	mu      sync.RWMutex
	members []*member // by id, which is their order
	// gone has members that were closed after the removal that asked for it had
	// given up, until it asks again.
	gone   map[int]*member
	nextID int
	closed bool

	closing  sync.Once
	closeErr error
}

// New returns a tier without members. It is ended by [Tier.Close].
func New(opts Options) *Tier {
	opts = opts.withDefaults()
	t := &Tier{opts: opts, arena: opts.Arena, log: opts.Logger, events: newFeed(opts.EventBuffer), gone: map[int]*member{}}
	if t.arena == nil {
		// The zero options are valid, and memory is mapped when it is needed.
		t.arena, _ = arena.New(arena.Options{})
		t.ownArena = true
	}
	t.slots.limit, t.room.limit = int64(opts.MaxInFlight), opts.MaxLoadBytes
	t.reading, t.stopReading = context.WithCancel(context.Background())
	t.writing, t.stopWriting = context.WithCancel(context.Background())
	return t
}

// Arena returns the memory of prefetched values. Members built with it transfer
// without a copy.
func (t *Tier) Arena() *arena.Arena { return t.arena }

// Add puts a member at the end of the order and returns its id: ids count from 0
// and are never reused. From success on the tier owns m, which must not be in a
// tier already. It gets the requests that come from now on; what was stored
// before is not copied to it.
//
// Errors: [kv.Invalid] (no member, or an empty name), [kv.Closed].
func (t *Tier) Add(name string, m Member, opts MemberOptions) (id int, err error) {
	if m == nil || name == "" {
		return -1, fail("add", kv.Invalid, "name is %q and member is %T, want both", name, m)
	}
	limit := t.opts.MaxStoreBytes
	if opts.MaxStoreBytes != 0 {
		limit = max(opts.MaxStoreBytes, 0)
	}
	added := &member{
		Member: m, name: name, opts: opts, zeroCopy: m.Arena() == t.arena,
		storeRoom: gate{limit: limit}, state: Live, closed: make(chan struct{}),
	}
	if !t.publish(added) {
		return -1, &kv.Error{Op: "add", Connector: name, Code: kv.Closed}
	}
	t.log.Info("member added", zap.String("member", name), zap.Int("id", added.id))
	if !added.zeroCopy {
		t.log.Warn("member has an arena of its own: its values are copied", zap.String("member", name))
	}
	return added.id, nil
}

// publish gives a member its id and lets requests see it; false if Close has
// begun.
func (t *Tier) publish(m *member) bool {
	t.adding.Lock()
	defer t.adding.Unlock()
	t.mu.RLock()
	m.id = t.nextID // nobody else changes it
	closed := t.closed
	t.mu.RUnlock()
	if closed {
		return false
	}
	t.listen(m) // before there is anything to hear
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.nextID++
	t.members = append(t.members, m)
	return true
}

// Remove takes a member out of the tier: it gets no new work, what is in flight
// completes, and then it is closed, once. The error of that close is returned.
//
// When ctx ends first, the error matches [kv.Timeout] or [kv.Cancelled]; the
// member stays draining (or closing), and Remove may be called again to wait on.
// An id that was never given out, or whose removal was answered, is
// [kv.Invalid].
func (t *Tier) Remove(ctx context.Context, id int) error {
	t.mu.Lock()
	m := t.find(id)
	if m == nil {
		t.mu.Unlock()
		return fail("remove", kv.Invalid, "there is no member with id %d", id)
	}
	first := m.state == Live
	if first {
		m.state = Draining
	}
	t.mu.Unlock()
	if first {
		t.log.Info("member is draining", zap.String("member", m.name), zap.Int("id", id))
	}
	if err := m.uses.wait(ctx); err != nil {
		return &kv.Error{Op: "remove", Connector: m.name, Code: codeOf(ctx), Err: err}
	}
	t.retire(m)
	select {
	case <-m.closed:
		t.mu.Lock()
		delete(t.gone, id)
		t.mu.Unlock()
		return m.closeErr
	case <-ctx.Done():
		return &kv.Error{Op: "remove", Connector: m.name, Code: codeOf(ctx), Err: ctx.Err()}
	}
}

// retire closes a member in the background and takes it off the list after it.
func (t *Tier) retire(m *member) {
	m.closing.Do(func() {
		t.mu.Lock()
		m.state = Closing
		t.mu.Unlock()
		go func() {
			m.closeErr = m.Close()
			t.mu.Lock()
			if i := slices.Index(t.members, m); i >= 0 {
				t.members = slices.Delete(t.members, i, i+1)
				t.gone[m.id] = m
			}
			t.mu.Unlock()
			t.log.Info("member closed", zap.String("member", m.name), zap.Int("id", m.id), zap.Error(m.closeErr))
			close(m.closed)
		}()
	})
}

// find returns a member, also one that was just closed, or nil. t.mu is held.
func (t *Tier) find(id int) *member {
	for _, m := range t.members {
		if m.id == id {
			return m
		}
	}
	return t.gone[id]
}

// acquire returns the live members that fit, in order. Each counts as used; the
// caller ends the uses.
func (t *Tier) acquire(fits func(*member) bool) []*member {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var out []*member
	for _, m := range t.members {
		if m.state == Live && (fits == nil || fits(m)) {
			m.uses.add(1)
			out = append(out, m)
		}
	}
	return out
}

// enter counts a call of the host in, unless Close has begun.
func (t *Tier) enter(op string) error {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.closed {
		return &kv.Error{Op: op, Connector: "tier", Code: kv.Closed}
	}
	t.ops.add(1)
	return nil
}

// Close ends the tier and its members. Calls fail with [kv.Closed] from now on,
// and lookups and prefetches in flight, queued ones included, are answered so at
// once. Stores and deletes in flight may run for CloseGrace. Then the members
// are closed in order, each whether or not another one failed; their errors are
// joined.
//
// An error that matches [kv.Stuck] names a member with calls that did not return
// even so. What they hold stays lent for ever. Further calls return the same
// result.
func (t *Tier) Close() error {
	t.closing.Do(func() { t.closeErr = t.shutdown() })
	return t.closeErr
}

func (t *Tier) shutdown() error {
	t.mu.Lock()
	t.closed = true
	members := slices.Clone(t.members)
	t.mu.Unlock()
	t.stopReading()
	idle := func(ctx context.Context) {
		_ = t.ops.wait(ctx)
		for _, m := range members {
			_ = m.uses.wait(ctx)
		}
	}
	bounded(t.opts.CloseGrace, idle)
	t.stopWriting()

	var errs []error
	for _, m := range members {
		t.retire(m)
		<-m.closed
		if m.closeErr != nil {
			errs = append(errs, &kv.Error{Op: "close", Connector: m.name, Code: codeIn(m.closeErr), Err: m.closeErr})
		}
	}
	// The members have answered; their goroutines need a moment to see it.
	bounded(max(t.opts.CloseGrace, time.Second), idle)
	for _, m := range members {
		if n := m.uses.count(); n > 0 {
			errs = append(errs, m.errorf("close", kv.Stuck, "%d calls have not returned", n))
		}
	}
	t.events.close()
	if t.ownArena {
		// Values that the host has not released keep it; that is no error.
		_ = t.arena.Close()
	}
	return errors.Join(errs...)
}

// bounded runs f with a deadline.
func bounded(limit time.Duration, f func(context.Context)) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	f(ctx)
}

// codeIn is the code of an error, if it has one.
func codeIn(err error) kv.Code {
	var e *kv.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return kv.Internal
}
