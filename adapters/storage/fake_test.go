package storage_test

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sixcall/sixcall/adapters/storage"
	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/engine"
)

var ctx = context.Background()

// chunk is 2048 bytes, 16 tokens.
var chunk = engine.Layout{Format: engine.KV2LTD, Shapes: []engine.Shape{{2, 2, 16, 16}}, DTypes: []engine.DType{engine.BFloat16}}

var meta = &engine.Metadata{Model: "m", WorldSize: 1, KVDType: engine.BFloat16, KVShape: [5]int{2, 2, 16, 4, 4}, ChunkSize: 16, Role: "worker"}

func key(i int) engine.Key {
	return engine.Key{Model: "org/m", WorldSize: 1, Hash: engine.HashInt(int64(i)), DType: engine.BFloat16}
}

func keys(from, to int) (out []engine.Key) {
	for i := from; i < to; i++ {
		out = append(out, key(i))
	}
	return out
}

func newArena(t testing.TB) *arena.Arena {
	t.Helper()
	a, err := arena.New(arena.Options{Poison: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, a.Close(), "every object was released") })
	return a
}

func newCPU(t testing.TB, objects int, policy string, hot bool) *storage.CPU {
	t.Helper()
	c, err := storage.NewCPU(newArena(t), int64(objects)*4096, policy, hot)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

func fill(o *engine.Object, k engine.Key) {
	seed := uint64(len(k.Model))<<32 | uint64(k.Hash.Mod(1<<30))
	for i := 0; i+8 <= o.Len(); i += 8 {
		binary.LittleEndian.PutUint64(o.Bytes()[i:], seed*0x9E3779B97F4A7C15+uint64(i))
	}
}

// object returns the object that belongs to a key, with one reference.
func object(t testing.TB, a storage.Allocator, k engine.Key) *engine.Object {
	t.Helper()
	o, err := a.Allocate(ctx, chunk, false)
	require.NoError(t, err)
	fill(o, k)
	return o
}

func objects(t testing.TB, a storage.Allocator, ks []engine.Key) (out []*engine.Object) {
	for _, k := range ks {
		out = append(out, object(t, a, k))
	}
	return out
}

// same checks that o holds the bytes of k, and releases it.
func same(t testing.TB, a storage.Allocator, k engine.Key, o *engine.Object) {
	t.Helper()
	require.NotNil(t, o, k)
	want := object(t, a, k)
	require.Equal(t, want.Bytes(), o.Bytes(), k)
	want.Release()
	o.Release()
}

// fake is a backend whose every answer a test can change.
type fake struct {
	mu      sync.Mutex
	objs    map[engine.Key]*engine.Object
	fails   error
	panics  bool
	calls   map[string]int
	closed  int
	healthy error
}

func newFake() *fake { return &fake{objs: map[engine.Key]*engine.Object{}, calls: map[string]int{}} }

func (f *fake) enter(op string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[op]++
	if f.panics {
		panic("the fake panics")
	}
	return f.fails
}

func (f *fake) Contains(_ context.Context, k engine.Key, _ bool) (bool, error) {
	err := f.enter("contains")
	f.mu.Lock()
	defer f.mu.Unlock()
	return err == nil && f.objs[k] != nil, err
}
func (f *fake) InPutTasks(engine.Key) bool { return false }
func (f *fake) SubmitPut(_ context.Context, ks []engine.Key, objs []*engine.Object, done func(engine.Key, error)) error {
	if err := f.enter("put"); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, k := range ks {
		if f.objs[k] == nil {
			f.objs[k] = objs[i].Retain()
		}
	}
	return nil
}
func (f *fake) Get(_ context.Context, k engine.Key) (*engine.Object, error) {
	err := f.enter("get")
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil || f.objs[k] == nil {
		return nil, err
	}
	return f.objs[k].Retain(), nil
}
func (f *fake) Pin(engine.Key) bool   { return true }
func (f *fake) Unpin(engine.Key) bool { return true }
func (f *fake) Remove(_ context.Context, k engine.Key, _ bool) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	o := f.objs[k]
	delete(f.objs, k)
	o.Release()
	return o != nil, nil
}
func (f *fake) CheckHealth(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.healthy
}
func (f *fake) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed++
	for k, o := range f.objs {
		o.Release()
		delete(f.objs, k)
	}
	return nil
}

// put stores the right bytes under keys.
func put(t testing.TB, a storage.Allocator, b storage.Backend, ks ...engine.Key) {
	t.Helper()
	objs := objects(t, a, ks)
	ended := make(chan error, len(ks))
	require.NoError(t, b.SubmitPut(ctx, ks, objs, func(_ engine.Key, err error) { ended <- err }))
	for _, o := range objs {
		o.Release()
	}
	if _, ok := b.(*fake); ok {
		return
	}
	for range ks {
		require.NoError(t, <-ended)
	}
}

func manager(t testing.TB, cpu *storage.CPU, writeBack bool) (*storage.Manager, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zapcore.InfoLevel)
	m, err := storage.NewManager(storage.Options{Metadata: meta, CPU: cpu, WriteBack: writeBack, Logger: zap.New(core)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m, logs
}

func add(t testing.TB, m *storage.Manager, name string, b storage.Backend) {
	t.Helper()
	require.NoError(t, m.Add(name, func() (storage.Backend, error) { return b, nil }))
}

var errDown = errors.New("the backend is down")

func has(t testing.TB, b storage.Backend, k engine.Key) bool {
	t.Helper()
	ok, err := b.Contains(ctx, k, false)
	require.NoError(t, err)
	return ok
}
