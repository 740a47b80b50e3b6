// Package fs_test runs the fs connector through the bridge, on real folders and
// beside LMCache's own client.
package fs_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge"
	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/internal/servers"
	"github.com/sixcall/sixcall/native"
)

var background = context.Background()

// params is a connector's configuration.
type params map[string]any

// open opens the connector on folder and puts a bridge on it; both end with the
// test, or with close.
func open(t testing.TB, folder string, more params) *bridge.Bridge {
	t.Helper()
	return openWith(t, folder, more, bridge.Options{})
}

func openWith(t testing.TB, folder string, more params, opts bridge.Options) *bridge.Bridge {
	t.Helper()
	p := params{"base_path": folder}
	for k, v := range more {
		p[k] = v
	}
	text, err := json.Marshal(p)
	require.NoError(t, err)
	conn, err := native.Open(native.Options{Connector: servers.Connector(t, "fs"), ClassName: "fs", Params: text})
	require.NoError(t, err)
	b, err := bridge.New(conn, opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

// folders returns a folder on each kind of file system to test on.
func folders(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{"disk": realDir(t, t.TempDir())}
	dir, err := os.MkdirTemp("/dev/shm", "sixcall-fs-")
	if err != nil {
		t.Logf("no tmpfs in /dev/shm: %v", err)
		return found
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	found["tmpfs"] = dir
	return found
}

// realDir is dir without symbolic links, which base_path must not have.
func realDir(t testing.TB, dir string) string {
	t.Helper()
	real, err := filepath.EvalSymlinks(dir)
	require.NoError(t, err)
	return real
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

// fill writes bytes that tell seed.
func fill(buf []byte, seed uint64) {
	x := seed*0x9E3779B97F4A7C15 + 1
	for i := range buf {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		buf[i] = byte(x >> 56)
	}
}

func value(seed uint64, size int) kv.Buffer {
	buf := make(kv.Buffer, size)
	fill(buf, seed)
	return buf
}

// How tests drive a bridge.
var (
	store  = bridgetest.Store
	load   = bridgetest.Load
	lookup = bridgetest.Lookup
)
