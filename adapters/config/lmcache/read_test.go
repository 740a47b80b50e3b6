package lmcache_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/config/lmcache"
)

func parse(t *testing.T, text string) *lmcache.Config {
	t.Helper()
	c, err := lmcache.Parse([]byte(text))
	require.NoError(t, err)
	return c
}

func TestDefaults(t *testing.T) {
	c := parse(t, "")
	require.Empty(t, c.Warnings)
	require.NoError(t, c.Validate())
	require.Equal(t, 256, c.ChunkSize)
	require.True(t, c.LocalCPU)
	require.Equal(t, 5.0, c.MaxLocalCPUSize)
	require.Equal(t, "naive", c.RemoteSerde)
	require.Equal(t, "LRU", c.CachePolicy)
	require.Equal(t, 10*time.Second, c.BlockingTimeout)
	require.Equal(t, 300*time.Second, c.PinTimeout)
	require.True(t, c.SavesChunkMeta())
	require.Nil(t, c.StoragePlugins)
}

func TestTheFormsOfLists(t *testing.T) {
	c := parse(t, `
storage_plugins: " a , ,b"
remote_storage_plugins: [" a ", b]
retrieve_locations: ""
plugin_locations: "/x,/y"
local_disk: "file:///a, /b"
max_local_disk_size: "1.5"
chunk_size: "64"
local_cpu: "False"
extra_config: '{"a.b": 1, "c": 1.5, "d": "text", "save_chunk_meta": false}'
`)
	require.Equal(t, []string{"a", "b"}, c.StoragePlugins)
	require.Equal(t, []string{" a ", "b"}, c.RemoteStoragePlugins, "elements of a list stay as they are")
	require.Equal(t, []string{}, c.RetrieveLocations)
	require.Equal(t, []string{"/x,/y"}, c.PluginLocations, "a text is one path")
	require.Equal(t, []string{"/a", "/b"}, c.LocalDisk)
	require.Equal(t, 1.5, c.MaxLocalDiskSize)
	require.Equal(t, 64, c.ChunkSize)
	require.False(t, c.LocalCPU)
	require.Equal(t, map[string]any{"a.b": int64(1), "c": 1.5, "d": "text", "save_chunk_meta": false}, c.Extra)
	require.False(t, c.SavesChunkMeta())
	require.Equal(t, []string{"line 5: plugin_locations is an older name of runtime_plugin_locations"}, c.Warnings)
}

func TestEnvironmentOverTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lmcache.yaml")
	require.NoError(t, os.WriteFile(path, []byte("chunk_size: 64\nmax_local_cpu_size: 1\nstorage_plugins: [file]\n"), 0o600))
	c, err := lmcache.Load(lmcache.Options{Environ: []string{
		"LMCACHE_CONFIG_FILE=" + path, "LMCACHE_CHUNK_SIZE=128", "LMCACHE_LOCAL_CPU=1", "LMCACHE_EXTRA_CONFIG={\"x\": 2}",
		// Of two names in the environment the older one wins.
		"LMCACHE_EXTERNAL_BACKENDS=old", "LMCACHE_STORAGE_PLUGINS=new", "LMCACHE_SOMETHING_ELSE=1", "PATH=/bin",
	}})
	require.NoError(t, err)
	require.Equal(t, 128, c.ChunkSize)
	require.Equal(t, 1.0, c.MaxLocalCPUSize)
	require.Equal(t, []string{"old"}, c.StoragePlugins)
	require.Equal(t, map[string]any{"x": int64(2)}, c.Extra)
	// In a file it is the one that stands later.
	require.Equal(t, []string{"n"}, parse(t, "external_backends: o\nstorage_plugins: n\n").StoragePlugins)
	require.Equal(t, []string{"o"}, parse(t, "storage_plugins: n\nexternal_backends: o\n").StoragePlugins)
	_, err = lmcache.Load(lmcache.Options{File: filepath.Join(t.TempDir(), "absent"), Environ: []string{}})
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestWhatIsIgnoredIsSaid(t *testing.T) {
	c := parse(t, `
chunk_sise: 64
enable_blending: true
max_local_cpu_size: lots
storage_plugins: 7
use_gds: true
`)
	require.Equal(t, []string{
		"line 2: chunk_sise is no setting of LMCache; it is ignored (did you mean chunk_size?)",
		"line 3: enable_blending has no effect here",
		"line 4: max_local_cpu_size: it is not a finite number; the default is taken",
		"line 5: storage_plugins: it is neither a list nor text; the default is taken",
	}, c.Warnings)
	require.Equal(t, 5.0, c.MaxLocalCPUSize)
	c = parse(t, "chunk_size: 1\nchunk_size: 2\n")
	require.Equal(t, 2, c.ChunkSize)
	require.Len(t, c.Warnings, 1)
	for _, text := range []string{"[1, 2]", "a: [", "text"} {
		_, err := lmcache.Parse([]byte(text))
		require.Error(t, err, text)
	}
}

func TestValidateSaysAll(t *testing.T) {
	err := parse(t, "chunk_size: 0\ncache_policy: best\nremote_serde: zip\nblocking_timeout_secs: 0\nlocal_disk_path_sharding: random\nenable_p2p: true\nenable_pd: true\n").Validate()
	for _, name := range []string{"chunk_size", "cache_policy", "remote_serde", "blocking_timeout_secs", "local_disk_path_sharding",
		"enable_p2p is true: p2p_host", "enable_p2p is true: extra_config needs sixcall.nixl_peer.peers", "enable_pd is true"} {
		require.ErrorContains(t, err, name)
	}
}

func TestRow109TheWholeConfigurationIsStrictJSON(t *testing.T) {
	c := parse(t, "remote_url: redis://user:s3cr3t1@h:1\nextra_config: {plugin.password: s3cr3t2, aws_secret_access_key: s3cr3t3, list: [1, a], nested: {token: s3cr3t4}}\n")
	var all map[string]any
	d := json.NewDecoder(strings.NewReader(string(c.JSON())))
	d.UseNumber()
	require.NoError(t, d.Decode(&all))
	require.Equal(t, "s3cr3t2", all["extra_config"].(map[string]any)["plugin.password"], "scripts get the real ones")
	require.Contains(t, all, "pd_allocation_timeout_sec")
	require.Nil(t, all["pd_allocation_timeout_sec"], "infinity is no JSON number")
	masked, err := c.Masked()
	require.NoError(t, err)
	require.NotContains(t, string(masked), "s3cr3t")
	require.Contains(t, string(masked), `"min_retrieve_tokens": 0`)
	require.Contains(t, string(masked), `redis://***@h:1`)
	masked, err = parse(t, "remote_url: unix:///s?db=1&password=s3cr3t\n").Masked()
	require.NoError(t, err)
	require.NotContains(t, string(masked), "s3cr3t")
	require.Contains(t, string(masked), "unix:///s?db=1")
}

func TestSchema(t *testing.T) {
	var s struct {
		Properties map[string]map[string]any `json:"properties"`
	}
	require.NoError(t, json.Unmarshal(lmcache.Schema(), &s))
	require.EqualValues(t, 256, s.Properties["chunk_size"]["default"])
	require.Equal(t, true, s.Properties["external_backends"]["deprecated"])
	require.NotContains(t, s.Properties["storage_plugins"], "description")
	require.Equal(t, "accepted, without effect here", s.Properties["enable_blending"]["description"])
}
