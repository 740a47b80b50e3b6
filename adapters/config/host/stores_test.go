//go:build linux

package host_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/config/host"
	"github.com/sixcall/sixcall/adapters/remote"
	"github.com/sixcall/sixcall/bridge/engine"
	"github.com/sixcall/sixcall/internal/servers"
)

// usable puts chunks through a remote and asks for them in every way.
func usable(t *testing.T, h *host.Host, b *remote.Backend) {
	t.Helper()
	require.Nil(t, get(t, b, 1))
	put(t, h, b, 1, 2, 4)
	n, err := b.BatchedContains(ctx, keys(1, 5), false)
	require.NoError(t, err)
	require.Equal(t, 2, n)
	objs, err := b.BatchedGet(ctx, keys(1, 5))
	require.NoError(t, err)
	require.Len(t, objs, 4)
	require.Nil(t, objs[2])
	for _, i := range []int{1, 2, 4} {
		same(t, h, i, objs[i-1])
	}
	objs, err = b.BatchedGetNonBlocking(ctx, "lookup", keys(1, 5))
	require.NoError(t, err)
	require.Len(t, objs, 2, "the leading run")
	for i, o := range objs {
		same(t, h, i+1, o)
	}
	require.NoError(t, b.CheckHealth(ctx))
}

// short puts a chunk of five tokens under key i.
func short(t *testing.T, h *host.Host, b *remote.Backend, i int) []byte {
	t.Helper()
	o := object(t, h, i)
	require.NoError(t, o.Truncate(5*128))
	done := make(chan error, 1)
	require.NoError(t, b.SubmitPut(ctx, keys(i, i+1), []*engine.Object{o}, func(_ engine.Key, err error) { done <- err }))
	require.NoError(t, <-done)
	defer o.Release()
	return slices.Clone(o.Bytes())
}

// sameShort checks a chunk of five tokens.
func sameShort(t *testing.T, want []byte, o *engine.Object) {
	t.Helper()
	require.NotNil(t, o)
	require.Equal(t, want, o.Bytes())
	require.Equal(t, 5, o.Tokens())
	o.Release()
}

// certificate writes a server's certificate that is its own authority.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "redis"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600))
	return cert, key
}

func TestRedisWithTLSAndAPassword(t *testing.T) {
	connector(t, "redis")
	cert, key := certificate(t)
	r := servers.StartRedis(t, servers.RedisOptions{
		TLSArgs: []string{"--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert, "--tls-auth-clients", "no"},
		Args:    []string{"--requirepass", "p:/ss"}, Login: []string{"p:/ss"},
	})
	h, b := startURL(t, "rediss://:p%3A%2Fss@"+r.Addr()+"/2?ssl_ca_certs="+url.QueryEscape(cert), "")
	usable(t, h, b)
	h, b = startURL(t, "rediss://:p%3A%2Fss@"+r.Addr()+"/3?ssl_cert_reqs=none&health_check_interval=3", "")
	usable(t, h, b)
	// A certificate that nobody vouches for, and a wrong password.
	for _, u := range []string{"rediss://:p%3A%2Fss@" + r.Addr(), "rediss://:wrong@" + r.Addr() + "?ssl_ca_certs=" + url.QueryEscape(cert)} {
		_, b = startURL(t, u, "")
		_, err := b.Contains(ctx, keys(1, 2)[0], false)
		require.Error(t, err, u)
	}
}

func TestRedisOverAUnixSocket(t *testing.T) {
	connector(t, "redis")
	r := servers.StartRedis(t, servers.RedisOptions{})
	h, b := startURL(t, "unix://"+r.Socket+"?db=5", "")
	usable(t, h, b)
	require.Contains(t, r.Do(t, "INFO", "keyspace"), "db5:keys=6")
}

func TestRedisClusters(t *testing.T) {
	connector(t, "redis")
	c := servers.StartRedisCluster(t, 3, 0)
	h, b := startURL(t, "redis-cluster://"+c.Nodes[1].Addr()+","+c.Nodes[0].Addr(), "")
	usable(t, h, b)
	// Both keys of a chunk, each where its slot is.
	for _, name := range []string{key(1).String() + "kv_bytes", key(1).String() + "metadata"} {
		found := 0
		for _, n := range c.Nodes {
			if v, err := n.TryDo("EXISTS", name); err == nil && v == int64(1) {
				found++
			}
		}
		require.Equal(t, 1, found, name)
	}
}

func TestInfinistoreKeysAndBytes(t *testing.T) {
	connector(t, "infinistore")
	s := servers.StartInfiniStore(t, 1)
	h, b := startURL(t, fmt.Sprintf("infinistore://127.0.0.1:%d?device=mlx5_0", s.Port), "infinistore_link_type: link_ib")
	usable(t, h, b)
	// LMCache's client writes a header and whole pages of memory.
	page := make([]byte, 4096-2048)
	stored, err := s.Get(key(1).String())
	require.NoError(t, err)
	require.Equal(t, goldenHeader(t)+content(t, h, 1)+string(page), string(stored))
	for i := range page { // what lies behind the chunk in its memory
		page[i] = 0xa5
	}
	require.NoError(t, s.Put(key(7).String(), []byte(goldenHeader(t)+content(t, h, 7)+string(page))))
	same(t, h, 7, get(t, b, 7))
	sameShort(t, short(t, h, b, 8), get(t, b, 8))
	for i, bad := range []string{"x", goldenHeader(t), goldenHeader(t) + "too short", strings.Repeat("\xff", 4124)} {
		require.NoError(t, s.Put(key(20+i).String(), []byte(bad)))
		require.Nil(t, get(t, b, 20+i), i)
	}
	// A server that restarts has forgotten everything and is used again.
	require.NoError(t, s.Ask(), "it has survived this client")
	s.Kill()
	_, err = b.Contains(ctx, key(1), false)
	require.Error(t, err)
	_, err = b.BatchedGet(ctx, keys(1, 3))
	require.Error(t, err)
	require.Error(t, b.CheckHealth(ctx))
	s.Restart(t)
	eventually(t, func() bool { ok, err := b.Contains(ctx, key(1), false); return err == nil && !ok })
	eventually(t, func() bool {
		o := object(t, h, 1)
		done := make(chan error, 1)
		require.NoError(t, b.SubmitPut(ctx, keys(1, 2), []*engine.Object{o}, func(_ engine.Key, err error) { done <- err }))
		o.Release()
		return <-done == nil
	})
	same(t, h, 1, get(t, b, 1))
}

// mooncakeSettings are those of extra_config, in LMCache's words.
func mooncakeSettings(t *testing.T, m *servers.Mooncake, prefix string) string {
	t.Helper()
	// For the worker, which the connector runs in.
	for _, entry := range m.Environment() {
		name, value, _ := strings.Cut(entry, "=")
		t.Setenv(name, value)
	}
	return fmt.Sprintf("%[1]slocal_hostname: 127.0.0.1, %[1]smetadata_server: P2PHANDSHAKE, %[1]sprotocol: tcp, %[1]sdevice_name: '', %[1]smaster_server_address: '%[2]s', "+
		"%[1]sglobal_segment_size: '0', %[1]slocal_buffer_size: 16777216, transfer_timeout: 1, mooncake_library: %[3]s, mooncake_preload: [%[4]s]", prefix, m.Address, m.Library(), m.CUDAStub())
}

func TestMooncakeKeysAndBytes(t *testing.T) {
	connector(t, "mooncake")
	needWorker(t)
	m := servers.StartMooncake(t, servers.MooncakeOptions{})
	h, b := startURL(t, "mooncakestore://127.0.0.1:1/", mooncakeSettings(t, m, ""))
	usable(t, h, b)
	interop(t, h, b, servers.StartLMCacheMooncake(t, m))

	// As a plugin, with settings under its name, and without headers.
	w := read(t, "remote_storage_plugins: [mooncakestore]\nextra_config: {save_chunk_meta: false, "+mooncakeSettings(t, m, "remote_storage_plugin.mooncakestore.")+"}\n")
	plain := w.start(t)
	p := backend(t, plain, "RemoteBackend-mooncakestore")
	require.NoError(t, p.Err())
	put(t, plain, p, 50)
	same(t, plain, 50, get(t, p, 50))
	require.Nil(t, get(t, b, 50), "it has no header")

	// The master dies and comes back.
	m.Master.Kill()
	_, err := b.Contains(ctx, key(1), false)
	require.Error(t, err)
	require.Error(t, b.CheckHealth(ctx))
	m.RestartMaster(t)
	servers.Eventually(t, 2*time.Minute, func() error {
		o := object(t, h, 60)
		defer o.Release()
		done := make(chan error, 1)
		require.NoError(t, b.SubmitPut(ctx, keys(60, 61), []*engine.Object{o}, func(_ engine.Key, err error) { done <- err }))
		return <-done
	})
	same(t, h, 60, get(t, b, 60))
}

func needWorker(t *testing.T) {
	t.Helper()
	if os.Getenv("SIXCALL_WORKER") == "" {
		servers.Require(t, "SIXCALL_WORKER does not name sixcall-worker")
	}
}
