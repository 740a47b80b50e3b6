//go:build linux

package host_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/remote"
	"github.com/sixcall/sixcall/adapters/storage"
	"github.com/sixcall/sixcall/bridge/engine"
	logbackend "github.com/sixcall/sixcall/examples/log-backend"
)

func TestRow52AClassThatIsAConnector(t *testing.T) {
	w := read(t, `
remote_storage_plugins: "a, b"
extra_config: {remote_storage_plugin.a.module_path: mod, remote_storage_plugin.a.class_name: A, remote_storage_plugin.b.module_path: mod, remote_storage_plugin.b.class_name: B}
`)
	require.NoError(t, w.remotes.Register("mod", "A", class("A")))
	require.NoError(t, w.remotes.Register("mod", "B", NewMyStoreConnectorAdapter))
	h := w.start(t)
	// Row 53: a text with commas is a list.
	require.Equal(t, []string{storage.NameLocalCPU, "RemoteBackend-a", "RemoteBackend-b"}, h.Manager.Names())
	c := wrapped(t, backend(t, h, "RemoteBackend-a")).c
	require.Equal(t, "a", c.PluginName)
	require.Same(t, h.Manager.CPU(), c.LocalCPU)
	require.Equal(t, 2048, c.FullChunkBytes())
}

func TestRow54BadPluginsStopNothing(t *testing.T) {
	w := read(t, `
remote_storage_plugins: [neither, no_module, no_class, half, good]
extra_config:
  remote_storage_plugin.neither.module_path: mod
  remote_storage_plugin.neither.class_name: Number
  remote_storage_plugin.no_module.module_path: absent.module
  remote_storage_plugin.no_module.class_name: X
  remote_storage_plugin.no_class.module_path: mod
  remote_storage_plugin.no_class.class_name: Absent
  remote_storage_plugin.half.module_path: mod
  remote_storage_plugin.good.module_path: mod
  remote_storage_plugin.good.class_name: Good
`)
	require.NoError(t, w.remotes.Register("mod", "Number", 42))
	require.NoError(t, w.remotes.Register("mod", "Good", class("Good")))
	h := w.start(t)
	require.Equal(t, []string{storage.NameLocalCPU, "RemoteBackend-good"}, h.Manager.Names())
	wrapped(t, backend(t, h, "RemoteBackend-good"))
	require.Len(t, h.Problems, 4)
	for i, want := range []error{remote.ErrType, remote.ErrModule, remote.ErrClass, remote.ErrConfig} {
		require.ErrorIs(t, h.Problems[i], want)
		require.ErrorContains(t, h.Problems[i], []string{"neither", "absent.module", "Absent", "half"}[i])
	}
	require.Equal(t, 4, w.logs.FilterMessage("a part of the configuration is left out").Len())
}

func TestRow55InstancesHaveTheirOwnClasses(t *testing.T) {
	for range 10 {
		w := read(t, `
remote_storage_plugins: [foo.b, foo.a]
extra_config: {remote_storage_plugin.foo.a.module_path: mod, remote_storage_plugin.foo.a.class_name: K1, remote_storage_plugin.foo.b.module_path: mod, remote_storage_plugin.foo.b.class_name: K2}
`)
		require.NoError(t, w.remotes.Register("mod", "K1", class("K1")))
		require.NoError(t, w.remotes.Register("mod", "K2", class("K2")))
		h := w.start(t)
		require.Equal(t, []string{storage.NameLocalCPU, "RemoteBackend-foo.b", "RemoteBackend-foo.a"}, h.Manager.Names())
		require.Equal(t, "K1", wrapped(t, backend(t, h, "RemoteBackend-foo.a")).name)
		require.Equal(t, "K2", wrapped(t, backend(t, h, "RemoteBackend-foo.b")).name)
	}
}

func TestRow58BuiltInSchemesStay(t *testing.T) {
	w := read(t, `
remote_url: blackhole://
remote_storage_plugins: [mine]
extra_config: {remote_storage_plugin.mine.module_path: mod, remote_storage_plugin.mine.class_name: Mine, external_connector.lm.module_path: mod, external_connector.lm.class_name: Lm}
`)
	require.NoError(t, w.remotes.Register("mod", "Mine", func() remote.ConnectorAdapter { return MyStoreConnectorAdapter{"blackhole://"} }))
	require.NoError(t, w.remotes.Register("mod", "Lm", class("Lm")))
	h := w.start(t)
	require.Contains(t, backend(t, h, storage.NameRemote).Connector().String(), "remote.blackhole")
	require.Len(t, h.Problems, 1)
	require.ErrorContains(t, h.Problems[0], `"lm"`)
}

func TestRow59RemotesNeedMemory(t *testing.T) {
	w := read(t, `
max_local_cpu_size: 0
remote_url: blackhole://
remote_storage_plugins: [mine]
storage_plugins: [log]
extra_config: {remote_storage_plugin.mine.module_path: mod, remote_storage_plugin.mine.class_name: Mine, storage_plugin.log.module_path: m, storage_plugin.log.class_name: c}
`)
	require.NoError(t, w.remotes.Register("mod", "Mine", class("Mine")))
	require.NoError(t, w.plugins.Register("m", "c", logbackend.New))
	h := w.start(t)
	require.Equal(t, []string{storage.NameRemote, "log"}, h.Manager.Names())
	require.Len(t, h.Problems, 1)
	require.ErrorContains(t, h.Problems[0], "max_local_cpu_size")
}

func TestRow60RemotesInOrder(t *testing.T) {
	w := read(t, `
remote_url: blackhole://
remote_storage_plugins: [z, a]
extra_config: {remote_storage_plugin.z.module_path: mod, remote_storage_plugin.z.class_name: C, remote_storage_plugin.a.module_path: mod, remote_storage_plugin.a.class_name: C}
`)
	require.NoError(t, w.remotes.Register("mod", "C", class("C")))
	h := w.start(t)
	require.Equal(t, []string{storage.NameLocalCPU, "RemoteBackend-z", "RemoteBackend-a", storage.NameRemote}, h.Manager.Names())
}

// disconnected starts a host with a URL and returns why there is no connection.
func disconnected(t *testing.T, url, extra string) error {
	t.Helper()
	w := read(t, fmt.Sprintf("remote_url: %q\nextra_config: {%s}\n", url, extra))
	require.NoError(t, w.remotes.Register("mod", "Adapter", NewMyStoreConnectorAdapter))
	require.NoError(t, w.remotes.Register("mod", "function", func() int { return 1 }))
	require.NoError(t, w.remotes.Register("mod", "Lacks", func(*remote.ConnectorContext) (any, error) { return struct{}{}, nil }))
	h := w.start(t)
	b := backend(t, h, storage.NameRemote)
	require.False(t, b.Connected(), url)
	require.Empty(t, h.Manager.Contains(ctx, key(1), nil, false))
	require.NoError(t, h.Manager.BatchedPut(ctx, keys(1, 2), []*engine.Object{object(t, h, 1)}, storage.NameRemote))
	return b.Err()
}

func TestRow61BadURLs(t *testing.T) {
	for url, want := range map[string]string{
		"localhost:80":                "it has no scheme",
		"lm://h":                      "the port is missing", // row 73
		"lm://h:70000":                `"70000", want 0 to 65535`,
		"lm://h:x":                    `"x", want 0 to 65535`,
		"lm://:80":                    "the host is missing",
		"resp://[::1]":                "the port is missing",
		"fs://":                       "the folder is missing",
		"redis://h:1/x":               `the database is "x"`,
		"redis-sentinel://a:1,b":      "the port is missing",
		"mock://":                     "the size is missing",
		"mock://1/?peeking_latency=x": "peeking_latency",
		"sixcall://":                  "want sixcall://NAME",
		"s3://bucket":                 "want s3://bucket.host",
		"s3://bucket.host":            "s3_region",
		"infinistore://a:1,b:2":       "single host",
		"mooncakestore://h:1":         "master_server_address",
		"audit://h:1":                 "audit_actual_remote_url",
		"audit://h:1,i:2":             "single host",
		"sixcall://no_such_library":   "no_such_library",
	} {
		err := disconnected(t, url, "")
		require.ErrorContains(t, err, want, url)
	}
	err := disconnected(t, "lm://user:topsecret@h", "")
	require.NotContains(t, err.Error(), "topsecret")
	require.ErrorContains(t, disconnected(t, "infinistore://a:1", "infinistore_link_type: carrier"), "LINK_ETHERNET or LINK_IB")
}

// Rows 64 to 68: every error of external://.
func TestRow64ExternalURLErrors(t *testing.T) {
	for _, c := range []struct {
		url  string
		is   error
		says []string
	}{
		{"external://a:0,b:0/mod/?connector_name=C", remote.ErrURL, []string{"single host", "a:0", "b:0/mod"}},
		{"external://h:0/mod/", remote.ErrURL, []string{"connector_name"}},
		{"external://h:0/mod/?connector_name=", remote.ErrURL, []string{"connector_name"}},
		{"external://h/mod/?connector_name=C", remote.ErrURL, []string{"port"}},
		{"external://h:0/?connector_name=C", remote.ErrURL, []string{"module is missing"}},
		{"external://h:0/absent.module/?connector_name=C", remote.ErrModule, []string{"absent.module"}},
		{"external://h:0/mod/?connector_name=Absent", remote.ErrClass, []string{"mod", "Absent"}},
		{"external://h:0/mod/?connector_name=Adapter", remote.ErrType, []string{"mod", "Adapter"}},
		{"external://h:0/mod/?connector_name=function", remote.ErrType, []string{"mod", "function"}},
		{"external://h:0/mod/?connector_name=Lacks", remote.ErrType, []string{"ExistsSync", "List"}},
	} {
		err := disconnected(t, c.url, "")
		require.ErrorIs(t, err, c.is, c.url)
		for _, text := range c.says {
			require.ErrorContains(t, err, text, c.url)
		}
	}
}

func TestRow62SchemesInAnyCase(t *testing.T) {
	w := read(t, "remote_url: BLACKHOLE://\n")
	require.True(t, backend(t, w.start(t), storage.NameRemote).Connected())
}

func TestRow71HalfOfAnExternalConnector(t *testing.T) {
	w := read(t, "remote_url: foo://h:1\nextra_config: {external_connector.foo.module_path: mod}\n")
	h := w.start(t)
	require.ErrorIs(t, backend(t, h, storage.NameRemote).Err(), remote.ErrNoAdapter)
	require.Len(t, h.Problems, 1)
	require.ErrorContains(t, h.Problems[0], "external_connector.foo.class_name")
}

func TestRow48ARemoteURLWithAnUnknownSerde(t *testing.T) {
	w := read(t, "remote_url: blackhole://\nremote_serde: zip\n")
	_, err := w.tryStart()
	require.ErrorContains(t, err, `remote_serde is "zip"`)
}

func TestRow49ASchedulerLooksUp(t *testing.T) {
	w := read(t, "remote_url: fs://"+t.TempDir()+"\nremote_storage_plugins: [p]\nextra_config: {remote_storage_plugin.p.module_path: mod, remote_storage_plugin.p.class_name: C}\n")
	require.NoError(t, w.remotes.Register("mod", "C", class("C")))
	w.meta.Role = "scheduler"
	h := w.start(t)
	require.Nil(t, h.Manager.CPU())
	require.Equal(t, []string{"RemoteBackend-p", storage.NameRemote}, h.Manager.Names())
	p := wrapped(t, backend(t, h, "RemoteBackend-p"))
	p.objs[key(1).String()] = []byte{1}
	require.Equal(t, "RemoteBackend-p", h.Manager.Contains(ctx, key(1), nil, false))
	o, err := h.Manager.Backend("RemoteBackend-p").Get(ctx, key(1))
	require.Nil(t, o)
	require.ErrorContains(t, err, "scheduler")
}

func pluginYAML(names ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "storage_plugins: [%s]\nextra_config:\n  x: 1\n", strings.Join(names, ", "))
	for i, n := range names {
		if slices.Contains(names[:i], n) {
			continue
		}
		fmt.Fprintf(&b, "  storage_plugin.%s.module_path: mod\n  storage_plugin.%s.class_name: %s\n", n, n, n)
	}
	return b.String()
}

func TestRow78AConstructorThatFails(t *testing.T) {
	w := read(t, pluginYAML("first", "panics", "lacks", "second"))
	require.NoError(t, w.plugins.Register("mod", "first", func(storage.PluginContext) (any, error) { return nil, errors.New("the constructor failed") }))
	require.NoError(t, w.plugins.Register("mod", "panics", func(storage.PluginContext) (any, error) { panic("no") }))
	// Row 79: what is missing is named.
	require.NoError(t, w.plugins.Register("mod", "lacks", func(storage.PluginContext) (any, error) { return half{}, nil }))
	require.NoError(t, w.plugins.Register("mod", "second", logbackend.New))
	h := w.start(t)
	require.Equal(t, []string{storage.NameLocalCPU, "second"}, h.Manager.Names())
	require.Len(t, h.Problems, 3)
	require.ErrorContains(t, h.Problems[0], "the constructor failed")
	require.ErrorContains(t, h.Problems[1], "panicked")
	require.ErrorIs(t, h.Problems[2], storage.ErrNotBackend)
	require.ErrorContains(t, h.Problems[2], "lacks Contains, Get, InPutTasks, Pin, Remove, SubmitPut, Unpin")
}

type half struct{}

func (half) Close() error { return nil }

func TestRow80PluginsWithoutExtraConfig(t *testing.T) {
	w := read(t, "storage_plugins: [a, b]\n")
	h := w.start(t)
	require.Equal(t, []string{storage.NameLocalCPU}, h.Manager.Names())
	require.Len(t, h.Problems, 1)
	require.ErrorContains(t, h.Problems[0], "a, b")
	// Row 81.
	w = read(t, "storage_plugins: [a]\nextra_config: {storage_plugin.a.module_path: mod}\n")
	h = w.start(t)
	require.Len(t, h.Problems, 1)
	require.ErrorContains(t, h.Problems[0], "storage_plugin.a.class_name")
}

func TestRow82ReservedNames(t *testing.T) {
	w := read(t, pluginYAML("LocalCPUBackend", "RemoteBackend-x", "good", "good"))
	made := 0
	for _, n := range []string{"LocalCPUBackend", "RemoteBackend-x", "good"} {
		require.NoError(t, w.plugins.Register("mod", n, func(pc storage.PluginContext) (any, error) {
			made++
			return logbackend.New(pc)
		}))
	}
	h := w.start(t)
	require.Equal(t, []string{storage.NameLocalCPU, "good"}, h.Manager.Names())
	require.Equal(t, 1, made, "row 83: a name that is listed twice is one instance")
	require.Len(t, h.Problems, 2)
	require.ErrorIs(t, h.Problems[0], storage.ErrReserved)
}

func TestRow84WhatAPluginIsMadeWith(t *testing.T) {
	w := read(t, pluginYAML("mine"))
	var got storage.PluginContext
	require.NoError(t, w.plugins.Register("mod", "mine", func(pc storage.PluginContext) (any, error) {
		got = pc
		return logbackend.New(pc)
	}))
	h := w.start(t)
	require.Equal(t, "cpu", got.DstDevice)
	require.Equal(t, int64(1), got.Config.Extra["x"])
	require.Equal(t, w.meta, got.Metadata)
	require.Same(t, h.Manager.CPU(), got.LocalCPU)
	require.NoError(t, got.Context.Err())
	var fields []string
	for i := range reflect.TypeOf(got).NumField() {
		fields = append(fields, reflect.TypeOf(got).Field(i).Name)
	}
	require.Equal(t, []string{"Name", "DstDevice", "Config", "Metadata", "LocalCPU", "Context", "Logger"}, fields)
	// Row 85.
	w.meta.Role = "scheduler"
	w.start(t)
	require.Nil(t, got.LocalCPU)
}

func TestRow75StoragePluginsKeepTheirOrder(t *testing.T) {
	names := []string{"z", "y", "x", "w", "a"}
	for range 10 {
		w := read(t, pluginYAML(names...))
		for _, n := range names {
			require.NoError(t, w.plugins.Register("mod", n, logbackend.New))
		}
		require.Equal(t, append([]string{storage.NameLocalCPU}, names...), w.start(t).Manager.Names())
	}
}

func TestRow95AuditsAreAroundEveryBackend(t *testing.T) {
	w := read(t, "local_disk: "+t.TempDir()+"\nmax_local_disk_size: 1\nextra_config: {audit_backend_enabled: true}\n")
	h := w.start(t)
	put(t, h, h.Manager.Backend(storage.NameLocalDisk), 1)
	h.Manager.Touch()
	require.Equal(t, storage.NameLocalDisk, h.Manager.Contains(ctx, key(1), nil, true))
	require.NotZero(t, w.logs.FilterMessage("audit").Len())
	o, _ := h.Manager.Get(ctx, key(1), storage.NameLocalDisk)
	same(t, h, 1, o)
}

// A plugin's class may be a connector library: any that this program finds.
func TestLibrariesAsPlugins(t *testing.T) {
	dir := t.TempDir()
	w := read(t, fmt.Sprintf(`
remote_url: external://h:0/mem/?connector_name=mem
remote_storage_plugins: [files]
storage_plugins: [disk]
extra_config:
  remote_storage_plugin.files.module_path: fs
  remote_storage_plugin.files.class_name: fs
  remote_storage_plugin.files.base_path: %s
  remote_storage_plugin.files.names: remote
  storage_plugin.disk.module_path: fs
  storage_plugin.disk.class_name: fs
  storage_plugin.disk.base_path: %s
`, filepath.Join(dir, "a"), filepath.Join(dir, "b")))
	connector(t, "fs")
	connector(t, "mem")
	h := w.start(t)
	require.Empty(t, h.Problems)
	require.Equal(t, []string{storage.NameLocalCPU, "RemoteBackend-files", storage.NameRemote, "disk"}, h.Manager.Names())
	for _, name := range h.Manager.Names()[1:] {
		b := backend(t, h, name)
		require.NoError(t, b.Err())
		put(t, h, b, 1)
		o, err := b.Get(ctx, key(1))
		require.NoError(t, err)
		same(t, h, 1, o)
	}
	require.FileExists(t, filepath.Join(dir, "a", "org-SEP-m@1@0@1@bfloat16.data"))
	entries, err := os.ReadDir(filepath.Join(dir, "b"))
	require.NoError(t, err)
	require.NotEmpty(t, entries)
}

func TestLocationsOfTheConfiguration(t *testing.T) {
	w := read(t, "retrieve_locations: [RemoteBackend-b]\nstore_location: RemoteBackend-a\nremote_storage_plugins: [a, b]\nextra_config: {remote_storage_plugin.a.module_path: mod, remote_storage_plugin.a.class_name: C, remote_storage_plugin.b.module_path: mod, remote_storage_plugin.b.class_name: C}\n")
	require.NoError(t, w.remotes.Register("mod", "C", class("C")))
	h := w.start(t)
	require.NoError(t, h.Manager.BatchedPut(ctx, keys(1, 2), []*engine.Object{object(t, h, 1)}, ""))
	a := backend(t, h, "RemoteBackend-a")
	eventually(t, func() bool { ok, _ := a.Contains(ctx, key(1), false); return ok })
	require.Zero(t, h.Manager.CPU().Keys(), "stored in one place")
	require.Empty(t, h.Manager.Contains(ctx, key(1), nil, false), "and looked for in another")
	require.Equal(t, "RemoteBackend-a", h.Manager.Contains(ctx, key(1), []string{"RemoteBackend-a"}, false))
	put(t, h, backend(t, h, "RemoteBackend-b"), 2)
	o, where := h.Manager.Get(ctx, key(2), "")
	require.Equal(t, "RemoteBackend-b", where)
	same(t, h, 2, o)
}
