//go:build linux

package host_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/config/host"
	"github.com/sixcall/sixcall/adapters/remote"
	"github.com/sixcall/sixcall/adapters/storage"
	"github.com/sixcall/sixcall/bridge/engine"
	"github.com/sixcall/sixcall/internal/servers"
)

// needPython puts the plug-ins of the Python package's tests on the interpreter's path,
// and with that folders before them. Without any, LMCache is not there.
func needPython(t *testing.T, folders ...string) {
	t.Helper()
	servers.Program(t, "python3", "python3")
	path, err := filepath.Abs("../../python/tests/plugins")
	require.NoError(t, err)
	for _, f := range folders {
		path = f + string(filepath.ListSeparator) + path
	}
	t.Setenv("PYTHONPATH", path)
	t.Setenv("PYTHONDONTWRITEBYTECODE", "1")
}

// exchange stores chunks, a partial one among them, and reads them again.
func exchange(t *testing.T, h *host.Host, name string) {
	t.Helper()
	b := h.Manager.Backend(name)
	there, err := b.Contains(ctx, key(1), false)
	require.NoError(t, err)
	require.False(t, there)
	put(t, h, b, 1, 2, 3)
	for _, seed := range []int{1, 2, 3} {
		there, err := b.Contains(ctx, key(seed), false)
		require.NoError(t, err)
		require.True(t, there)
		o, err := b.Get(ctx, key(seed))
		require.NoError(t, err)
		require.Equal(t, metadata().Layout(), o.Layout())
		same(t, h, seed, o)
	}
	// Values outlive the memory that they came in: it is used for others now.
	put(t, h, b, 4, 5, 6, 7)
	o, err := b.Get(ctx, key(1))
	require.NoError(t, err)
	same(t, h, 1, o)

	partial := object(t, h, 9)
	require.NoError(t, partial.Truncate(partial.Len()/4))
	want := append([]byte{}, partial.Bytes()...)
	done := make(chan error, 1)
	require.NoError(t, b.SubmitPut(ctx, []engine.Key{key(9)}, []*engine.Object{partial}, func(_ engine.Key, err error) { done <- err }))
	require.NoError(t, <-done)
	partial.Release()
	o, err = b.Get(ctx, key(9))
	require.NoError(t, err)
	require.NotNil(t, o)
	require.Equal(t, want, o.Bytes())
	o.Release()

	gone, err := b.Remove(ctx, key(2), true)
	if name == "RemoteBackend-sync" { // its class cannot
		require.ErrorContains(t, err, "Sync has no remove_sync")
		return
	}
	require.NoError(t, err)
	require.True(t, gone)
	o, err = b.Get(ctx, key(2))
	require.NoError(t, err)
	require.Nil(t, o)
}

// TestSeedRemoteConnectorInPython is the YAML of the documentation, with its module.
func TestSeedRemoteConnectorInPython(t *testing.T) {
	needPython(t)
	h := read(t, `
chunk_size: 64
local_cpu: False
max_local_cpu_size: 0.01
remote_url: "mystore://localhost:8080/data"
remote_storage_plugins: ["mystore"]
extra_config:
  remote_storage_plugin.mystore.module_path: my_package.my_connector
  remote_storage_plugin.mystore.class_name: MyStoreConnectorAdapter
`).start(t)
	require.Empty(t, h.Problems)
	require.Equal(t, []string{storage.NameLocalCPU, storage.NameRemote}, h.Manager.Names())
	b := backend(t, h, storage.NameRemote)
	exchange(t, h, storage.NameRemote)
	listed, err := b.Connector().List(ctx)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{key(1).String(), key(3).String(), key(4).String(), key(5).String(), key(6).String(), key(7).String(), key(9).String()}, listed)
	// What the plug-in raises is the error of that key.
	full := key(1)
	full.Model = "no/space"
	o := object(t, h, 1)
	defer o.Release()
	require.ErrorContains(t, b.Connector().Put(ctx, full, o), "no space left on MyStore")
}

func TestFormsOfConnectorsInPython(t *testing.T) {
	needPython(t)
	h := read(t, `
chunk_size: 64
max_local_cpu_size: 0.01
remote_url: "external://host:0/my_package.connector/?connector_name=MyStoreConnector"
remote_storage_plugins: [sync, mystore.two, lacking, failing]
extra_config:
  sixcall.python: python3
  remote_storage_plugin.sync.module_path: my_package.my_connector
  remote_storage_plugin.sync.class_name: SyncAdapter
  remote_storage_plugin.sync.python: python3
  remote_storage_plugin.mystore.two.module_path: my_package.connector
  remote_storage_plugin.mystore.two.class_name: MyStoreConnector
  remote_storage_plugin.lacking.module_path: my_package.my_connector
  remote_storage_plugin.lacking.class_name: LackingAdapter
  remote_storage_plugin.failing.module_path: my_package.my_connector
  remote_storage_plugin.failing.class_name: FailingAdapter
`).start(t)
	require.Empty(t, h.Problems)
	for _, name := range []string{"RemoteBackend-sync", "RemoteBackend-mystore.two", storage.NameRemote} {
		exchange(t, h, name)
	}
	// One that cannot be made is disconnected, and says why.
	for name, want := range map[string]string{
		"RemoteBackend-lacking": "my_package.connector.Lacking lacks get, put", "RemoteBackend-failing": "FailingAdapter.create_connector: ",
	} {
		_, err := backend(t, h, name).Contains(ctx, key(1), false)
		require.ErrorIs(t, err, remote.ErrDisconnected)
		require.ErrorContains(t, err, want)
	}
}

func TestSchemesOfConnectorsInPython(t *testing.T) {
	needPython(t)
	w := read(t, `
chunk_size: 64
max_local_cpu_size: 0.01
remote_url: "foo://localhost:1"
extra_config:
  external_connector.foo.module_path: my_package.connector
  external_connector.foo.class_name: MyStoreConnector
  external_connector.bar.module_path: my_package.my_connector
  external_connector.bar.class_name: MyStoreConnectorAdapter
  external_connector.baz.module_path: my_package.nowhere
  external_connector.baz.class_name: C
`)
	h := w.start(t)
	exchange(t, h, storage.NameRemote)
	require.Len(t, h.Problems, 2)
	require.ErrorIs(t, h.Problems[0], remote.ErrType)
	require.ErrorContains(t, h.Problems[1], `has no module "my_package.nowhere"`)
}

func TestStorageBackendsInPython(t *testing.T) {
	needPython(t)
	w := read(t, `
chunk_size: 64
max_local_cpu_size: 0.01
external_backends: ["my_custom_backend", "older", "more", "absent"]
extra_config:
  external_backend.my_custom_backend.module_path: my_package.my_backend_module
  external_backend.my_custom_backend.class_name: MyCustomBackendClass
  storage_plugin.older.module_path: my_package.my_backend_module
  storage_plugin.older.class_name: Older
  storage_plugin.more.module_path: my_package.my_backend_module
  storage_plugin.more.class_name: WantsMore
  storage_plugin.absent.module_path: my_package.my_backend_module
  storage_plugin.absent.class_name: Absent
`)
	h := w.start(t)
	require.Equal(t, 1, w.logs.FilterMessage("Older lacks batched_submit_put_task, get_allocator_backend; the worker fills in what LMCache's interface did not have when it was written").Len())
	require.Equal(t, []string{storage.NameLocalCPU, "my_custom_backend", "older", "more"}, h.Manager.Names())
	for _, name := range []string{"my_custom_backend", "older"} {
		exchange(t, h, name)
	}
	require.Len(t, h.Problems, 1)
	require.ErrorContains(t, h.Problems[0], `class_name is "Absent"`)
	require.ErrorContains(t, h.Problems[0], "it has: MyCustomBackendClass, Older, WantsMore")
	_, err := h.Manager.Backend("more").Contains(ctx, key(1), false)
	require.ErrorContains(t, err, "the constructor of WantsMore wants gpu_connector")
}

// TestHostileBackendsInPython: whatever a read does in the plug-in's process, it is a
// miss or an error here, and others are served again.
func TestHostileBackendsInPython(t *testing.T) {
	needPython(t)
	for does, ends := range map[string]bool{"raise": false, "rubbish": false, "os-exit": true, "segfault": true} {
		t.Run(does, func(t *testing.T) {
			h := read(t, `
chunk_size: 64
max_local_cpu_size: 0.01
blocking_timeout_secs: 20
storage_plugins: [store]
remote_storage_plugins: [remote]
extra_config:
  does: `+does+`
  storage_plugin.store.module_path: hostile_store
  storage_plugin.store.class_name: HostileBackend
  remote_storage_plugin.remote.module_path: hostile_store
  remote_storage_plugin.remote.class_name: HostileAdapter
`).start(t)
			require.Empty(t, h.Problems)
			evil := key(1)
			evil.Model = "evil"
			for _, name := range []string{"store", "RemoteBackend-remote"} {
				b := h.Manager.Backend(name)
				put(t, h, b, 1, 2)
				o, _ := b.Get(ctx, evil)
				require.Nil(t, o)
				if !ends { // it has what it had
					o, err := b.Get(ctx, key(1))
					require.NoError(t, err)
					same(t, h, 1, o)
					continue
				}
				servers.Eventually(t, time.Minute, func() error { // the new process is empty
					done := make(chan error, 1)
					o := object(t, h, 3)
					defer o.Release()
					if err := b.SubmitPut(ctx, []engine.Key{key(3)}, []*engine.Object{o}, func(_ engine.Key, err error) { done <- err }); err != nil {
						return err
					}
					return <-done
				})
				o, err := b.Get(ctx, key(3))
				require.NoError(t, err)
				same(t, h, 3, o)
				there, err := b.Contains(ctx, key(1), false)
				require.NoError(t, err)
				require.False(t, there)
			}
		})
	}
}

// TestProgramsAsBackends: a program that speaks the worker's protocol is named by its
// path, wherever a class is.
func TestProgramsAsBackends(t *testing.T) {
	needPython(t)
	path, err := filepath.Abs("../../python/tests/plugins/shelf")
	require.NoError(t, err)
	h := read(t, `
chunk_size: 64
max_local_cpu_size: 0.01
remote_url: foo://h:1
remote_storage_plugins: [shelf]
storage_plugins: [shelf, absent]
extra_config:
  remote_storage_plugin.shelf.module_path: `+path+`
  remote_storage_plugin.shelf.class_name: shelf
  external_connector.foo.module_path: `+path+`
  external_connector.foo.class_name: shelf
  storage_plugin.shelf.module_path: `+path+`
  storage_plugin.shelf.class_name: shelf
  storage_plugin.absent.module_path: `+path+`.absent
  storage_plugin.absent.class_name: shelf
`).start(t)
	for _, name := range []string{"RemoteBackend-shelf", storage.NameRemote, "shelf"} {
		exchange(t, h, name)
	}
	require.Len(t, h.Problems, 1)
	require.ErrorContains(t, h.Problems[0], "shelf.absent: no such file")
}

// TestHangingBackendsInPython: a read that does not return is given up, and so is the
// process when the host ends.
func TestHangingBackendsInPython(t *testing.T) {
	needPython(t)
	h := read(t, `
chunk_size: 64
max_local_cpu_size: 0.01
blocking_timeout_secs: 1
storage_plugins: [store]
remote_storage_plugins: [remote]
extra_config:
  does: hang
  storage_plugin.store.module_path: hostile_store
  storage_plugin.store.class_name: HostileBackend
  remote_storage_plugin.remote.module_path: hostile_store
  remote_storage_plugin.remote.class_name: HostileAdapter
`).start(t)
	evil := key(1)
	evil.Model = "evil"
	for _, name := range []string{"store", "RemoteBackend-remote"} {
		b := h.Manager.Backend(name)
		put(t, h, b, 1)
		o, _ := b.Get(ctx, evil)
		require.Nil(t, o)
	}
	// One thread of several hangs: the others serve.
	o, err := h.Manager.Backend("store").Get(ctx, key(1))
	require.NoError(t, err)
	same(t, h, 1, o)
}
