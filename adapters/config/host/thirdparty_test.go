//go:build linux

package host_test

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/storage"
	"github.com/sixcall/sixcall/internal/servers"
)

// lmcachePlugins puts LMCache 0.5.6, or the other version that is given, torch and
// plug-ins of third parties on the interpreter's path.
func lmcachePlugins(t *testing.T, version ...string) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: minutes, and no Go in them")
	}
	folders := append(servers.LMCacheTorch(t), servers.Deps(t, "lmcache-plugins"))
	for _, v := range version {
		folders = append(folders, servers.Deps(t, "lmcache-"+v))
	}
	needPython(t, folders...)
	servers.Program(t, "python3.11", "python3")
	t.Setenv("LMCACHE_TRACK_USAGE", "false")
}

// logged waits for a line of a log that has all texts.
func logged(t *testing.T, w *world, texts ...string) {
	t.Helper()
	servers.Eventually(t, time.Minute, func() error {
	lines:
		for _, entry := range w.logs.All() {
			for _, text := range texts {
				if !strings.Contains(entry.Message, text) {
					continue lines
				}
			}
			return nil
		}
		var all []string
		for _, entry := range w.logs.All() {
			all = append(all, entry.Message)
		}
		return errors.New("not logged: " + strings.Join(texts, " ... ") + "; but: " + strings.Join(all[max(0, len(all)-20):], "\n"))
	})
}

// TestSeedLogBackendInPython is the log backend of the documentation, as it is on PyPI,
// with the YAML of the documentation. It was written for LMCache 0.3.
func TestSeedLogBackendInPython(t *testing.T) {
	lmcachePlugins(t)
	seedLogBackendInPython(t)
}

func seedLogBackendInPython(t *testing.T) {
	t.Helper()
	w := read(t, `
chunk_size: 64
local_cpu: False
max_local_cpu_size: 0.01
storage_plugins: "log_backend"
extra_config:
  storage_plugin.log_backend.module_path: lmc_external_log_backend.lmc_external_log_backend
  storage_plugin.log_backend.class_name: ExternalLogBackend
  sixcall.python: python3.11
`)
	h := w.start(t)
	require.Empty(t, h.Problems)
	b := h.Manager.Backend("log_backend")
	there, err := b.Contains(ctx, key(1), false)
	require.NoError(t, err)
	require.False(t, there)
	put(t, h, b, 1)
	o, err := b.Get(ctx, key(1))
	require.NoError(t, err)
	require.Nil(t, o)
	for _, line := range []string{
		"ExternalLogBackend initialized for device cpu", "Checking contains for key: ", "Get blocking for key: ",
		"size: torch.Size([2, 2, 16, 16])",
	} {
		logged(t, w, line)
	}
}

// TestKvblockdInPython is a connector adapter from PyPI, whose server is not there: it
// answers misses itself.
func TestKvblockdInPython(t *testing.T) {
	lmcachePlugins(t)
	w := read(t, `
chunk_size: 64
max_local_cpu_size: 0.01
remote_storage_plugins: ["kvblockd.second"]
extra_config:
  remote_storage_plugin.kvblockd.second.module_path: lmcache_kvblockd.adapter
  remote_storage_plugin.kvblockd.second.class_name: KvblockdConnectorAdapter
  remote_storage_plugin.kvblockd.second.url: "kvblockd://127.0.0.1:1?namespace=test"
  sixcall.python: python3.11
`)
	h := w.start(t)
	require.Empty(t, h.Problems)
	b := backend(t, h, "RemoteBackend-kvblockd.second")
	there, err := b.Contains(ctx, key(1), false)
	require.NoError(t, err)
	require.False(t, there)
	o := object(t, h, 1)
	require.ErrorContains(t, b.Connector().Put(ctx, key(1), o), "put returned False")
	o.Release()
	o, err = b.Get(ctx, key(1))
	require.NoError(t, err)
	require.Nil(t, o)
	logged(t, w, "kvblockd put failed (treated as miss)", "Connection refused")
}

// TestLMCacheOfTheInterpreter runs the plug-ins of TestStorageBackendsInPython and
// others with the real LMCache and torch instead of stand-ins.
func TestLMCacheOfTheInterpreter(t *testing.T) {
	lmcachePlugins(t)
	lmcacheOfTheInterpreter(t)
}

func lmcacheOfTheInterpreter(t *testing.T) {
	t.Helper()
	h := read(t, `
chunk_size: 64
max_local_cpu_size: 0.01
remote_url: "mystore://localhost:8080/data"
remote_storage_plugins: ["mystore"]
storage_plugins: ["custom"]
extra_config:
  sixcall.python: python3.11
  remote_storage_plugin.mystore.module_path: my_package.my_connector
  remote_storage_plugin.mystore.class_name: MyStoreConnectorAdapter
  storage_plugin.custom.module_path: my_package.my_backend_module
  storage_plugin.custom.class_name: MyCustomBackendClass
`).start(t)
	require.Empty(t, h.Problems)
	for _, name := range []string{storage.NameRemote, "custom"} {
		exchange(t, h, name)
	}
}

// startKvblockd starts a stand-in for kvblockd's server and returns its address.
func startKvblockd(t *testing.T) string {
	t.Helper()
	script, err := filepath.Abs("../../python/tests/kvblockd_server.py")
	require.NoError(t, err)
	for range 5 { // a port that was free may be taken by the time
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(servers.FreePort(t)))
		_, port, _ := net.SplitHostPort(address)
		server := servers.Start(t, "kvblockd", exec.Command(servers.Program(t, "python3.11", "python3"), script, port))
		err = server.TryAwait(func() error {
			conn, err := net.DialTimeout("tcp", address, time.Second)
			if err == nil {
				err = conn.Close()
			}
			return err
		})
		if err == nil {
			return address
		}
	}
	require.NoError(t, err)
	return ""
}

// TestKvblockdStoresFromPython is the same adapter with something that answers: values
// go to it and come back as they were.
func TestKvblockdStoresFromPython(t *testing.T) {
	lmcachePlugins(t)
	kvblockdStoresFromPython(t)
}

func kvblockdStoresFromPython(t *testing.T) {
	t.Helper()
	address := startKvblockd(t)
	h := read(t, `
chunk_size: 64
max_local_cpu_size: 0.01
remote_url: "kvblockd://`+address+`?namespace=test"
remote_storage_plugins: ["kvblockd"]
extra_config:
  remote_storage_plugin.kvblockd.module_path: lmcache_kvblockd.adapter
  remote_storage_plugin.kvblockd.class_name: KvblockdConnectorAdapter
  sixcall.python: python3.11
`).start(t)
	require.Empty(t, h.Problems)
	require.Equal(t, []string{storage.NameLocalCPU, storage.NameRemote}, h.Manager.Names())
	exchange(t, h, storage.NameRemote)
}

// TestPluginsInPythonOnLMCacheVersions is run by make test-lmcache-versions.
func TestPluginsInPythonOnLMCacheVersions(t *testing.T) {
	if os.Getenv("SIXCALL_LMCACHE_VERSIONS") == "" {
		t.Skip("set SIXCALL_LMCACHE_VERSIONS; it installs versions of LMCache")
	}
	for _, version := range []string{"0.5.5", "0.5.0", "0.4.7", "0.4.1", "0.3.15"} {
		t.Run(version, func(t *testing.T) {
			lmcachePlugins(t, version)
			seedLogBackendInPython(t)
			kvblockdStoresFromPython(t)
			lmcacheOfTheInterpreter(t)
		})
	}
}
