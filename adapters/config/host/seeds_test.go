//go:build linux

package host_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/storage"
	"github.com/sixcall/sixcall/bridge/engine"
	logbackend "github.com/sixcall/sixcall/examples/log-backend"
)

// The configurations of the documents, as they stand there.

const remotePlugin = `
chunk_size: 64
local_cpu: False
max_local_cpu_size: 5
remote_url: "mystore://localhost:8080/data"
remote_storage_plugins: ["mystore"]
extra_config:
  remote_storage_plugin.mystore.module_path: my_package.my_connector
  remote_storage_plugin.mystore.class_name: MyStoreConnectorAdapter
`

func TestRow50RemotePluginOfTheDocuments(t *testing.T) {
	w := read(t, remotePlugin)
	require.NoError(t, w.remotes.Register("my_package.my_connector", "MyStoreConnectorAdapter", NewMyStoreConnectorAdapter))
	h := w.start(t)
	require.Empty(t, h.Problems)
	require.Equal(t, []string{storage.NameLocalCPU, storage.NameRemote}, h.Manager.Names(), "one remote, and no dead one beside it")
	b := backend(t, h, storage.NameRemote)
	require.Equal(t, "mystore://localhost:8080/data", wrapped(t, b).c.URL)
	require.Equal(t, 64, w.config.ChunkSize)
	put(t, h, b, 1)
	o, where := h.Manager.Get(ctx, key(1), "")
	require.Equal(t, storage.NameRemote, where)
	same(t, h, 1, o)
}

func TestRow51APluginWithoutAURL(t *testing.T) {
	w := read(t, `
remote_storage_plugins: ["mystore"]
extra_config:
  remote_storage_plugin.mystore.module_path: my_connector_package.adapter
  remote_storage_plugin.mystore.class_name: MyStoreConnectorAdapter
`)
	require.NoError(t, w.remotes.Register("my_connector_package.adapter", "MyStoreConnectorAdapter", NewMyStoreConnectorAdapter))
	h := w.start(t)
	require.Equal(t, []string{storage.NameLocalCPU, "RemoteBackend-mystore"}, h.Manager.Names())
	b := backend(t, h, "RemoteBackend-mystore")
	require.Equal(t, "plugin://mystore", wrapped(t, b).c.URL)
	put(t, h, b, 1)
}

const storagePlugin = `
chunk_size: 64
local_cpu: False
max_local_cpu_size: 5
storage_plugins: "log_backend"
extra_config:
  storage_plugin.log_backend.module_path: lmc_external_log_backend.lmc_external_log_backend
  storage_plugin.log_backend.class_name: ExternalLogBackend
`

func TestRow74LogBackendOfTheDocuments(t *testing.T) {
	w := read(t, storagePlugin)
	require.NoError(t, logbackend.Register(w.plugins))
	h := w.start(t)
	require.Empty(t, h.Problems)
	require.Equal(t, []string{storage.NameLocalCPU, "log_backend"}, h.Manager.Names())
	require.NoError(t, h.Manager.BatchedPut(ctx, keys(1, 3), []*engine.Object{object(t, h, 1), object(t, h, 2)}, ""))
	require.Empty(t, h.Manager.Contains(ctx, key(1), nil, false))
	o, _ := h.Manager.Get(ctx, key(1), "")
	require.Nil(t, o)
	for op, lines := range map[string]int{"batched_submit_put_task": 2, "contains": 1, "get_blocking": 1} {
		require.Equal(t, lines, w.logs.FilterMessage(op).Len(), op)
	}
	require.Zero(t, h.Manager.CPU().Pool().InUse())
}

func TestRow76OlderNamesOfStoragePlugins(t *testing.T) {
	// The text of the first document, and row 77: the older list with the newer keys.
	for _, yaml := range []string{`
external_backends: ["my_custom_backend"]
extra_config:
  external_backend.my_custom_backend.module_path: my_package.my_backend_module
  external_backend.my_custom_backend.class_name: MyCustomBackendClass
`, `
external_backends: ["my_custom_backend"]
extra_config:
  storage_plugin.my_custom_backend.module_path: my_package.my_backend_module
  storage_plugin.my_custom_backend.class_name: MyCustomBackendClass
`} {
		w := read(t, yaml)
		require.NoError(t, w.plugins.Register("my_package.my_backend_module", "MyCustomBackendClass", logbackend.New))
		h := w.start(t)
		require.Empty(t, h.Problems)
		require.Equal(t, []string{storage.NameLocalCPU, "my_custom_backend"}, h.Manager.Names())
		require.Len(t, w.config.Warnings, 1)
		require.Contains(t, w.config.Warnings[0], "external_backends is an older name of storage_plugins")
	}
}

func TestRow70ExternalConnectorOfTheDocuments(t *testing.T) {
	w := read(t, `
remote_url: foo://store:9999
extra_config:
  # Enable custom remote connector for scheme "foo"
  external_connector.foo.module_path: my_package.my_foostore_connector
  external_connector.foo.class_name: FooStoreConnector
`)
	require.NoError(t, w.remotes.Register("my_package.my_foostore_connector", "FooStoreConnector", class("Foo")))
	h := w.start(t)
	require.Empty(t, h.Problems)
	require.Equal(t, "Foo", wrapped(t, backend(t, h, storage.NameRemote)).name)
}

func TestRow63ExternalURLOfTheDocuments(t *testing.T) {
	for _, url := range []string{
		"external://host:0/my_module.my_submodule/?connector_name=MyCustomConnector",
		"external://host:0/my_module.my_submodule?connector_name=MyCustomConnector",
		// Row 69: the first of two counts.
		"external://host:0/my_module.my_submodule/?connector_name=MyCustomConnector&connector_name=Other",
	} {
		w := read(t, "remote_url: "+url+"\n")
		require.NoError(t, w.remotes.Register("my_module.my_submodule", "MyCustomConnector", class("Custom")))
		h := w.start(t)
		b := backend(t, h, storage.NameRemote)
		require.Equal(t, "Custom", wrapped(t, b).name)
		require.Equal(t, url, wrapped(t, b).c.URL)
		require.Equal(t, 1, w.logs.FilterMessageSnippet("my_module.my_submodule").FilterMessageSnippet("MyCustomConnector").Len(), "the log names both")
	}
}

func TestPluginScriptsOfTheDocuments(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"scheduler_metrics.py": "print('never')\n", "worker_0_health.sh": "echo health $LMCACHE_PLUGIN_ROLE $LMCACHE_PLUGIN_WORKER_ID\n",
		"worker_logcollector.py": "import json, os; print(json.loads(os.environ['LMCACHE_PLUGIN_CONFIG'])['extra_config']['mine'])\n",
		"worker_2_custom.py":     "print('never')\n", "all_monitor.sh": "echo monitor\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	w := read(t, "plugin_locations: [\""+dir+"\"]\nextra_config:\n  mine: setting\n  sixcall.plugin_grace_secs: 0.1\n")
	h := w.start(t)
	require.NoError(t, h.Launch())
	require.Len(t, h.Launcher.Status(), 3)
	for _, line := range []string{"[worker_0_health.sh] health WORKER 0", "[worker_logcollector.py] setting", "[all_monitor.sh] monitor"} {
		eventually(t, func() bool { return w.logs.FilterMessage(line).Len() == 1 })
	}
}
