package remote_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sixcall/sixcall/adapters/remote"
	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/engine"
)

var ctx = context.Background()

func key(i int) engine.Key {
	return engine.Key{Model: "org/m", WorldSize: 1, Hash: engine.HashInt(int64(i)), DType: engine.BFloat16}
}

func keys(from, to int) (out []engine.Key) {
	for i := from; i < to; i++ {
		out = append(out, key(i))
	}
	return out
}

// memory allocates from a pool and never evicts.
type memory struct{ pool *engine.Pool }

func (m memory) Allocate(_ context.Context, l engine.Layout, _ bool) (*engine.Object, error) {
	return m.pool.Allocate(l)
}
func (m memory) Pool() *engine.Pool { return m.pool }

func newMemory(t testing.TB) memory {
	t.Helper()
	a, err := arena.New(arena.Options{Poison: true})
	require.NoError(t, err)
	m := memory{engine.NewPool(a, 1<<24)}
	t.Cleanup(func() {
		require.Eventually(t, func() bool { return m.pool.InUse() == 0 }, time.Minute, time.Millisecond, "every object is released")
	})
	return m
}

func metadata() *engine.Metadata {
	return &engine.Metadata{Model: "org/m", WorldSize: 1, KVDType: engine.BFloat16, KVShape: [5]int{2, 2, 16, 4, 4}, ChunkSize: 16, Role: "worker"}
}

func object(t testing.TB, m memory, seed int) *engine.Object {
	t.Helper()
	o, err := m.Allocate(ctx, metadata().Layout(), false)
	require.NoError(t, err)
	for i := range o.Bytes() {
		o.Bytes()[i] = byte(i*7 + seed*13)
	}
	return o
}

// same checks that o is what object made, and releases it.
func same(t testing.TB, m memory, seed int, o *engine.Object) {
	t.Helper()
	require.NotNil(t, o)
	want := object(t, m, seed)
	require.Equal(t, want.Bytes(), o.Bytes())
	want.Release()
	o.Release()
}

// fake is a connector with the six methods and no more.
type fake struct {
	m      memory
	mu     sync.Mutex
	objs   map[string]*engine.Object
	err    map[string]error         // by operation, or operation and key
	block  map[string]chan struct{} // the same; calls wait for these to be closed
	calls  map[string]int
	active int
	most   int // calls at a time
}

func newFake(m memory) *fake {
	return &fake{m: m, objs: map[string]*engine.Object{}, err: map[string]error{}, block: map[string]chan struct{}{}, calls: map[string]int{}}
}

func (f *fake) enter(op string, k engine.Key) error {
	f.mu.Lock()
	f.calls[op]++
	f.active++
	f.most = max(f.most, f.active)
	wait, err := f.block[op], f.err[op]
	if err == nil {
		err = f.err[op+" "+k.String()]
	}
	if wait == nil {
		wait = f.block[op+" "+k.String()]
	}
	f.mu.Unlock()
	if wait != nil {
		<-wait // whatever the context says
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.active--
	return err
}

func (f *fake) fail(what string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err[what] = err
}

func (f *fake) count(op string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[op]
}

func (f *fake) has(k engine.Key) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.objs[k.String()] != nil
}

func (f *fake) Exists(_ context.Context, k engine.Key) (bool, error) {
	err := f.enter("exists", k)
	return err == nil && f.has(k), err
}

func (f *fake) ExistsSync(k engine.Key) (bool, error) {
	err := f.enter("exists_sync", k)
	return err == nil && f.has(k), err
}

func (f *fake) Get(_ context.Context, k engine.Key) (*engine.Object, error) {
	if err := f.enter("get", k); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	stored := f.objs[k.String()]
	if stored == nil {
		return nil, nil
	}
	o, err := f.m.Allocate(ctx, stored.Layout(), true)
	if err == nil {
		copy(o.Bytes(), stored.Bytes())
	}
	return o, err
}

func (f *fake) Put(_ context.Context, k engine.Key, o *engine.Object) error {
	if err := f.enter("put", k); err != nil {
		return err
	}
	copied, err := f.m.Allocate(ctx, o.Layout(), true)
	if err != nil {
		return err
	}
	copy(copied.Bytes(), o.Bytes())
	f.mu.Lock()
	defer f.mu.Unlock()
	f.objs[k.String()].Release()
	f.objs[k.String()] = copied
	return nil
}

func (f *fake) List(context.Context) ([]string, error) { return nil, nil }

func (f *fake) Close(context.Context) error {
	err := f.enter("close", engine.Key{})
	f.mu.Lock()
	defer f.mu.Unlock()
	for k, o := range f.objs {
		o.Release()
		delete(f.objs, k)
	}
	return err
}

var errDown = errors.New("the storage is down")

// clock is a clock that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// setup is a backend on a connector of a test, under foo://.
type setup struct {
	config  engine.Config
	meta    *engine.Metadata
	m       memory
	make    func(*remote.ConnectorContext) (any, error)
	backend remote.BackendOptions
	clock   *clock
	logs    *observer.ObservedLogs
}

func newSetup(t testing.TB) *setup {
	t.Helper()
	s := &setup{config: engine.DefaultConfig(), meta: metadata(), m: newMemory(t), clock: &clock{now: time.Now()}}
	s.config.RemoteURL = "foo://h:1"
	s.config.Extra = map[string]any{"external_connector.foo.module_path": "mod", "external_connector.foo.class_name": "Foo"}
	s.backend.Now = s.clock.Now
	return s
}

func (s *setup) start(t testing.TB) *remote.Backend {
	t.Helper()
	b, err := s.tryStart(t)
	require.NoError(t, err)
	return b
}

func (s *setup) tryStart(t testing.TB) (*remote.Backend, error) {
	t.Helper()
	r := remote.NewRegistry()
	require.NoError(t, r.Register("mod", "Foo", s.make))
	core, logs := observer.New(zapcore.DebugLevel)
	s.logs = logs
	f, problems := remote.NewFactory(remote.Options{Config: &s.config, Metadata: s.meta, LocalCPU: s.m, Registry: r, Logger: zap.New(core)})
	require.Empty(t, problems)
	s.backend.Remote, s.backend.Factory = f.Remotes()[0], f
	b, err := remote.NewBackend(ctx, s.backend)
	if b != nil {
		t.Cleanup(func() { _ = b.Close() })
	}
	return b, err
}

// on starts a backend on a connector.
func (s *setup) on(t testing.TB, c any) *remote.Backend {
	t.Helper()
	s.make = func(*remote.ConnectorContext) (any, error) { return c, nil }
	return s.start(t)
}

// ended is what done was told.
type ended struct {
	key engine.Key
	err error
}

// put stores seeds under keys and waits for the end of each.
func put(t testing.TB, m memory, b *remote.Backend, seeds ...int) (ends []ended) {
	t.Helper()
	var ks []engine.Key
	var objs []*engine.Object
	for _, i := range seeds {
		ks, objs = append(ks, key(i)), append(objs, object(t, m, i))
	}
	out := make(chan ended, len(seeds))
	require.NoError(t, b.SubmitPut(ctx, ks, objs, func(k engine.Key, err error) { out <- ended{k, err} }))
	for range seeds {
		ends = append(ends, <-out)
	}
	for _, o := range objs {
		// The reference of the call that stored may end a moment after its done.
		require.Eventually(t, func() bool { return o.Refs() == 1 }, time.Minute, time.Millisecond)
		o.Release()
	}
	return ends
}
