//go:build linux

package host_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sixcall/sixcall/adapters/config/host"
	"github.com/sixcall/sixcall/adapters/config/lmcache"
	"github.com/sixcall/sixcall/adapters/remote"
	"github.com/sixcall/sixcall/adapters/storage"
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

func metadata() *engine.Metadata {
	return &engine.Metadata{Model: "org/m", WorldSize: 1, KVDType: engine.BFloat16, KVShape: [5]int{2, 2, 16, 4, 4}, ChunkSize: 16, Role: "worker"}
}

// world is what a test's host is made of.
type world struct {
	config  *lmcache.Config
	meta    *engine.Metadata
	remotes *remote.Registry
	plugins *storage.Registry
	logs    *observer.ObservedLogs
}

// read reads a configuration as it stands in a file.
func read(t testing.TB, yaml string) *world {
	t.Helper()
	path := filepath.Join(t.TempDir(), "lmcache.yaml")
	require.NoError(t, os.WriteFile(path, []byte(yaml), 0o600))
	c, err := lmcache.Load(lmcache.Options{File: path, Environ: []string{}})
	require.NoError(t, err)
	return &world{config: c, meta: metadata(), remotes: remote.NewRegistry(), plugins: storage.NewRegistry()}
}

func (w *world) tryStart() (*host.Host, error) {
	core, logs := observer.New(zapcore.InfoLevel)
	w.logs = logs
	return host.Build(ctx, host.Options{Config: w.config, Metadata: w.meta, Remotes: w.remotes, Plugins: w.plugins, Logger: zap.New(core)})
}

func (w *world) start(t testing.TB) *host.Host {
	t.Helper()
	h, err := w.tryStart()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, h.Close()) })
	return h
}

// backend returns the remote backend of that name.
func backend(t testing.TB, h *host.Host, name string) *remote.Backend {
	t.Helper()
	b, ok := h.Manager.Backend(name).(*remote.Backend)
	require.True(t, ok, "%q among %v", name, h.Manager.Names())
	return b
}

func fill(o *engine.Object, seed int) {
	for i := range o.Bytes() {
		o.Bytes()[i] = byte(i*7 + seed*13 + i>>8)
	}
}

func object(t testing.TB, h *host.Host, seed int) *engine.Object {
	t.Helper()
	o, err := h.Manager.CPU().Allocate(ctx, metadata().Layout(), true)
	require.NoError(t, err)
	fill(o, seed)
	return o
}

// put stores chunks in one backend and waits until they are there.
func put(t testing.TB, h *host.Host, b storage.Backend, seeds ...int) {
	t.Helper()
	ends := make(chan error, len(seeds))
	for _, i := range seeds {
		o := object(t, h, i)
		require.NoError(t, b.SubmitPut(ctx, []engine.Key{key(i)}, []*engine.Object{o}, func(_ engine.Key, err error) { ends <- err }))
		o.Release()
	}
	for range seeds {
		require.NoError(t, <-ends)
	}
}

func same(t testing.TB, h *host.Host, seed int, o *engine.Object) {
	t.Helper()
	require.NotNil(t, o)
	want := object(t, h, seed)
	require.Equal(t, want.Bytes(), o.Bytes())
	want.Release()
	o.Release()
}

// table is a remote connector over a map: the store of a vendor.
type table struct {
	mu   sync.Mutex
	objs map[string][]byte
	c    *remote.ConnectorContext
	name string
}

func newTable(c *remote.ConnectorContext, name string) *table {
	return &table{objs: map[string][]byte{}, c: c, name: name}
}

func (s *table) Exists(_ context.Context, k engine.Key) (bool, error) { return s.ExistsSync(k) }
func (s *table) ExistsSync(k engine.Key) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.objs[k.String()]
	return ok, nil
}

func (s *table) Get(ctx context.Context, k engine.Key) (*engine.Object, error) {
	s.mu.Lock()
	v, ok := s.objs[k.String()]
	s.mu.Unlock()
	if !ok {
		return nil, nil
	}
	o, err := s.c.LocalCPU.Allocate(ctx, s.c.Metadata.Layout(), true)
	if err == nil {
		copy(o.Bytes(), v)
	}
	return o, err
}

func (s *table) Put(_ context.Context, k engine.Key, o *engine.Object) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objs[k.String()] = append([]byte(nil), o.Bytes()...)
	return nil
}
func (s *table) List(context.Context) ([]string, error) { return nil, nil }
func (s *table) Close(context.Context) error            { return nil }

// MyStoreConnectorAdapter is the adapter of the documents, in Go.
type MyStoreConnectorAdapter struct{ remote.Scheme }

func NewMyStoreConnectorAdapter() remote.ConnectorAdapter {
	return MyStoreConnectorAdapter{"mystore://"}
}

func (MyStoreConnectorAdapter) CreateConnector(c *remote.ConnectorContext) (remote.Connector, error) {
	return newTable(c, "MyStore"), nil
}

// class is a connector without an adapter.
func class(name string) remote.ConnectorFactory {
	return func(c *remote.ConnectorContext) (any, error) {
		if c.LocalCPU == nil || c.Config == nil || c.Metadata == nil || c.Context == nil {
			return nil, errors.New("something is missing")
		}
		return newTable(c, name), nil
	}
}

// wrapped is what a backend's connector is made of.
func wrapped(t testing.TB, b *remote.Backend) *table {
	t.Helper()
	require.NoError(t, b.Err())
	s, ok := b.Connector().Wrapped().(*table)
	require.True(t, ok, b.Connector().String())
	return s
}

func eventually(t testing.TB, f func() bool) {
	t.Helper()
	require.Eventually(t, f, time.Minute, 2*time.Millisecond)
}
