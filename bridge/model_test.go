package bridge_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sixcall/sixcall/bridge"
	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
)

// TestModel drives a bridge over a connector that fails in every way the
// contract knows, and compares what it serves with a model that is a map. The
// seed is printed; SIXCALL_SEED repeats a run and SIXCALL_STEPS sets its length.
func TestModel(t *testing.T) {
	steps := envInt(t, "SIXCALL_STEPS", 1_000_000)
	if raceEnabled || testing.Short() {
		steps = min(steps, 50_000)
	}
	seed := uint64(envInt(t, "SIXCALL_SEED", int(time.Now().UnixNano()&0xFFFFFFFF)))
	t.Logf("SIXCALL_SEED=%d SIXCALL_STEPS=%d", seed, steps)
	for done := 0; done < steps; {
		// Every life of the model ends with a restart.
		m := newModel(t, seed+uint64(done))
		life := min(steps-done, 100_000)
		for i := range life {
			m.step()
			if t.Failed() {
				t.Fatalf("after %d steps of the life with seed %d", i, seed+uint64(done))
			}
		}
		m.end()
		done += life
	}
}

func envInt(t *testing.T, name string, def int) int {
	text := os.Getenv(name)
	if text == "" {
		return def
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s is %q, want a number", name, text)
	}
	return n
}

const (
	modelKeys  = 24
	modelValue = 24 // bytes: key, version, and both again
)

// modelKey is what the model knows of one key.
type modelKey struct {
	version uint64 // 0 = absent
	pins    int
	late    int // stores and deletes that were answered early and are still held
}

// fault is what the connector does to the next batch of an operation.
type fault struct {
	op     kv.Op
	kind   int
	victim int // a key of the batch
}

const (
	faultNone    = iota
	faultStatus  // one key fails
	faultRefused // one key is refused
	faultUnset   // one status byte is not written
	faultRC      // the batch fails
	faultTwice   // the completion comes twice
	faultUnknown // beside it comes one that nobody waits for
	faultBusy    // the submit is refused once
	faultHold    // no answer until later
	faults
)

type model struct {
	t       *testing.T
	rnd     *rand.Rand
	conn    *bridgetest.Connector
	b       *bridge.Bridge
	arena   *arena.Arena
	keys    [modelKeys]modelKey
	held    [][]int // keys of the stores that are held, oldest first; nil for other operations
	version uint64
	next    atomic.Pointer[fault]
}

func newModel(t *testing.T, seed uint64) *model {
	m := &model{t: t, rnd: rand.New(rand.NewPCG(seed, 7))}
	a, err := arena.New(arena.Options{SegmentBytes: 1 << 20, Poison: true})
	if err != nil {
		t.Fatal(err)
	}
	m.arena = a
	m.conn = bridgetest.NewConnector(t)
	m.conn.OnSubmit = func(b *kv.Batch) error {
		if f := m.next.Load(); f != nil && f.op == b.Op && f.kind == faultBusy {
			m.next.Store(nil)
			return kv.Busy
		}
		return nil
	}
	m.conn.OnComplete = m.misbehave
	if m.b, err = bridge.New(m.conn, bridge.Options{Arena: a, CloseGrace: 20 * time.Millisecond, Breaker: bridge.BreakerOptions{Failures: -1}}); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *model) misbehave(b *kv.Batch, rec *kv.Completion) {
	f := m.next.Load()
	if f == nil || f.op != b.Op {
		return
	}
	m.next.Store(nil)
	at := f.victim % b.Len()
	switch f.kind {
	case faultStatus:
		b.Status[at] = kv.StatusError
	case faultRefused:
		b.Status[at] = kv.StatusRefused
	case faultUnset:
		b.Status[at] = kv.StatusUnset
	case faultRC:
		rec.RC = kv.IO
		for i := range b.Status {
			b.Status[i] = kv.StatusError
		}
	case faultTwice:
		// run publishes the record once more after this.
		go m.conn.Publish(*rec)
	case faultUnknown:
		go m.conn.Publish(kv.Completion{Ticket: 1 << 62, Op: b.Op})
	}
}

// step does one random thing and checks it.
func (m *model) step() {
	if len(m.held) > 0 && m.rnd.IntN(4) == 0 {
		m.releaseHeld()
		return
	}
	n := 1 + m.rnd.IntN(3)
	picked := m.rnd.Perm(modelKeys)[:n]
	kind := []bridge.Kind{bridge.Lookup, bridge.Load, bridge.Load, bridge.Store, bridge.Store, bridge.Delete}[m.rnd.IntN(6)]
	f := &fault{op: opOf(kind), victim: m.rnd.IntN(n)}
	if m.rnd.IntN(8) == 0 {
		f.kind = 1 + m.rnd.IntN(faults-1)
	}
	// A hold costs the test a wake-up, a busy connector a tick of the sweeper.
	if f.kind == faultBusy && m.rnd.IntN(20) > 0 {
		f.kind = faultNone
	}
	if f.kind == faultHold && (len(m.held) >= 8 || m.rnd.IntN(3) > 0) {
		f.kind = faultNone
	}
	m.run(kind, picked, f)
	m.unlockSome()
}

func opOf(k bridge.Kind) kv.Op {
	return map[bridge.Kind]kv.Op{bridge.Lookup: kv.OpExists, bridge.Load: kv.OpGet, bridge.Store: kv.OpSet, bridge.Delete: kv.OpDelete}[k]
}

func (m *model) run(kind bridge.Kind, picked []int, f *fault) {
	keys := make([]kv.Key, len(picked))
	var blocks []*arena.Block
	var bufs []kv.Buffer
	m.version++
	for i, k := range picked {
		keys[i] = bridgetest.Key(k)
		if kind == bridge.Load || kind == bridge.Store {
			block, err := m.arena.Alloc(modelValue)
			if err != nil {
				m.t.Fatal(err)
			}
			blocks, bufs = append(blocks, block), append(bufs, block.Bytes())
			fillValue(block.Bytes(), k, m.version)
		}
	}
	ctx, cancel := context.Background(), context.CancelFunc(func() {})
	if f.kind == faultHold {
		// The caller goes away while the connector keeps the batch.
		ctx, cancel = context.WithCancel(ctx)
		before := m.conn.Held()
		m.conn.SetHold(true)
		go func() {
			for m.conn.Held() == before && ctx.Err() == nil {
				time.Sleep(10 * time.Microsecond)
			}
			cancel()
		}()
	} else {
		m.next.Store(f)
	}
	r, err := m.b.Do(ctx, kind, keys, bufs)
	cancel()
	m.conn.SetHold(false)
	m.next.Store(nil)
	if f.kind == faultHold && r.Outcome == bridge.Cancelled {
		m.noteHeld(kind, picked)
	} else {
		m.check(kind, picked, bufs, f, r, err)
	}
	for _, block := range blocks {
		block.Release()
	}
	m.settle()
}

func fillValue(buf []byte, key int, version uint64) {
	binary.LittleEndian.PutUint64(buf, uint64(key))
	binary.LittleEndian.PutUint64(buf[8:], version)
	binary.LittleEndian.PutUint64(buf[16:], ^(uint64(key)*31 + version))
}

func (m *model) noteHeld(kind bridge.Kind, picked []int) {
	if kind != bridge.Store {
		m.held = append(m.held, nil)
		if kind == bridge.Delete {
			late := []int{-1}
			for _, k := range picked {
				if m.keys[k].pins == 0 { // a pinned key is not in the batch
					late = append(late, k)
					m.keys[k].late++
				}
			}
			m.held[len(m.held)-1] = late
		}
		return
	}
	m.held = append(m.held, append([]int(nil), picked...))
	for _, k := range picked {
		m.keys[k].late++
	}
}

// releaseHeld lets the oldest held batch complete.
func (m *model) releaseHeld() {
	picked := m.held[0]
	m.held = m.held[1:]
	m.conn.Release(1)
	m.settle()
	switch {
	case picked == nil:
	case picked[0] == -1: // a late delete
		for _, k := range picked[1:] {
			m.keys[k].late--
			m.keys[k].version = 0
		}
	default: // a late store: the bridge deletes what it left
		for _, k := range picked {
			m.keys[k].late--
			m.keys[k].version = 0
		}
	}
}

// settle waits until only held batches are in flight: the bridge's own deletes
// have run then.
func (m *model) settle() {
	for i := 0; m.b.InFlight() != m.conn.Held(); i++ {
		runtime.Gosched()
		if i > 1000 {
			time.Sleep(50 * time.Microsecond)
		}
		if i > 200_000 {
			m.t.Fatalf("%d batches are in flight, %d are held", m.b.InFlight(), m.conn.Held())
		}
	}
}

// check compares a result with the model and takes the step in the model.
func (m *model) check(kind bridge.Kind, picked []int, bufs []kv.Buffer, f *fault, r bridge.Result, err error) {
	faulty := f.kind == faultStatus || f.kind == faultRefused || f.kind == faultUnset || f.kind == faultRC
	fail := func(format string, args ...any) {
		m.t.Errorf("%s of %v with fault %d: %s (result %+v, %v)", kind, picked, f.kind, fmt.Sprintf(format, args...), r, err)
	}
	for i, k := range picked {
		key := &m.keys[k]
		hit, visible := r.Bits.Test(i), key.version != 0 && key.late == 0
		hurt := faulty && (i == f.victim%len(picked) || f.kind == faultRC)
		switch kind {
		case bridge.Lookup:
			if hit && !visible {
				fail("key %d is there, but the model has it absent or hidden", k)
			}
			if !hit && visible && !hurt {
				fail("key %d is missing", k)
			}
			if hit {
				key.pins++
			}
		case bridge.Load:
			if hit && !visible {
				fail("key %d was served, but the model has it absent or hidden", k)
			}
			if !hit && visible && !hurt {
				fail("key %d was not served", k)
			}
			want := make([]byte, modelValue)
			fillValue(want, k, key.version)
			if hit && string(bufs[i]) != string(want) {
				fail("key %d: wrong bytes", k)
			}
		case bridge.Store:
			switch {
			case hit:
				key.version = m.version
			case !hurt:
				fail("key %d was not stored", k)
			case f.kind != faultRefused:
				key.version = 0 // the bridge deletes what a failed store may have left
			default:
				// The test connector has stored it before it was made to refuse.
				key.version = m.version
			}
		case bridge.Delete:
			if key.pins == 0 && !hurt {
				key.version = 0
			}
			if key.pins == 0 && hurt {
				m.resync(k)
			}
		}
	}
	if err == nil && kind == bridge.Store && r.Bits.Count() != len(picked) {
		fail("no error for a store that failed")
	}
	if m.version%16 == 0 {
		m.checkBooks(fail)
	}
}

// resync asks the connector itself: a delete that was made to look failed has
// removed the value.
func (m *model) resync(k int) {
	if !m.conn.Has(bridgetest.Key(k)) {
		m.keys[k].version = 0
	}
}

// checkBooks compares pins, which are exact at any time.
func (m *model) checkBooks(fail func(string, ...any)) {
	pins := int64(0)
	for _, key := range m.keys {
		pins += int64(key.pins)
	}
	if got := m.b.Stats().Pins; got != pins {
		fail("%d pins, the model has %d", got, pins)
	}
}

func (m *model) unlockSome() {
	k := m.rnd.IntN(modelKeys)
	if m.keys[k].pins > 0 {
		m.b.Unlock([]kv.Key{bridgetest.Key(k)})
		m.keys[k].pins--
	}
}

// end releases everything, checks that the bridge is clean, and closes it.
func (m *model) end() {
	for len(m.held) > 0 {
		m.releaseHeld()
	}
	for k := range m.keys {
		for ; m.keys[k].pins > 0; m.keys[k].pins-- {
			m.b.Unlock([]kv.Key{bridgetest.Key(k)})
		}
	}
	for k, key := range m.keys {
		if has := m.conn.Has(bridgetest.Key(k)); has != (key.version != 0) {
			m.t.Errorf("key %d: the connector has it: %v, the model: %v", k, has, key.version != 0)
		}
	}
	s := m.b.Stats()
	if s.Pins != 0 || s.Hidden != 0 || s.Quarantined != 0 || s.InFlight != 0 {
		m.t.Errorf("left behind: %+v", s)
	}
	if err := m.b.Close(); err != nil {
		m.t.Error(err)
	}
	if err := m.arena.Close(); err != nil {
		m.t.Error(err)
	}
}
