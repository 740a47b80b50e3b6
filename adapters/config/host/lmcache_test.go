//go:build linux

package host_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/config/host"
	"github.com/sixcall/sixcall/adapters/remote"
	"github.com/sixcall/sixcall/bridge/engine"
	"github.com/sixcall/sixcall/internal/servers"
)

// interop stores with one side and reads with the other, both ways.
func interop(t *testing.T, h *host.Host, ours *remote.Backend, theirs *servers.LMCacheRemote) {
	t.Helper()
	shape := []int{2, 2, 16, 16}
	for i, text := range []string{
		"org/m@1@0@abc@bfloat16", "meta-llama/Llama-3.1-8B@8@7@-1a2b@bfloat16@u%b", "m@1@0@ff@bfloat16@3", "m@2@1@ab@bfloat16@layer%x@y%1%2",
	} {
		k, err := engine.ParseKey(text)
		require.NoError(t, err)
		require.False(t, theirs.Exists(t, text), text)
		o := object(t, h, i)
		done := make(chan error, 1)
		require.NoError(t, ours.SubmitPut(ctx, []engine.Key{k}, []*engine.Object{o}, func(_ engine.Key, err error) { done <- err }))
		require.NoError(t, <-done)
		require.True(t, theirs.Exists(t, text), text)
		value, gotShape := theirs.Get(t, text)
		require.Equal(t, o.Bytes(), value, text)
		require.Equal(t, shape, gotShape, text)

		// Theirs, under a key of the same kind.
		k.Hash = engine.HashInt(int64(1000 + i))
		fill(o, 100+i)
		theirs.Put(t, k.String(), o.Bytes(), shape, "bfloat16")
		require.True(t, theirs.Exists(t, k.String()), "a put of lm:// is not answered; this is behind it")
		ok, err := ours.Contains(ctx, k, false)
		require.NoError(t, err)
		require.True(t, ok, k)
		got, err := ours.Get(ctx, k)
		require.NoError(t, err)
		require.NotNil(t, got, k)
		require.Equal(t, o.Bytes(), got.Bytes())
		require.Equal(t, o.Layout(), got.Layout())
		got.Release()
		o.Release()
	}
	// A chunk of fewer tokens, both ways.
	short := object(t, h, 77)
	require.NoError(t, short.Truncate(5*128))
	k := engine.Key{Model: "org/short", WorldSize: 1, Hash: "a", DType: engine.BFloat16}
	done := make(chan error, 1)
	require.NoError(t, ours.SubmitPut(ctx, []engine.Key{k}, []*engine.Object{short}, func(_ engine.Key, err error) { done <- err }))
	require.NoError(t, <-done)
	value, gotShape := theirs.Get(t, k.String())
	require.Equal(t, short.Bytes(), value)
	require.Equal(t, []int{2, 2, 5, 16}, gotShape)
	k.Hash = "b"
	theirs.Put(t, k.String(), short.Bytes(), []int{2, 2, 5, 16}, "bfloat16")
	require.True(t, theirs.Exists(t, k.String()))
	got, err := ours.Get(ctx, k)
	require.NoError(t, err)
	require.NotNil(t, got)
	require.Equal(t, short.Bytes(), got.Bytes())
	require.Equal(t, 5, got.Tokens())
	got.Release()
	short.Release()
	require.Zero(t, h.Manager.CPU().Pool().InUse())
}

func TestRow119LMCacheReadsOurRedisAndWeItsOwn(t *testing.T) {
	connector(t, "redis")
	r := servers.StartRedis(t, servers.RedisOptions{})
	h, ours := startURL(t, "redis://"+r.Addr(), "")
	interop(t, h, ours, servers.StartLMCacheRemote(t, "redis", "redis://"+r.Addr()))
}

func TestRow119LMCacheReadsOurFilesAndWeItsOwn(t *testing.T) {
	connector(t, "fs")
	dir := t.TempDir()
	h, ours := startURL(t, "fs://"+dir, "")
	interop(t, h, ours, servers.StartLMCacheRemote(t, "fs", dir))
}

func TestRow135TheServerOfLMCache(t *testing.T) {
	p, address, port := servers.StartLMCacheServer(t)
	h, ours := startURL(t, fmt.Sprintf("lm://%s:%d", address, port), "")
	interop(t, h, ours, servers.StartLMCacheRemote(t, "lm", address, strconv.Itoa(port)))
	require.NoError(t, ours.CheckHealth(ctx), "it answers a health request")
	objs, err := ours.BatchedGet(ctx, keys(500, 510))
	require.NoError(t, err)
	for _, o := range objs {
		require.Nil(t, o)
	}
	k := key(1)
	k.Model = strings.Repeat("m", 150)
	_, err = ours.Contains(ctx, k, false)
	require.ErrorContains(t, err, "room for 150")
	p.Kill()
	_, err = ours.Get(ctx, key(1))
	require.Error(t, err)
	require.Error(t, ours.CheckHealth(ctx))
}
