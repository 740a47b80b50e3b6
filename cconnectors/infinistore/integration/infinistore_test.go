//go:build linux && (amd64 || arm64)

// Package infinistore_test runs the connector, through the bridge, against the real
// server. After each test the server still answers: nothing that the connector does
// kills or wedges it.
package infinistore_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
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

// start starts a server that has to be alive when the test ends.
func start(t *testing.T, poolGB int) *servers.InfiniStore {
	t.Helper()
	servers.Connector(t, "infinistore")
	s := servers.StartInfiniStore(t, poolGB)
	t.Cleanup(func() { require.NoError(t, s.Ask(), "the server has to survive the test") })
	return s
}

// open opens the connector and closes it at the end. params go over the ones that it needs.
func open(t testing.TB, s *servers.InfiniStore, opts bridge.Options, params map[string]any) *bridge.Bridge {
	t.Helper()
	b := openOnly(t, s, opts, params)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

func openOnly(t testing.TB, s *servers.InfiniStore, opts bridge.Options, params map[string]any) *bridge.Bridge {
	t.Helper()
	all := map[string]any{"host": "127.0.0.1", "port": s.Port}
	for k, v := range params {
		all[k] = v
	}
	text, err := json.Marshal(all)
	require.NoError(t, err)
	conn, err := native.Open(native.Options{
		Connector: servers.Connector(t, "infinistore"), ClassName: "infinistore", Params: text,
		Log: func(_ int, line string) { t.Logf("connector: %s", line) },
	})
	require.NoError(t, err)
	if opts.Breaker.Failures == 0 {
		opts.Breaker.Failures = -1
	}
	b, err := bridge.New(conn, opts)
	require.NoError(t, err)
	return b
}

// fill writes the value that belongs to a key of this test and its generation.
func fill(buf []byte, key, generation int) []byte {
	for i := range buf {
		buf[i] = byte(key*31 + generation*17 + i*7 + i>>8)
	}
	return buf
}

// buffer returns arena memory, in which values move without a copy.
func buffer(t testing.TB, b *bridge.Bridge, size int) kv.Buffer {
	t.Helper()
	block, err := b.Arena().Alloc(max(size, 1))
	require.NoError(t, err)
	t.Cleanup(block.Release)
	return block.Bytes()[:size]
}

func store(t testing.TB, b *bridge.Bridge, key, generation, size int) {
	t.Helper()
	_, err := b.Do(background, bridge.Store, []kv.Key{bridgetest.Key(key)}, []kv.Buffer{fill(buffer(t, b, size), key, generation)})
	require.NoError(t, err)
}

// load returns the value, or nil for a miss.
func load(t testing.TB, b *bridge.Bridge, key, size int) []byte {
	t.Helper()
	buf := buffer(t, b, size)
	r, err := b.Do(background, bridge.Load, []kv.Key{bridgetest.Key(key)}, []kv.Buffer{buf})
	require.NoError(t, err)
	if !r.Bits.Test(0) {
		return nil
	}
	return buf
}

func lookup(t testing.TB, b *bridge.Bridge, keys ...int) string {
	t.Helper()
	list := make([]kv.Key, len(keys))
	for i, k := range keys {
		list[i] = bridgetest.Key(k)
	}
	r, err := b.Do(background, bridge.Lookup, list, nil)
	require.NoError(t, err)
	b.Unlock(list)
	return r.Bits.String()
}

func TestValuesOfAllSizes(t *testing.T) {
	s := start(t, 1)
	for _, trailer := range []bool{true, false} {
		t.Run(fmt.Sprintf("trailer=%v", trailer), func(t *testing.T) {
			b := open(t, s, bridge.Options{}, map[string]any{"trailer": trailer})
			sizes := []int{1, 2, 23, 24, 25, 4095, 4096, 4097, 65511, 65512, 65513, 65536, 1 << 20, 16<<20 + 1}
			keys, bufs := bridgetest.Keys(len(sizes)), make([]kv.Buffer, len(sizes))
			for i, size := range sizes {
				bufs[i] = fill(buffer(t, b, size), i, 0)
			}
			_, err := b.Do(background, bridge.Store, keys, bufs)
			require.NoError(t, err)
			got := make([]kv.Buffer, len(sizes)+1)
			for i, size := range sizes {
				got[i] = buffer(t, b, size)
			}
			got[len(sizes)] = buffer(t, b, 100)
			r, err := b.Do(background, bridge.Load, append(keys, bridgetest.Key(999)), got)
			require.NoError(t, err)
			require.Equal(t, "111111111111110", r.Bits.String())
			for i := range sizes {
				require.True(t, bytes.Equal(bufs[i], got[i]), "size %d", sizes[i])
			}
			require.Equal(t, "10", lookup(t, b, 3, 999))
			require.Nil(t, load(t, b, 3, 25), "another size")
			require.Equal(t, fill(make([]byte, 24), 3, 0), load(t, b, 3, 24), "the connection is in step")

			store(t, b, 3, 1, 5000)
			require.Equal(t, fill(make([]byte, 5000), 3, 1), load(t, b, 3, 5000), "overwritten, with another size")
			del, err := b.Do(background, bridge.Delete, append(keys, bridgetest.Key(999)), nil)
			require.NoError(t, err)
			require.Equal(t, kv.DeleteResult{Deleted: len(sizes), Absent: 1}, del.Deleted)
			require.Equal(t, "00", lookup(t, b, 3, 999))
			left, err := s.Keys()
			require.NoError(t, err)
			require.Zero(t, left)
		})
	}
}

func TestValuesOfTheOtherLayoutAreMisses(t *testing.T) {
	s := start(t, 1)
	sealed, bare := open(t, s, bridge.Options{}, nil), open(t, s, bridge.Options{}, map[string]any{"trailer": false})
	store(t, bare, 1, 0, 1024)
	require.Nil(t, load(t, sealed, 1, 1024), "stored with 1024 bytes, not 1048")
	require.Nil(t, load(t, sealed, 1, 1000), "the right size, and no trailer")
	store(t, sealed, 2, 0, 1000)
	require.Nil(t, load(t, bare, 2, 1000))
	require.Equal(t, fill(make([]byte, 1000), 2, 0), load(t, sealed, 2, 1000))
}

func TestEvictionByTheServer(t *testing.T) {
	s := start(t, 1)
	b := open(t, s, bridge.Options{}, nil)
	const n, size = 320, 4 << 20 // 1.25 GiB into 1 GiB
	buf := buffer(t, b, size)
	for i := range n {
		_, err := b.Do(background, bridge.Store, []kv.Key{bridgetest.Key(i)}, []kv.Buffer{fill(buf, i, 0)})
		require.NoError(t, err)
	}
	hits, want := 0, make([]byte, size)
	for i := range n {
		r, err := b.Do(background, bridge.Load, []kv.Key{bridgetest.Key(i)}, []kv.Buffer{buf})
		require.NoError(t, err)
		if r.Bits.Test(0) {
			hits++
			require.True(t, bytes.Equal(fill(want, i, 0), buf), "key %d", i)
		}
	}
	require.Greater(t, hits, n/4)
	require.Less(t, hits, n, "a gigabyte does not hold it all")
}

func TestAFullServerRefuses(t *testing.T) {
	s := start(t, 1)
	b := open(t, s, bridge.Options{}, nil)
	store(t, b, 1, 0, 1000)
	const huge = 1100 << 20 // more than the pool; never touched, so it costs nothing here
	buf := buffer(t, b, huge)
	for range 3 {
		_, err := b.Do(background, bridge.Store, []kv.Key{bridgetest.Key(2)}, []kv.Buffer{buf})
		require.ErrorContains(t, err, "507")
		require.Equal(t, "01", lookup(t, b, 2, 1))
		require.Equal(t, fill(make([]byte, 1000), 1, 0), load(t, b, 1, 1000))
	}
	// What the server would take for a request: the deletion of key 1.
	key := []byte(bridgetest.Key(1).String())
	evil := append([]byte{0xef, 0xbe, 0xad, 0xde, 'C', byte(len(key)), 0, 0, 0}, key...)
	copy(buf, evil)
	_, err := b.Do(background, bridge.Store, []kv.Key{bridgetest.Key(2)}, []kv.Buffer{buf})
	require.ErrorContains(t, err, "begins with ef be ad de")
	require.Equal(t, "1", lookup(t, b, 1))
}

// TestBesideAPlainClient is the benchmark; SIXCALL_INFINISTORE_BENCH names the
// program, cconnectors/infinistore/test/infinistore_bench of a C++ build.
func TestBesideAPlainClient(t *testing.T) {
	program := os.Getenv("SIXCALL_INFINISTORE_BENCH")
	if program == "" {
		t.Skip("SIXCALL_INFINISTORE_BENCH is not set")
	}
	s := start(t, 2)
	ctx, cancel := context.WithTimeout(background, 10*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, servers.Connector(t, "infinistore"), fmt.Sprint(s.Port), "4", "2").CombinedOutput()
	t.Logf("\n%s", out)
	require.NoError(t, err)
}
