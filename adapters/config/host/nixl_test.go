//go:build linux && amd64

package host_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/storage"
	"github.com/sixcall/sixcall/internal/servers"
)

func TestNixlStorageInFiles(t *testing.T) {
	connector(t, "nixl")
	needWorker(t)
	library, dir := servers.Deps(t, "nixl"), t.TempDir()
	w := read(t, fmt.Sprintf("local_cpu: false\nnixl_buffer_device: cpu\nextra_config: {enable_nixl_storage: true, nixl_backend: POSIX, nixl_path: %s, nixl_pool_size: 64, sixcall.nixl.library: %s}\n", dir, library))
	h := w.start(t)
	require.Empty(t, h.Problems)
	require.Equal(t, []string{storage.NameLocalCPU, storage.NameNixl}, h.Manager.Names(), "right behind the memory")
	b := backend(t, h, storage.NameNixl)
	require.NoError(t, b.Err())
	require.Equal(t, 1, w.logs.FilterMessageSnippet("has no effect here").FilterMessageSnippet("NIXL").Len())
	usable(t, h, b)
	var files int
	require.NoError(t, filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".data" {
			files++
		}
		return err
	}))
	require.Equal(t, 3, files)
	// Another engine on the same folder finds them.
	other := read(t, fmt.Sprintf("extra_config: {enable_nixl_storage: true, nixl_backend: POSIX, nixl_path: %s, sixcall.nixl.library: %s}\n", dir, library)).start(t)
	require.Equal(t, storage.NameNixl, other.Manager.Contains(ctx, key(1), nil, false))
	o, where := other.Manager.Get(ctx, key(4), "")
	require.Equal(t, storage.NameNixl, where)
	same(t, other, 4, o)
}

func TestNixlStorageInObjects(t *testing.T) {
	connector(t, "nixl")
	needWorker(t)
	m := servers.Moto(t)
	m.MakeBucket(t, "kv-cache")
	h := read(t, fmt.Sprintf(`
local_cpu: false
extra_config:
  enable_nixl_storage: true
  nixl_backend: OBJ
  nixl_endpoint_list: [%q]
  nixl_backend_params: {access_key: AKIAEXAMPLE, secret_key: not-a-secret, bucket: kv-cache, scheme: http, region: us-east-1, endpoint_override: "http://127.0.0.1:1"}
  sixcall.nixl.library: %s
`, m.Endpoint, servers.Deps(t, "nixl"))).start(t)
	require.Empty(t, h.Problems)
	b := backend(t, h, storage.NameNixl)
	require.NoError(t, b.Err(), "the worker's endpoint is used, not that of the parameters")
	usable(t, h, b)
}

func TestNixlSettingsThatCannotBeRight(t *testing.T) {
	for extra, want := range map[string]string{
		"enable_nixl_storage: true": "needs nixl_backend",
		"enable_nixl_storage: true, nixl_backend: POSIX, nixl_path: /tmp, nixl_path_sharding: random": "nixl_path_sharding is random",
		"enable_nixl_storage: true, nixl_backend: OBJ, nixl_endpoint_list: []":                        "nixl_endpoint_list",
		"enable_nixl_storage: true, nixl_backend: OBJ, nixl_endpoint_list: ['ftp://h']":               "ftp://h",
	} {
		h := read(t, "extra_config: {"+extra+"}\n").start(t)
		require.Len(t, h.Problems, 1, extra)
		require.ErrorContains(t, h.Problems[0], want)
		require.Equal(t, []string{storage.NameLocalCPU}, h.Manager.Names())
	}
	h := read(t, "save_unfull_chunk: true\nextra_config: {enable_nixl_storage: true, nixl_backend: POSIX}\n").start(t)
	require.ErrorContains(t, h.Problems[0], "save_unfull_chunk")
	for yaml, want := range map[string]string{
		"enable_p2p: true\n": "enable_p2p is true: transfer between peers over NIXL is not part of this program",
		"enable_pd: true\n":  "enable_pd is true: prefill and decode in different processes",
	} {
		_, err := read(t, yaml).tryStart()
		require.ErrorContains(t, err, want)
	}
}
