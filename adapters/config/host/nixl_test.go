//go:build linux && amd64

package host_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/config/host"
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
	peer := "enable_p2p: true\np2p_host: 127.0.0.1\np2p_init_ports: [%s]\nextra_config: {sixcall.nixl_peer.peers: [127.0.0.1]}\n"
	for yaml, want := range map[string]string{
		"enable_p2p: true\n": "LMCache's controller",
		fmt.Sprintf(peer, "1") + "transfer_channel: py_socket\n": `transfer_channel is "py_socket", want nixl`,
		"enable_pd: true\n": "enable_pd is true: prefill and decode in different processes",
	} {
		_, err := read(t, yaml).tryStart()
		require.ErrorContains(t, err, want)
	}
	w := read(t, fmt.Sprintf(peer, "8200, 8201"))
	w.meta.LocalWorkerID = 2
	require.ErrorContains(t, w.start(t).Problems[0], "p2p_init_ports has 2 ports, none for the worker 2")
}

// Two engines share what each has stored, over NIXL and TCP on loopback.
func TestPeersOverNixl(t *testing.T) {
	connector(t, "nixl_peer")
	needWorker(t)
	t.Setenv("UCX_TLS", "tcp") // for the workers
	t.Setenv("UCX_NET_DEVICES", "lo")
	start := func(own, other int) *host.Host {
		return read(t, fmt.Sprintf(`
local_cpu: false
enable_p2p: true
transfer_channel: nixl
p2p_host: 127.0.0.1
p2p_init_ports: [%d]
extra_config:
  sixcall.nixl_peer.peers: ["127.0.0.1:%d"]
  sixcall.nixl_peer.pool_bytes: 16777216
  sixcall.nixl_peer.library: %s
`, own, other, servers.Deps(t, "nixl"))).start(t)
	}
	var first, second *host.Host
	for attempt := 1; ; attempt++ { // another process may have taken a port
		a, b := servers.FreePort(t), servers.FreePort(t)
		first, second = start(a, b), start(b, a)
		err := errors.Join(backend(t, first, storage.NameP2P).Err(), backend(t, second, storage.NameP2P).Err())
		if err == nil {
			break
		}
		require.Less(t, attempt, 5, "%v", err)
	}
	require.Equal(t, []string{storage.NameLocalCPU, storage.NameP2P}, first.Manager.Names())
	put(t, first, backend(t, first, storage.NameP2P), 1, 2)
	put(t, second, backend(t, second, storage.NameP2P), 3)
	for _, h := range []*host.Host{first, second} {
		require.Equal(t, storage.NameP2P, h.Manager.Contains(ctx, key(2), nil, false))
		for i := 1; i <= 3; i++ {
			o, where := h.Manager.Get(ctx, key(i), "")
			require.Equal(t, storage.NameP2P, where)
			same(t, h, i, o)
		}
		require.Nil(t, get(t, backend(t, h, storage.NameP2P), 4))
		require.NoError(t, backend(t, h, storage.NameP2P).CheckHealth(ctx))
	}
}
