//go:build linux

package host_test

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/config/host"
	"github.com/sixcall/sixcall/adapters/remote"
	"github.com/sixcall/sixcall/adapters/storage"
	"github.com/sixcall/sixcall/bridge/engine"
	"github.com/sixcall/sixcall/internal/servers"
)

func connector(t testing.TB, name string) { servers.Connector(t, name) }

// header is that of a chunk of these tests: the golden bytes of the contract.
const header = "00080000010000000300000002000000020000001000000010000000"

func goldenHeader(t testing.TB) string {
	t.Helper()
	raw, err := hex.DecodeString(header)
	require.NoError(t, err)
	return string(raw)
}

// start starts a host on a URL.
func startURL(t testing.TB, url, extra string) (*host.Host, *remote.Backend) {
	t.Helper()
	h := read(t, fmt.Sprintf("local_cpu: false\nremote_url: %q\nextra_config: {%s}\n", url, extra)).start(t)
	b := backend(t, h, storage.NameRemote)
	require.NoError(t, b.Err(), url)
	return h, b
}

func get(t testing.TB, b *remote.Backend, i int) *engine.Object {
	t.Helper()
	o, err := b.Get(ctx, key(i))
	require.NoError(t, err)
	return o
}

func content(t testing.TB, h *host.Host, i int) string {
	t.Helper()
	o := object(t, h, i)
	defer o.Release()
	return string(o.Bytes())
}

func TestRow117RedisKeysAndBytes(t *testing.T) {
	connector(t, "redis")
	r := servers.StartRedis(t, servers.RedisOptions{})
	h, b := startURL(t, "redis://"+r.Addr(), "")
	tagged, err := engine.ParseKey("org/m@2@1@abc@bfloat16@u%b")
	require.NoError(t, err)
	o := object(t, h, 5)
	done := make(chan error, 1)
	require.NoError(t, b.SubmitPut(ctx, []engine.Key{tagged}, []*engine.Object{o}, func(_ engine.Key, err error) { done <- err }))
	require.NoError(t, <-done)
	o.Release()
	require.Equal(t, content(t, h, 5), r.Do(t, "GET", "org/m@2@1@abc@bfloat16@u%bkv_bytes"))
	require.Equal(t, goldenHeader(t), r.Do(t, "GET", "org/m@2@1@abc@bfloat16@u%bmetadata"))
	require.EqualValues(t, 2, r.Do(t, "DBSIZE"))

	// What stands there in LMCache's form is read.
	r.Do(t, "SET", key(7).String()+"kv_bytes", content(t, h, 7))
	ok, err := b.Contains(ctx, key(7), false)
	require.NoError(t, err)
	require.False(t, ok, "the header is written last: without it the key is not there")
	r.Do(t, "SET", key(7).String()+"metadata", goldenHeader(t))
	ok, err = b.Contains(ctx, key(7), false)
	require.NoError(t, err)
	require.True(t, ok)
	same(t, h, 7, get(t, b, 7))

	put(t, h, b, 1, 2, 3)
	objs, err := b.BatchedGet(ctx, keys(1, 5))
	require.NoError(t, err)
	for i := range 3 {
		same(t, h, i+1, objs[i])
	}
	require.Nil(t, objs[3])
	removed, err := b.Remove(ctx, key(1), true)
	require.NoError(t, err)
	require.True(t, removed)
	require.Nil(t, r.Do(t, "GET", key(1).String()+"kv_bytes"))
}

func TestRow118AnEvictedPayloadIsAMiss(t *testing.T) {
	connector(t, "redis")
	r := servers.StartRedis(t, servers.RedisOptions{})
	h, b := startURL(t, "redis://"+r.Addr()+"/3", "")
	put(t, h, b, 1, 2)
	r.Do(t, "SELECT", "0")
	other, plain := startURL(t, "redis://"+r.Addr(), "")
	require.Nil(t, get(t, plain, 1), "another database")
	put(t, other, plain, 1, 2)
	require.EqualValues(t, 1, r.Do(t, "DEL", key(1).String()+"kv_bytes"))
	require.Nil(t, get(t, plain, 1))
	require.Nil(t, r.Do(t, "GET", key(1).String()+"metadata"), "the orphan is removed")
	// A header that does not fit its value, or is none, is a miss as well.
	r.Do(t, "SET", key(2).String()+"kv_bytes", "short")
	require.Nil(t, get(t, plain, 2))
	r.Do(t, "SET", key(2).String()+"metadata", strings.Repeat("\xff", 28))
	require.Nil(t, get(t, plain, 2))
	same(t, h, 1, get(t, b, 1))
}

func TestRow37RedisThatRestarts(t *testing.T) {
	connector(t, "redis")
	r := servers.StartRedis(t, servers.RedisOptions{})
	h, b := startURL(t, "redis://"+r.Addr(), "")
	put(t, h, b, 1)
	r.Kill()
	_, err := b.Get(ctx, key(1))
	require.Error(t, err, "nobody knows; a miss would be no reason to fall back")
	require.Error(t, b.CheckHealth(ctx))
	r.Restart(t)
	eventually(t, func() bool {
		o := object(t, h, 2)
		done := make(chan error, 1)
		require.NoError(t, b.SubmitPut(ctx, keys(2, 3), []*engine.Object{o}, func(_ engine.Key, err error) { done <- err }))
		o.Release()
		return <-done == nil
	})
	same(t, h, 2, get(t, b, 2))
	require.Nil(t, get(t, b, 1), "it has forgotten")
}

func TestRow120SentinelsAndAbsentKeys(t *testing.T) {
	connector(t, "redis")
	r := servers.StartRedis(t, servers.RedisOptions{})
	conf := filepath.Join(t.TempDir(), "sentinel.conf")
	require.NoError(t, os.WriteFile(conf, fmt.Appendf(nil, "sentinel monitor redismaster 127.0.0.1 %d 1\n", r.Port), 0o600))
	sentinel := servers.StartRedis(t, servers.RedisOptions{Program: "redis-sentinel", ConfigFile: conf})
	h, b := startURL(t, "redis-sentinel://"+sentinel.Addr(), "")
	ok, err := b.Contains(ctx, key(1), false)
	require.NoError(t, err)
	require.False(t, ok)
	require.Nil(t, get(t, b, 1))
	put(t, h, b, 1)
	same(t, h, 1, get(t, b, 1))
	require.Equal(t, content(t, h, 1), r.Do(t, "GET", key(1).String()+"kv_bytes"))
}

func TestRow121RESPKeepsWholeChunks(t *testing.T) {
	connector(t, "redis")
	r := servers.StartRedis(t, servers.RedisOptions{})
	h, b := startURL(t, "resp://"+r.Addr(), "save_chunk_meta: false, resp_num_threads: 2")
	require.Nil(t, get(t, b, 1), "an absent key")
	put(t, h, b, 1)
	require.Equal(t, content(t, h, 1), r.Do(t, "GET", key(1).String()))
	same(t, h, 1, get(t, b, 1))
	// Row 122: a value of another size is no hit.
	r.Do(t, "SET", key(2).String(), "12345")
	require.Nil(t, get(t, b, 2))
	w := read(t, "save_unfull_chunk: true\nremote_url: resp://"+r.Addr()+"\n")
	require.ErrorContains(t, backend(t, w.start(t), storage.NameRemote).Err(), "save_unfull_chunk")
}

func TestRow119FilesAsLMCacheHasThem(t *testing.T) {
	connector(t, "fs")
	dir := t.TempDir()
	h, b := startURL(t, "fs://h:0"+dir, "")
	put(t, h, b, 1)
	path := func(i int) string { return filepath.Join(dir, fmt.Sprintf("org-SEP-m@1@0@%x@bfloat16.data", i)) }
	text, err := os.ReadFile(path(1))
	require.NoError(t, err)
	require.Equal(t, goldenHeader(t)+content(t, h, 1), string(text))
	require.NoError(t, os.WriteFile(path(2), []byte(goldenHeader(t)+content(t, h, 2)), 0o644))
	same(t, h, 2, get(t, b, 2))
	require.NoError(t, os.Truncate(path(2), 1000))
	require.Nil(t, get(t, b, 2))
	listed, err := b.Connector().List(ctx)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{key(1).String(), key(2).String()}, listed)

	// A chunk of fewer tokens.
	o := object(t, h, 3)
	require.NoError(t, o.Truncate(256))
	done := make(chan error, 1)
	require.NoError(t, b.SubmitPut(ctx, keys(3, 4), []*engine.Object{o}, func(_ engine.Key, err error) { done <- err }))
	require.NoError(t, <-done)
	got := get(t, b, 3)
	require.NotNil(t, got)
	require.Equal(t, o.Bytes(), got.Bytes())
	require.Equal(t, o.Layout(), got.Layout())
	got.Release()

	// Without headers, and again a chunk of fewer tokens.
	plainDir := t.TempDir()
	h2, plain := startURL(t, "fs://h:0"+plainDir, "save_chunk_meta: false")
	put(t, h2, plain, 1)
	text, err = os.ReadFile(filepath.Join(plainDir, filepath.Base(path(1))))
	require.NoError(t, err)
	require.Equal(t, content(t, h, 1), string(text))
	require.NoError(t, os.WriteFile(filepath.Join(plainDir, filepath.Base(path(4))), text[:256], 0o644))
	got = get(t, plain, 4)
	require.NotNil(t, got)
	require.Equal(t, 2, got.Tokens())
	require.Equal(t, text[:256], got.Bytes())
	got.Release()
	require.NoError(t, os.WriteFile(filepath.Join(plainDir, filepath.Base(path(5))), text[:200], 0o644))
	require.Nil(t, get(t, plain, 5), "no whole number of tokens")
	o.Release()
}

func TestRow72FilesWithoutAHost(t *testing.T) {
	connector(t, "fs")
	dir := t.TempDir()
	h, b := startURL(t, "fs://"+dir, "")
	put(t, h, b, 1)
	require.FileExists(t, filepath.Join(dir, "org-SEP-m@1@0@1@bfloat16.data"))
	// Several folders: the hash says which.
	one, two := t.TempDir(), t.TempDir()
	h, b = startURL(t, "fs://h:1"+one+","+two, "")
	put(t, h, b, 1, 2, 3, 4)
	for i := 1; i < 5; i++ {
		require.FileExists(t, filepath.Join([]string{one, two}[i%2], fmt.Sprintf("org-SEP-m@1@0@%x@bfloat16.data", i)))
		same(t, h, i, get(t, b, i))
	}
}

func TestRow56TwoFolderPlugins(t *testing.T) {
	connector(t, "fs")
	one, two := t.TempDir(), t.TempDir()
	w := read(t, fmt.Sprintf(`
remote_storage_plugins: ["fs.primary", "fs.backup"]
extra_config: {remote_storage_plugin.fs.primary.base_path: %s, remote_storage_plugin.fs.backup.base_path: %s}
`, one, two))
	h := w.start(t)
	require.Equal(t, []string{storage.NameLocalCPU, "RemoteBackend-fs.primary", "RemoteBackend-fs.backup"}, h.Manager.Names())
	require.NoError(t, h.Manager.BatchedPut(ctx, keys(1, 2), []*engine.Object{object(t, h, 1)}, ""))
	for _, dir := range []string{one, two} {
		eventually(t, func() bool {
			_, err := os.Stat(filepath.Join(dir, "org-SEP-m@1@0@1@bfloat16.data"))
			return err == nil
		})
	}
	// Row 57.
	w = read(t, "remote_storage_plugins: [fs.x]\n")
	h = w.start(t)
	require.ErrorContains(t, backend(t, h, "RemoteBackend-fs.x").Err(), "remote_storage_plugin.fs.x.base_path")
}

func TestRow123S3RequestPaths(t *testing.T) {
	m := servers.Moto(t)
	m.MakeBucket(t, "bucket")
	paths := make(chan string, 1000)
	target, err := url.Parse(m.Endpoint)
	require.NoError(t, err)
	forward := httputil.NewSingleHostReverseProxy(target)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		paths <- strings.SplitN(r.RequestURI, "?", 2)[0]
		forward.ServeHTTP(w, r)
	}))
	defer proxy.Close()
	h, b := startURL(t, "s3://bucket."+strings.TrimPrefix(proxy.URL, "http://"), `s3_region: us-east-1, disable_tls: true, save_chunk_meta: false, aws_access_key_id: id, aws_secret_access_key: secret`)
	k, err := engine.ParseKey("org/m@2@1@abc@bfloat16@u%b")
	require.NoError(t, err)
	done := make(chan error, 1)
	o := object(t, h, 1)
	// Row 124: a negative answer is not kept.
	ok, err := b.Contains(ctx, k, false)
	require.NoError(t, err)
	require.False(t, ok)
	require.NoError(t, b.SubmitPut(ctx, []engine.Key{k}, []*engine.Object{o}, func(_ engine.Key, err error) { done <- err }))
	require.NoError(t, <-done)
	o.Release()
	ok, err = b.Contains(ctx, k, false)
	require.NoError(t, err)
	require.True(t, ok)
	got, err := b.Get(ctx, k)
	require.NoError(t, err)
	same(t, h, 1, got)
	n := 0
	for len(paths) > 0 {
		if p := <-paths; strings.Contains(p, "org") {
			require.True(t, strings.HasSuffix(p, "/org_m%402%401%40abc%40bfloat16%40u%25b"), p)
			n++
		}
	}
	require.GreaterOrEqual(t, n, 4)
}

func TestRow136AuditFindsCorruption(t *testing.T) {
	connector(t, "fs")
	dir := t.TempDir()
	for query, extra := range map[string]string{"?verify=true": "", "": ", audit_verify_checksum: true"} {
		w := read(t, "remote_url: audit://h:0"+query+"\nextra_config: {audit_actual_remote_url: 'fs://"+dir+"', audit_exclude_cmds: exists"+extra+"}\n")
		h := w.start(t)
		b := backend(t, h, storage.NameRemote)
		require.NoError(t, b.Err())
		put(t, h, b, 1)
		same(t, h, 1, get(t, b, 1))
		path := filepath.Join(dir, "org-SEP-m@1@0@1@bfloat16.data")
		require.NoError(t, os.WriteFile(path, []byte(goldenHeader(t)+content(t, h, 9)), 0o644))
		require.Nil(t, get(t, b, 1))
		require.NotZero(t, w.logs.FilterMessageSnippet("not those that were put").Len())
	}
}

func TestMockAndBlackhole(t *testing.T) {
	h, b := startURL(t, "mock://0.00001/?peeking_latency=0.01&read_throughput=100&write_throughput=100", "")
	put(t, h, b, 1)
	same(t, h, 1, get(t, b, 1))
	for i := 2; i < 10; i++ {
		put(t, h, b, i)
	}
	require.Nil(t, get(t, b, 1), "0.00001 GiB are five chunks")
	same(t, h, 9, get(t, b, 9))
	removed, err := b.Remove(ctx, key(9), true)
	require.NoError(t, err)
	require.True(t, removed)
	h, b = startURL(t, "blackhole://", "")
	put(t, h, b, 1)
	require.Nil(t, get(t, b, 1))
}

func TestSixcallURLs(t *testing.T) {
	connector(t, "mem")
	h, b := startURL(t, "sixcall://mem/?capacity_bytes=100000", "sixcall.mem.workers: 1")
	put(t, h, b, 1)
	same(t, h, 1, get(t, b, 1))
	w := read(t, "remote_url: sixcall://mem?capacity=1\n")
	require.ErrorContains(t, backend(t, w.start(t), storage.NameRemote).Err(), "capacity", "unknown parameters are refused")
}
