package remote_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/remote"
	"github.com/sixcall/sixcall/bridge"
	"github.com/sixcall/sixcall/bridge/engine"
	"github.com/sixcall/sixcall/bridge/goconnector"
)

// values is a backend in memory that is opened in the place of any library.
type values struct {
	mu     sync.Mutex
	byName map[string][]byte
	opened []remote.OpenRequest
}

func (v *values) Get(_ context.Context, key string, buf []byte) (bool, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	stored, ok := v.byName[key]
	if ok && len(stored) != len(buf) {
		return false, &goconnector.SizeError{Stored: int64(len(stored)), Want: len(buf)}
	}
	copy(buf, stored)
	return ok, nil
}

func (v *values) Set(_ context.Context, key string, value []byte) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.byName[key] = slices.Clone(value)
	return nil
}

func (v *values) Exists(_ context.Context, key string) (bool, int64, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	stored, ok := v.byName[key]
	return ok, int64(len(stored)), nil
}

func (v *values) Delete(_ context.Context, key string) (bool, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	_, ok := v.byName[key]
	delete(v.byName, key)
	return ok, nil
}

func (*values) Close() error { return nil }

func (v *values) names() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Sorted(maps.Keys(v.byName))
}

func (v *values) open(_ context.Context, r remote.OpenRequest) (*bridge.Bridge, error) {
	v.opened = append(v.opened, r)
	conn, err := goconnector.New(v, goconnector.Options{Name: r.Class})
	if err != nil {
		return nil, err
	}
	return bridge.New(conn, bridge.Options{RawKeys: true, Lengths: true})
}

// connect makes the connector of a URL on v.
func (v *values) connect(t testing.TB, m memory, meta *engine.Metadata, r remote.Remote, extra map[string]any, plugins ...string) (remote.Connector, error) {
	t.Helper()
	config := engine.DefaultConfig()
	config.Extra, config.RemoteStoragePlugins = extra, plugins
	f, problems := remote.NewFactory(remote.Options{Config: &config, Metadata: meta, LocalCPU: m, Open: v.open})
	require.Empty(t, problems)
	c, err := f.Create(ctx, r)
	if err == nil {
		t.Cleanup(func() { require.NoError(t, c.Close(ctx)) })
	}
	return c, err
}

func newValues() *values { return &values{byName: map[string][]byte{}} }

func TestRow14NothingIsWrittenOfWhatHasNoHeader(t *testing.T) {
	m := newMemory(t)
	for _, url := range []string{"redis://h:1", "fs:///x", "infinistore://h:1", "mooncakestore://h:1"} {
		v := newValues()
		c, err := v.connect(t, m, metadata(), remote.Remote{URL: url}, map[string]any{"master_server_address": "h:1"})
		require.NoError(t, err, url)
		o, err := m.Allocate(ctx, engine.Layout{Shapes: []engine.Shape{{4}}, DTypes: []engine.DType{engine.Int8}, Format: engine.KV2LTD}, false)
		require.NoError(t, err)
		require.ErrorIs(t, c.Put(ctx, key(1), o), engine.ErrUnsupportedDType, url)
		o.Release()
		require.Empty(t, v.names())
	}
}

func TestRow15ConnectorsWithOtherGroupsDoNotDisturbEachOther(t *testing.T) {
	m := newMemory(t)
	two := metadata()
	two.Groups = []engine.Group{{Shape: engine.Shape{2, 1, 16, 16}, DType: engine.BFloat16}, {Shape: engine.Shape{1, 3, 16, 8}, DType: engine.Uint8}}
	for _, url := range []string{"redis://h:1", "fs:///x"} {
		first, err := newValues().connect(t, m, metadata(), remote.Remote{URL: url}, nil)
		require.NoError(t, err)
		second, err := newValues().connect(t, m, two, remote.Remote{URL: url}, nil)
		require.NoError(t, err)
		for _, side := range []struct {
			c    remote.Connector
			meta *engine.Metadata
		}{{first, metadata()}, {second, two}, {first, metadata()}} {
			o, err := m.Allocate(ctx, side.meta.Layout(), false)
			require.NoError(t, err)
			for i := range o.Bytes() {
				o.Bytes()[i] = byte(i * len(side.meta.Groups))
			}
			require.NoError(t, side.c.Put(ctx, key(1), o))
			got, err := side.c.Get(ctx, key(1))
			require.NoError(t, err)
			require.Equal(t, o.Bytes(), got.Bytes())
			require.Equal(t, side.meta.Layout(), got.Layout())
			got.Release()
			o.Release()
		}
	}
}

func TestRow127InfinistoreChunksThatAreTooLarge(t *testing.T) {
	m := memory{pool: newMemory(t).pool}
	v := newValues()
	c, err := v.connect(t, m, metadata(), remote.Remote{URL: "infinistore://h:22345?device=mlx5_1"}, map[string]any{"infinistore_link_type": "link_ib"})
	require.NoError(t, err)
	require.Equal(t, map[string]any{"host": "h", "port": 22345, "trailer": false, "lazy": true, "device": "mlx5_1", "link_type": "LINK_IB"}, v.opened[0].Params)
	big := engine.NewPool(m.pool.Arena(), 64<<20)
	o, err := big.Allocate(engine.Layout{Shapes: []engine.Shape{{41 << 20}}, DTypes: []engine.DType{engine.Uint8}, Format: engine.KV2LTD})
	require.NoError(t, err)
	for range 17 {
		require.ErrorContains(t, c.Put(ctx, key(9), o), "at most 41943040 bytes")
	}
	o.Release()
	o = object(t, m, 1)
	require.NoError(t, c.Put(ctx, key(1), o))
	stored := v.byName[key(1).String()]
	require.Len(t, stored, 28+4096, "LMCache sends whole pages")
	require.Equal(t, o.Bytes(), stored[28:28+2048])
	require.Equal(t, make([]byte, 2048), stored[28+2048:], "nothing of what was there before")
	got, err := c.Get(ctx, key(1))
	require.NoError(t, err)
	require.Equal(t, o.Bytes(), got.Bytes())
	got.Release()
	o.Release()
}

func TestRow125MooncakeSettings(t *testing.T) {
	m := newMemory(t)
	open := func(r remote.Remote, extra map[string]any, plugins ...string) map[string]any {
		v := newValues()
		_, err := v.connect(t, m, metadata(), r, extra, plugins...)
		require.NoError(t, err)
		require.Equal(t, "mooncake", v.opened[0].Connector)
		return v.opened[0].Params
	}
	require.Equal(t, map[string]any{"master_server_address": "m:1", "protocol": "rdma"},
		open(remote.Remote{Plugin: "mooncakestore", URL: "plugin://mooncakestore"}, map[string]any{
			"remote_storage_plugin.mooncakestore.master_server_address": "m:1", "remote_storage_plugin.mooncakestore.protocol": "rdma",
		}, "mooncakestore"))
	// Row 126: what begins with mooncake_ wins; other settings stay here.
	require.Equal(t, map[string]any{"master_server_address": "new:1", "metadata_server": "old", "replica_num": int64(2)},
		open(remote.Remote{URL: "mooncakestore://h:1"}, map[string]any{
			"master_server_address": "old:1", "mooncake_master_server_address": "new:1", "metadata_server": "old", "device_name": "",
			"mooncake_replica_num": int64(2), "transfer_timeout": int64(1),
		}))
	// LMCache keeps two to itself, and has sizes as texts too.
	require.Equal(t, map[string]any{"master_server_address": "m:1", "global_segment_size": int64(3355443200), "local_buffer_size": int64(1073741824), "prefer_local_alloc": true},
		open(remote.Remote{URL: "mooncakestore://h:1"}, map[string]any{
			"mooncake_master_server_addr": "m:1", "mooncake_global_segment_size": "3355443200", "local_buffer_size": int64(1073741824),
			"mooncake_transfer_timeout": int64(1), "mooncake_storage_root_dir": "/x", "storage_root_dir": "/y", "mooncake_prefer_local_alloc": true,
		}))
	file := filepath.Join(t.TempDir(), "mooncake.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"master_server_address": "file:1", "local_hostname": "me"}`), 0o600))
	t.Setenv("MOONCAKE_CONFIG_PATH", file)
	require.Equal(t, map[string]any{"master_server_address": "file:1", "local_hostname": "me"}, open(remote.Remote{URL: "mooncakestore://h:1"}, nil))
}

func TestWhatURLsMeanToTheRedisConnector(t *testing.T) {
	m := newMemory(t)
	for url, want := range map[string]map[string]any{
		"redis://u:p@Host:7/2":           {"lazy": true, "host": "host", "port": 7, "username": "u", "password": "p", "database": uint64(2)},
		"rediss://:p@h:7":                {"lazy": true, "host": "h", "port": 7, "password": "p", "tls": true},
		"redis://h":                      {"lazy": true, "host": "h", "port": 6379},
		"redis://u%40x:p%3A%2F@h:7?db=3": {"lazy": true, "host": "h", "port": 7, "username": "u@x", "password": "p:/", "database": uint64(3)},
		"rediss://h?ssl_ca_certs=/ca.pem&ssl_certfile=/c.pem&ssl_keyfile=/k.pem&socket_timeout=3": {"lazy": true, "host": "h", "port": 6379, "tls": true, "tls_ca_file": "/ca.pem", "tls_cert_file": "/c.pem", "tls_key_file": "/k.pem"},
		"rediss://h:1/?ssl_cert_reqs=none":         {"lazy": true, "host": "h", "port": 1, "tls": true, "tls_verify": false},
		"redis://[::1]/2":                          {"lazy": true, "host": "::1", "port": 6379, "database": uint64(2)},
		"unix:///run/redis.sock":                   {"lazy": true, "unix_socket": "/run/redis.sock"},
		"unix://u@/run/redis.sock?db=4&password=p": {"lazy": true, "unix_socket": "/run/redis.sock", "username": "u", "password": "p", "database": uint64(4)},
		"redis-sentinel://u:p@a:1,b:2/x":           {"lazy": true, "sentinels": []string{"a:1", "b:2"}, "sentinel_master": "redismaster", "username": "u", "password": "p"},
		"redis-cluster://a:1,b:2":                  {"lazy": true, "cluster": true, "nodes": []string{"a:1", "b:2"}},
		"resp://[::1]:9":                           {"lazy": true, "host": "::1", "port": 9},
		"sixcall://acme/?workers=3&x=true&name=a":  nil,
	} {
		v := newValues()
		_, err := v.connect(t, m, metadata(), remote.Remote{URL: url}, map[string]any{"sixcall.acme.more": int64(1)})
		require.NoError(t, err, url)
		if want != nil {
			require.Equal(t, "redis", v.opened[0].Connector)
			require.Equal(t, want, v.opened[0].Params, url)
			continue
		}
		require.Equal(t, "acme", v.opened[0].Connector)
		require.Equal(t, "acme", v.opened[0].Class)
		require.Equal(t, []string{"more", "name", "workers", "x"}, slices.Sorted(maps.Keys(v.opened[0].Params)))
		require.Equal(t, true, v.opened[0].Params["x"])
	}
}

func TestRedisURLsThatCannotBeRight(t *testing.T) {
	m := newMemory(t)
	for url, want := range map[string]string{
		"rediss://h?ssl_ca_cert=/ca.pem&password=topsecret": "ssl_ca_cert=/ca.pem is not known",
		"redis://u:topsecret@h/x":                           `the database is "x"`,
		"unix://socket?password=topsecret":                  "want unix:///path",
		"redis://u:topsecret@h:99999":                       "want 0 to 65535",
	} {
		_, err := newValues().connect(t, m, metadata(), remote.Remote{URL: url}, nil)
		require.ErrorIs(t, err, remote.ErrURL, url)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "topsecret")
	}
}

func TestFailedPutsOfAPairLeaveNoHeader(t *testing.T) {
	m := newMemory(t)
	v := &failing{values: newValues(), fails: key(1).String() + "kv_bytes"}
	config := engine.DefaultConfig()
	f, _ := remote.NewFactory(remote.Options{Config: &config, Metadata: metadata(), LocalCPU: m, Open: func(_ context.Context, r remote.OpenRequest) (*bridge.Bridge, error) {
		conn, err := goconnector.New(v, goconnector.Options{Name: r.Class})
		if err != nil {
			return nil, err
		}
		return bridge.New(conn, bridge.Options{RawKeys: true, Lengths: true})
	}})
	c, err := f.Create(ctx, remote.Remote{URL: "redis://h:1"})
	require.NoError(t, err)
	defer c.Close(ctx)
	one, two := object(t, m, 1), object(t, m, 2)
	err = c.(*remote.Instrumented).BatchedPut(ctx, keys(1, 3), []*engine.Object{one, two})
	var failed remote.KeyErrors
	require.True(t, errors.As(err, &failed))
	require.Len(t, failed, 1)
	require.ErrorContains(t, failed[key(1)], "no room")
	for _, name := range v.names() {
		require.True(t, strings.HasPrefix(name, key(2).String()), name)
	}
	require.Len(t, v.names(), 2)
	one.Release()
	two.Release()
}

// failing refuses one name.
type failing struct {
	*values
	fails string
}

func (f *failing) Set(ctx context.Context, key string, value []byte) error {
	if key == f.fails {
		return errors.New("no room")
	}
	return f.values.Set(ctx, key, value)
}
