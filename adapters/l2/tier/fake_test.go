package tier_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/kv"
)

// fault is what goes wrong in one call of a fake.
type fault struct {
	// hold keeps the call until it is closed. The call returns earlier when its
	// context ends or the fake is closed, unless it is deaf.
	hold <-chan struct{}
	deaf bool
	// late makes a load that was cut off while held lend its buffers and write
	// into them when hold is closed, as a bridge with a slow connector does.
	late bool
	// err is returned: instead of any work, or beside its result.
	err    error
	beside bool
	// longer changes the length of the result bitmap.
	longer int
	// lose makes these keys fail in a load or store.
	lose []kv.Key
}

// fake is a member in memory that counts pins: it notes an unlock without a pin
// and a load without one. Safe for concurrent use.
type fake struct {
	name     string
	id       int
	arena    *arena.Arena
	done     chan struct{} // closed by Close
	closeErr error
	// closeHold, if set, keeps Close until it is closed.
	closeHold chan struct{}
	sick      bool // is_healthy is false

	mu sync.Mutex // guards what follows
	// script is asked before each call; nil means no faults.
	script     func(op string, keys []kv.Key) fault
	values     map[kv.Key][]byte
	pins       map[kv.Key]int
	calls      map[string][][]kv.Key // by operation, in order of arrival
	violations []string
	closed     int
	// lateBegun and lateDone count late writes. (A wait group must not be added to
	// while somebody waits.)
	lateBegun, lateDone atomic.Int32
}

func newFake(name string, ar *arena.Arena) *fake {
	return &fake{
		name: name, arena: ar, done: make(chan struct{}),
		values: map[kv.Key][]byte{}, pins: map[kv.Key]int{}, calls: map[string][][]kv.Key{},
	}
}

// put stores the right values of keys.
func (f *fake) put(size int, keys ...kv.Key) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, k := range keys {
		f.values[k] = valueOf(k, size)
	}
}

func (f *fake) has(k kv.Key) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.values[k]
	return ok
}

// follow sets the script; nil ends all faults.
func (f *fake) follow(script func(op string, keys []kv.Key) fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.script = script
}

// on makes one operation go wrong.
func (f *fake) on(op string, ft fault) {
	f.follow(func(called string, _ []kv.Key) fault {
		if called == op {
			return ft
		}
		return fault{}
	})
}

// called returns the keys of each call of an operation.
func (f *fake) called(op string) [][]kv.Key {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls[op])
}

func (f *fake) pinned() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	sum := 0
	for _, n := range f.pins {
		sum += n
	}
	return sum
}

// check asserts what holds at the end of every test.
func (f *fake) check(t *testing.T) {
	t.Helper()
	f.waitForLateWrites(0)
	eventually(t, f.name+": all pins are back", func() bool { return f.pinned() == 0 })
	f.mu.Lock()
	defer f.mu.Unlock()
	require.Empty(t, f.violations, f.name)
	require.Equal(t, 1, f.closed, "%s is closed exactly once", f.name)
}

func (f *fake) violate(format string, args ...any) {
	f.violations = append(f.violations, fmt.Sprintf(format, args...))
}

// enter notes a call and waits as long as its fault says.
func (f *fake) enter(ctx context.Context, op string, keys []kv.Key) (fault, error) {
	f.mu.Lock()
	f.calls[op] = append(f.calls[op], slices.Clone(keys))
	closed, script := f.closed > 0, f.script
	f.mu.Unlock()
	if closed {
		return fault{}, &kv.Error{Op: op, Connector: f.name, Code: kv.Closed}
	}
	var ft fault
	if script != nil {
		ft = script(op, keys)
	}
	if ft.hold == nil {
		return ft, nil
	}
	if ft.deaf {
		<-ft.hold
		return ft, nil
	}
	select {
	case <-ft.hold:
		return ft, nil
	case <-f.done:
		return ft, &kv.Error{Op: op, Connector: f.name, Code: kv.Closed}
	case <-ctx.Done():
	}
	code := kv.Cancelled
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		code = kv.Timeout
	}
	return ft, &kv.Error{Op: op, Connector: f.name, Code: code, Err: ctx.Err()}
}

func (f *fake) Lookup(ctx context.Context, keys []kv.Key) (kv.Bitmap, error) {
	ft, err := f.enter(ctx, "lookup", keys)
	bits := kv.NewBitmap(max(len(keys)+ft.longer, 0))
	if err != nil {
		return bits, err
	}
	if ft.err != nil && !ft.beside {
		return kv.Bitmap{}, ft.err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range bits.Len() {
		if i >= len(keys) {
			bits.Set(i) // a bit of no key is no pin
		} else if f.values[keys[i]] != nil {
			bits.Set(i)
			f.pins[keys[i]]++
		}
	}
	return bits, ft.err
}

func (f *fake) Unlock(keys []kv.Key) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls["unlock"] = append(f.calls["unlock"], slices.Clone(keys))
	for _, k := range keys {
		if f.pins[k]--; f.pins[k] < 0 {
			f.violate("unlock of %v without a pin", k)
		}
		if f.pins[k] == 0 {
			delete(f.pins, k)
		}
	}
}

func (f *fake) Load(ctx context.Context, keys []kv.Key, bufs []kv.Buffer) (kv.Bitmap, error) {
	ft, err := f.enter(ctx, "load", keys)
	bits := kv.NewBitmap(len(keys) + ft.longer)
	if err != nil {
		if ft.late {
			f.writeLate(ft.hold, bufs)
		}
		return bits, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if ft.err != nil && !ft.beside {
		for _, buf := range bufs { // a failed load may leave anything behind
			fill(buf, 0xBA)
		}
		return kv.Bitmap{}, ft.err
	}
	for i, k := range keys {
		if f.pins[k] == 0 {
			f.violate("load of %v without a pin", k)
		}
		value := f.values[k]
		if len(value) != len(bufs[i]) || slices.Contains(ft.lose, k) {
			fill(bufs[i], 0xBA)
			continue
		}
		copy(bufs[i], value)
		bits.Set(i)
	}
	return bits, ft.err
}

// writeLate does what package arena allows after an early answer.
func (f *fake) writeLate(hold <-chan struct{}, bufs []kv.Buffer) {
	var blocks []*arena.Block
	for _, buf := range bufs {
		b := f.arena.BlockOf(buf)
		b.Lend()
		b.Quarantine()
		blocks = append(blocks, b)
	}
	f.lateBegun.Add(1)
	go func() {
		defer f.lateDone.Add(1)
		<-hold
		for i, b := range blocks {
			fill(bufs[i], 0xBA)
			b.Pardon()
			b.Return()
		}
	}()
}

// waitForLateWrites returns when at least n late writes began and all are done.
func (f *fake) waitForLateWrites(n int32) {
	for begun := f.lateBegun.Load(); begun < n || f.lateDone.Load() < begun; begun = f.lateBegun.Load() {
		time.Sleep(time.Millisecond)
	}
}

func (f *fake) Store(ctx context.Context, keys []kv.Key, values []kv.Buffer) (kv.StoreResult, error) {
	ft, err := f.enter(ctx, "store", keys)
	if err == nil && ft.err != nil && !ft.beside {
		err = ft.err
	}
	if err != nil {
		return kv.StoreResult{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var bytes int64
	for i, k := range keys {
		if slices.Contains(ft.lose, k) {
			continue
		}
		f.values[k] = slices.Clone(values[i])
		bytes += int64(len(values[i]))
	}
	return kv.StoreResult{OK: len(ft.lose) == 0, Bytes: bytes}, nil
}

func (f *fake) Delete(ctx context.Context, keys []kv.Key) (kv.DeleteResult, error) {
	ft, err := f.enter(ctx, "delete", keys)
	if err == nil {
		err = ft.err
	}
	if err != nil {
		return kv.DeleteResult{Failed: len(keys)}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var r kv.DeleteResult
	for _, k := range keys {
		switch {
		case f.values[k] == nil:
			r.Absent++
		case f.pins[k] > 0:
			r.Pinned++
		default:
			delete(f.values, k)
			r.Deleted++
		}
	}
	return r, nil
}

func (f *fake) Arena() *arena.Arena { return f.arena }

func (f *fake) Usage() kv.Usage {
	f.mu.Lock()
	defer f.mu.Unlock()
	return kv.Usage{Keys: int64(len(f.values))}
}

func (f *fake) Status() map[string]any { return map[string]any{"is_healthy": !f.sick, "type": "fake"} }

func (f *fake) Close() error {
	if f.closeHold != nil {
		<-f.closeHold
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed++; f.closed == 1 {
		close(f.done)
	}
	return f.closeErr
}

func fill(p []byte, v byte) {
	for i := range p {
		p[i] = v
	}
}

// keyStorer is a fake that tells which keys of a store were stored.
type keyStorer struct{ *fake }

func (s keyStorer) StoreKeys(ctx context.Context, keys []kv.Key, values []kv.Buffer) (kv.Bitmap, int64, error) {
	r, err := s.Store(ctx, keys, values)
	bits := kv.NewBitmap(len(keys))
	for i, k := range keys {
		if err == nil && s.has(k) {
			bits.Set(i)
		}
	}
	if err == nil && !r.OK {
		err = errors.New("not every key")
	}
	return bits, r.Bytes, err
}
