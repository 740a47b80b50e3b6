package redis_test

import (
	"bytes"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge"
	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/internal/servers"
)

// The rows are those of docs/l2-rows.md in which LMCache's own client fails.

func TestRow48AServerThatIsNotThereIsSaidAtOnce(t *testing.T) {
	r := servers.StartRedis(t, servers.RedisOptions{})
	r.Kill()
	require.ErrorContains(t, refused(t, at(r)), "is the server running?")

	b := openWith(t, at(r).with(params{"lazy": true}), bridge.Options{Breaker: bridge.BreakerOptions{Failures: 1}})
	require.Equal(t, "000", lookup(t, b, keys(0, 3)...))
	require.False(t, b.Health().Healthy())
	require.Contains(t, b.Health().Reason, r.Addr())
	r.Restart(t)
	servers.Eventually(t, limit, func() error { return works(b, 0, 3) })
}

func TestRow49AMissingKeyIsAMiss(t *testing.T) {
	b := open(t, at(servers.StartRedis(t, servers.RedisOptions{})).with(params{"workers": 1}))
	for _, size := range []int{1, 9, 10, 99, 100, 1000, 1 << 20} {
		bits, _ := load(t, b, keys(0, 2), size, size)
		require.Equal(t, "00", bits, "size %d", size)
	}
	require.NoError(t, works(b, 0, 5))
}

func TestRows50And101AnotherSizeIsAMiss(t *testing.T) {
	b := open(t, at(servers.StartRedis(t, servers.RedisOptions{})).with(params{"workers": 1}))
	store(t, b, keys(0, 3), value(0, 1, 60), value(1, 1, 60), value(2, 1, 3<<20))
	bits, got := load(t, b, []kv.Key{key(0), key(1), key(2), key(1), key(0)}, 50, 60, 60, 70, 60)
	require.Equal(t, "01001", bits)
	require.Equal(t, value(1, 1, 60), got[1])
	require.Equal(t, value(0, 1, 60), got[4])
	require.Equal(t, "111", lookup(t, b, keys(0, 3)...), "the connection is in step")
}

func TestRow51ADroppedConnectionIsMadeAgain(t *testing.T) {
	r := servers.StartRedis(t, servers.RedisOptions{})
	b := open(t, at(r))
	store(t, b, keys(0, 1), value(0, 1, 100))
	for range 20 {
		r.Do(t, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
		bits, _ := load(t, b, keys(0, 1), 100)
		require.Equal(t, "1", bits)
		require.Equal(t, "1", lookup(t, b, key(0)))
	}
}

func TestRow52SizesMayDiffer(t *testing.T) {
	b := open(t, at(servers.StartRedis(t, servers.RedisOptions{})))
	sizes := []int{10, 20, 10, 0, 1 << 20, 1}
	var vs []kv.Buffer
	for i, n := range sizes {
		vs = append(vs, value(i, 1, n))
	}
	store(t, b, keys(0, 6), vs...)
	bits, got := load(t, b, keys(0, 6), sizes...)
	require.Equal(t, "111111", bits)
	require.Equal(t, vs, got)
}

func TestRow102WhatIsNoValueIsWrittenOver(t *testing.T) {
	r := servers.StartRedis(t, servers.RedisOptions{})
	b := open(t, at(r))
	r.Do(t, "RPUSH", key(0).String(), "a", "list")
	r.Do(t, "SET", key(1).String(), "torn")
	bits, _ := load(t, b, keys(0, 2), 100, 100)
	require.Equal(t, "00", bits)
	store(t, b, keys(0, 2), value(0, 1, 100), value(1, 1, 100))
	bits, got := load(t, b, keys(0, 2), 100, 100)
	require.Equal(t, "11", bits)
	require.Equal(t, values(0, 2, 1, 100), got)
}

func TestRow103ConcurrentStoresOfAKeyStayWhole(t *testing.T) {
	b := open(t, at(servers.StartRedis(t, servers.RedisOptions{})).with(params{"workers": 4}))
	const size = 200_000
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for round := range 50 {
				r, err := b.Do(background, bridge.Store, keys(0, 1), []kv.Buffer{value(0, uint64(g*1000+round), size)})
				if err != nil || r.Bits.Count() != 1 {
					t.Errorf("store: %v %v", r.Bits, err)
				}
				bufs := buffers(1, size)
				r, err = b.Do(background, bridge.Load, keys(0, 1), bufs)
				if err != nil || r.Bits.Count() != 1 || !whole(0, bufs[0]) {
					t.Errorf("load: %v %v", r.Bits, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestRow104WhatIsStoredIsFoundAfterARestart(t *testing.T) {
	r := servers.StartRedis(t, servers.RedisOptions{})
	const n = 1500
	first := open(t, at(r).with(params{"prefix": "cache:"}))
	for i := 0; i < n; i += 100 {
		store(t, first, keys(i, i+100), values(i, i+100, 1, 300)...)
	}
	r.Do(t, "SET", "somebody:else", "x")
	require.NoError(t, first.Close())

	again := open(t, at(r).with(params{"prefix": "cache:"}))
	found, err := again.Recover(background)
	require.NoError(t, err)
	require.Equal(t, n, found)
	require.EqualValues(t, n*300, again.Usage().BytesUsed)
	require.Equal(t, "1111", lookup(t, again, keys(700, 704)...))
	bits, got := load(t, again, keys(900, 901), 300)
	require.Equal(t, "1", bits)
	require.Equal(t, values(900, 901, 1, 300), got)
}

func TestValuesOfAllSizesComeBack(t *testing.T) {
	r := servers.StartRedis(t, servers.RedisOptions{})
	for name, p := range map[string]params{
		"tcp":       at(r),
		"unix":      {"unix_socket": r.Socket},
		"protocol2": at(r).with(params{"protocol": "2"}),
		"protocol3": at(r).with(params{"protocol": "3", "workers": 1, "window_bytes": 1}),
		"many":      at(r).with(params{"workers": 8, "lookup_workers": 2}),
		"name":      at(r).with(params{"host": "localhost"}),
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t, p)
			var ks []kv.Key
			var vs []kv.Buffer
			var sizes []int
			for i, size := range []int{0, 1, 511, 512, 513, 4095, 4096, 16383, 16384, 65535, 65536, 65537, 1 << 20, 8<<20 + 1} {
				ks, vs, sizes = append(ks, key(i)), append(vs, value(i, 1, size)), append(sizes, size)
			}
			store(t, b, ks, vs...)
			require.Equal(t, len(ks), bytes.Count([]byte(lookup(t, b, ks...)), []byte("1")))
			bits, got := load(t, b, ks, sizes...)
			require.Equal(t, "11111111111111", bits)
			for i := range vs {
				require.True(t, bytes.Equal(vs[i], got[i]), "size %d", sizes[i])
			}
			res, err := b.Do(background, bridge.Delete, append(ks, key(999)), nil)
			require.NoError(t, err)
			require.Equal(t, kv.DeleteResult{Deleted: len(ks), Absent: 1}, res.Deleted)
		})
	}
}

func TestLargeBatchesComplete(t *testing.T) {
	b := open(t, at(servers.StartRedis(t, servers.RedisOptions{})).with(params{"workers": 3}))
	const n = 9000
	store(t, b, keys(0, n), values(0, n, 1, 64)...)
	r, err := b.Do(background, bridge.Lookup, keys(0, n+1), nil)
	require.NoError(t, err)
	require.Equal(t, n, r.Bits.LeadingOnes())
	require.Equal(t, n, r.Bits.Count())
	b.Unlock(keys(0, n+1))
	bufs := buffers(n, 64)
	r, err = b.Do(background, bridge.Load, keys(0, n), bufs)
	require.NoError(t, err)
	require.Equal(t, n, r.Bits.Count())
	for i, buf := range bufs {
		require.True(t, whole(i, buf), fmt.Sprint(i))
	}
}
