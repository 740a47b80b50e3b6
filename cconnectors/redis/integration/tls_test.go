package redis_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/internal/servers"
)

// authority makes certificates.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	a := &authority{dir: t.TempDir()}
	a.cert, a.key = a.make(t, name, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

// make writes name.pem and name.key, signed by the authority, or by itself.
func (a *authority) make(t *testing.T, name string, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	require.NoError(t, err)
	template.SerialNumber, template.Subject = serial, pkix.Name{CommonName: name}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(a.path(name+".pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(a.path(name+".key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	return cert, key
}

func (a *authority) server(t *testing.T, name string) {
	a.make(t, name, &x509.Certificate{DNSNames: []string{"cache.example"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
}

func (a *authority) client(t *testing.T, name string) {
	a.make(t, name, &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
}

func startTLS(t *testing.T, a *authority, more ...string) *servers.Redis {
	return servers.StartRedis(t, servers.RedisOptions{TLSArgs: append([]string{"--tls-cert-file", a.path("server.pem"), "--tls-key-file", a.path("server.key"),
		"--tls-ca-cert-file", a.path("ca.pem")}, more...)})
}

func TestTLS(t *testing.T) {
	ca, other := newAuthority(t, "ca"), newAuthority(t, "ca")
	ca.server(t, "server")
	ca.client(t, "client")
	other.client(t, "client")
	r := startTLS(t, ca, "--tls-auth-clients", "no")
	p := at(r).with(params{"tls": true, "tls_ca_file": ca.path("ca.pem")})

	for name, accepted := range map[string]params{
		"by address":       p,
		"by name":          p.with(params{"tls_server_name": "cache.example"}),
		"protocol 2":       p.with(params{"protocol": "2"}),
		"without checking": at(r).with(params{"tls": true, "tls_verify": false}),
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t, accepted)
			require.NoError(t, works(b, 0, 30))
			// Larger than any buffer on the way, both ways at the same time.
			ks := keys(0, 20)
			store(t, b, ks, values(0, 20, 1, 3<<20)...)
			sizes := make([]int, 20)
			for i := range sizes {
				sizes[i] = 3 << 20
			}
			bits, got := load(t, b, ks, sizes...)
			require.Equal(t, "11111111111111111111", bits)
			for i := range got {
				require.True(t, whole(i, got[i]))
			}
		})
	}
	for name, c := range map[string]struct {
		p    params
		want string
	}{
		"another authority":  {at(r).with(params{"tls": true, "tls_ca_file": other.path("ca.pem")}), "certificate"},
		"the system's":       {at(r).with(params{"tls": true}), "certificate"},
		"another name":       {p.with(params{"tls_server_name": "other.example"}), "mismatch"},
		"clear text":         {at(r), ""},
		"a file not there":   {p.with(params{"tls_ca_file": "/nonexistent.pem"}), "tls_ca_file"},
		"a file that is not": {p.with(params{"tls_ca_file": ca.path("server.key")}), "tls_ca_file"},
	} {
		t.Run("refused: "+name, func(t *testing.T) {
			require.ErrorContains(t, refused(t, c.p), c.want)
		})
	}
	t.Run("refused: TLS to a server without", func(t *testing.T) {
		plain := servers.StartRedis(t, servers.RedisOptions{})
		require.ErrorContains(t, refused(t, p.with(params{"port": plain.Port, "connect_timeout_ms": 500})), "tls")
	})
	t.Run("a connection that is lost is made again", func(t *testing.T) {
		b := open(t, p)
		require.NoError(t, works(b, 0, 3))
		for range 5 {
			r.Do(t, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
			bits, _ := load(t, b, keys(0, 1), 1000)
			require.Equal(t, "1", bits)
		}
	})
}

func TestMutualTLS(t *testing.T) {
	ca, other := newAuthority(t, "ca"), newAuthority(t, "ca")
	ca.server(t, "server")
	ca.client(t, "client")
	other.client(t, "client")
	r := startTLS(t, ca, "--tls-auth-clients", "yes")
	p := at(r).with(params{"tls": true, "tls_ca_file": ca.path("ca.pem")})
	with := func(a *authority, cert, key string) params {
		return p.with(params{"tls_cert_file": a.path(cert), "tls_key_file": a.path(key)})
	}
	require.NoError(t, works(open(t, with(ca, "client.pem", "client.key")), 0, 3))
	require.Error(t, refused(t, p), "no certificate")
	require.Error(t, refused(t, with(other, "client.pem", "client.key")))
	require.ErrorIs(t, refused(t, with(ca, "client.pem", "server.key")), kv.Config, "a key of another certificate")
}
