package bridge_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge"
	"github.com/sixcall/sixcall/bridge/goconnector"
	"github.com/sixcall/sixcall/bridge/kv"
)

// named is a backend that keeps values under whatever name it is given.
type named map[string][]byte

func (n named) Get(_ context.Context, key string, buf []byte) (bool, error) {
	v, ok := n[key]
	if ok && len(v) != len(buf) {
		return false, &goconnector.SizeError{Stored: int64(len(v)), Want: len(buf)}
	}
	copy(buf, v)
	return ok, nil
}

func (n named) Set(_ context.Context, key string, value []byte) error {
	n[key] = append([]byte(nil), value...)
	return nil
}

func (n named) Exists(_ context.Context, key string) (bool, int64, error) {
	v, ok := n[key]
	return ok, int64(len(v)), nil
}

func (named) Close() error { return nil }

func TestRawKeysAndLengths(t *testing.T) {
	backend := named{}
	conn, err := goconnector.New(backend, goconnector.Options{Name: "named", Workers: 1, LookupWorkers: 1})
	require.NoError(t, err)
	b, err := bridge.New(conn, bridge.Options{RawKeys: true, Lengths: true, MaxBatch: 2})
	require.NoError(t, err)
	defer b.Close()
	ctx := context.Background()
	keys := []kv.Key{{ChunkHash: "m@1@0@ab@half"}, {ChunkHash: "m@1@0@ab@halfmetadata"}, {ChunkHash: "\x00/@"}}
	_, err = b.Do(ctx, bridge.Store, keys[:2], []kv.Buffer{[]byte("value"), []byte("v")})
	require.NoError(t, err)
	require.Equal(t, named{"m@1@0@ab@half": []byte("value"), "m@1@0@ab@halfmetadata": []byte("v")}, backend)
	r, err := b.Do(ctx, bridge.Lookup, keys, nil)
	require.NoError(t, err)
	require.Equal(t, "110", r.Bits.String())
	require.Equal(t, []int64{5, 1, 0}, r.Lengths)
	for _, bad := range []kv.Key{{}, {ChunkHash: "a", Model: "m"}, {ChunkHash: "a", Salt: "s"}} {
		_, err = b.Do(ctx, bridge.Lookup, []kv.Key{bad}, nil)
		require.ErrorIs(t, err, kv.Invalid)
	}
}
