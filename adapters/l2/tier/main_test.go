package tier_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/adapters/l2/tier"
	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
)

var background = context.Background()

// patience is how long a test waits for something that has to happen.
const patience = 30 * time.Second

// TestMain fails the package when tests leave goroutines behind.
func TestMain(m *testing.M) {
	code := m.Run()
	for deadline := time.Now().Add(5 * time.Second); code == 0 && runtime.NumGoroutine() > 2; {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<16)
			fmt.Printf("FAIL: %d goroutines are left\n%s\n", runtime.NumGoroutine(), buf[:runtime.Stack(buf, true)])
			code = 1
		}
		time.Sleep(time.Millisecond)
	}
	os.Exit(code)
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	require.Eventually(t, cond, patience, time.Millisecond, what)
}

// fixture is a tier over fakes with one arena, whose memory is poisoned when it
// comes back.
type fixture struct {
	*tier.Tier
	arena *arena.Arena
	fakes []*fake
}

// newFixture returns a tier with fakes of the given names. At the end of the test
// it is closed, no pin may be left, and no memory.
func newFixture(t *testing.T, opts tier.Options, names ...string) *fixture {
	t.Helper()
	if opts.Arena == nil {
		ar, err := arena.New(arena.Options{SegmentBytes: 1 << 20, Poison: true})
		require.NoError(t, err)
		opts.Arena = ar
	}
	if opts.CloseGrace == 0 {
		opts.CloseGrace = 50 * time.Millisecond
	}
	f := &fixture{Tier: tier.New(opts), arena: opts.Arena}
	for _, name := range names {
		f.add(t, name, tier.MemberOptions{})
	}
	t.Cleanup(func() {
		_ = f.Close()
		for _, m := range f.fakes {
			m.check(t)
		}
		eventually(t, "all memory is back", func() bool { return f.arena.Stats().InUse == 0 })
		require.NoError(t, f.arena.Close())
	})
	return f
}

func (f *fixture) add(t *testing.T, name string, opts tier.MemberOptions) *fake {
	t.Helper()
	m := newFake(name, f.arena)
	id, err := f.Add(name, m, opts)
	require.NoError(t, err)
	m.id = id
	f.fakes = append(f.fakes, m)
	return m
}

// block returns the bytes of a block that is released at the end of the test.
func (f *fixture) block(t *testing.T, size int) *arena.Block {
	t.Helper()
	b, err := f.arena.Alloc(size)
	require.NoError(t, err)
	return b
}

// values returns the values of keys in arena memory, to be released by the
// returned function.
func (f *fixture) values(t *testing.T, keys []kv.Key, size int) ([]kv.Buffer, func()) {
	t.Helper()
	var blocks []*arena.Block
	var values []kv.Buffer
	for _, k := range keys {
		b := f.block(t, size)
		copy(b.Bytes(), valueOf(k, size))
		blocks, values = append(blocks, b), append(values, b.Bytes())
	}
	return values, func() {
		for _, b := range blocks {
			b.Release()
		}
	}
}

// chunks returns the keys of chunks counted from 1, as the contract's rows do.
func chunks(numbers ...int) []kv.Key {
	keys := make([]kv.Key, len(numbers))
	for i, n := range numbers {
		keys[i] = bridgetest.Key(n)
	}
	return keys
}

// valueOf returns the only right value of a key at a size.
func valueOf(k kv.Key, size int) []byte {
	seed := uint32(size)
	for _, c := range []byte(k.String()) {
		seed = seed*31 + uint32(c)
	}
	out := make([]byte, size)
	for i := range out {
		seed = seed*1664525 + 1013904223
		out[i] = byte(seed >> 24)
	}
	return out
}

// prefetch runs a request that has to work and checks every byte.
func (f *fixture) prefetch(t *testing.T, req tier.Request) *tier.Result {
	t.Helper()
	r, err := f.Prefetch(background, req)
	require.NoError(t, err)
	requireValues(t, req, r)
	return r
}

// requireValues checks every loaded byte, and that hits and cells agree.
func requireValues(t *testing.T, req tier.Request, r *tier.Result) {
	t.Helper()
	n := 0
	for cell := range r.Cells() {
		n++
		key := req.Rows[cell.Row].Keys[cell.Column]
		require.Equal(t, key, cell.Key)
		require.Equal(t, valueOf(key, sizeOf(req.Rows[cell.Row], cell.Column)), cell.Value())
		require.Same(t, cell, r.Cell(cell.Row, cell.Column))
	}
	hits := 0
	for i := range r.Hit {
		hits += r.Hit[i].Count()
	}
	require.Equal(t, hits, n, "every hit has its value")
}

func sizeOf(row tier.Row, column int) int {
	if row.Sizes != nil {
		return row.Sizes[column]
	}
	return row.Size
}

// text renders one bitmap per row.
func text(rows []kv.Bitmap) []string {
	out := make([]string, len(rows))
	for i := range rows {
		out[i] = rows[i].String()
	}
	return out
}

// result is what a call on another goroutine returned.
type result[T any] struct {
	value T
	err   error
}

// async runs f on another goroutine.
func async[T any](f func() (T, error)) <-chan result[T] {
	c := make(chan result[T], 1)
	go func() {
		v, err := f()
		c <- result[T]{v, err}
	}()
	return c
}

func receive[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		require.FailNow(t, "no answer")
		panic("unreachable")
	}
}

func deadlines(d time.Duration) l2.Deadlines {
	return l2.Deadlines{Lookup: d, Load: d, Store: d, Delete: d}
}
