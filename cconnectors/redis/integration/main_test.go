// Package redis_test runs the redis connector through the bridge, on real servers
// and beside LMCache's own client.
package redis_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge"
	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/internal/servers"
	"github.com/sixcall/sixcall/native"
)

var background = context.Background()

// limit is far more than anything here takes.
const limit = time.Minute

func TestMain(m *testing.M) {
	if config := os.Getenv(childEnv); config != "" {
		storeForEver(config)
	}
	os.Exit(m.Run())
}

// params is a connector's configuration.
type params map[string]any

func (p params) with(more params) params {
	out := params{}
	for _, m := range []params{p, more} {
		for k, v := range m {
			out[k] = v
		}
	}
	return out
}

// at is the configuration that leads to a server.
func at(r *servers.Redis) params {
	return params{"host": "127.0.0.1", "port": r.Port, "reconnect_max_ms": 200}
}

// connect opens the connector, without a bridge.
func connect(t testing.TB, p params) (*native.Connector, error) {
	t.Helper()
	text, err := json.Marshal(p)
	require.NoError(t, err)
	return native.Open(native.Options{Connector: servers.Connector(t, "redis"), ClassName: "redis", Params: text})
}

// open opens the connector and puts a bridge on it; both end with the test.
func open(t testing.TB, p params) *bridge.Bridge {
	t.Helper()
	return openWith(t, p, bridge.Options{})
}

func openWith(t testing.TB, p params, opts bridge.Options) *bridge.Bridge {
	t.Helper()
	conn, err := connect(t, p)
	require.NoError(t, err)
	b, err := bridge.New(conn, opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

// refused returns the error with which open fails.
func refused(t testing.TB, p params) error {
	t.Helper()
	conn, err := connect(t, p)
	if err == nil {
		_ = conn.Close(time.Second)
	}
	require.Error(t, err)
	return err
}

func key(i int) kv.Key {
	return kv.Key{Model: "meta-llama/Llama-3.1-8B", ChunkHash: fmt.Sprintf("%032d", i), KVRank: 0x01000100, ObjectGroup: int64(i % 3)}
}

func keys(from, to int) []kv.Key {
	var out []kv.Key
	for i := from; i < to; i++ {
		out = append(out, key(i))
	}
	return out
}

func texts(ks []kv.Key) (out []string) {
	for _, k := range ks {
		out = append(out, k.String())
	}
	return out
}

// value returns bytes that tell their key and version: whatever is mixed of two
// of them is none.
func value(i int, version uint64, size int) kv.Buffer {
	buf := make(kv.Buffer, size)
	if size >= 8 {
		binary.LittleEndian.PutUint64(buf, version)
	}
	x := (uint64(i)<<32+version)*0x9E3779B97F4A7C15 + 1
	for j := min(size, 8); j < size; j++ {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		buf[j] = byte(x >> 56)
	}
	return buf
}

// whole reports whether buf is a value of key i in some version.
func whole(i int, buf kv.Buffer) bool {
	return bytes.Equal(buf, value(i, binary.LittleEndian.Uint64(buf), len(buf)))
}

func values(from, to int, version uint64, size int) (out []kv.Buffer) {
	for i := from; i < to; i++ {
		out = append(out, value(i, version, size))
	}
	return out
}

func buffers(n, size int) []kv.Buffer {
	out := make([]kv.Buffer, n)
	for i := range out {
		out[i] = make(kv.Buffer, size)
	}
	return out
}

// How tests drive a bridge.
var (
	store  = bridgetest.Store
	load   = bridgetest.Load
	lookup = bridgetest.Lookup
)

// works stores and loads, and returns an error while that does not succeed.
func works(b *bridge.Bridge, from, to int) error {
	ks := keys(from, to)
	r, err := b.Do(background, bridge.Store, ks, values(from, to, 1, 1000))
	if err != nil || r.Bits.Count() != len(ks) {
		return fmt.Errorf("store: %v %w", r.Bits, err)
	}
	bufs := buffers(len(ks), 1000)
	r, err = b.Do(background, bridge.Load, ks, bufs)
	if err != nil || r.Bits.Count() != len(ks) {
		return fmt.Errorf("load: %v %w", r.Bits, err)
	}
	for i, buf := range bufs {
		if !whole(from+i, buf) {
			return fmt.Errorf("key %d came back with other bytes", from+i)
		}
	}
	return nil
}
