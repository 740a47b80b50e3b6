package bridge_test

import (
	"context"
	"errors"
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
	// A load tells the size of what does not fit its buffer.
	r, err = b.Do(ctx, bridge.Load, keys, []kv.Buffer{make([]byte, 5), make([]byte, 3), make([]byte, 1)})
	require.NoError(t, err)
	require.Equal(t, "100", r.Bits.String())
	require.Equal(t, []int64{-1, 1, -1}, r.Lengths)
	for _, bad := range []kv.Key{{}, {ChunkHash: "a", Model: "m"}, {ChunkHash: "a", Salt: "s"}} {
		_, err = b.Do(ctx, bridge.Lookup, []kv.Key{bad}, nil)
		require.ErrorIs(t, err, kv.Invalid)
	}
}

// halfGone fails for the key "bad".
type halfGone struct{ named }

func (s halfGone) Get(ctx context.Context, key string, buf []byte) (bool, error) {
	if key == "bad" {
		return false, errors.New("the disk is gone")
	}
	return s.named.Get(ctx, key, buf)
}

func (s halfGone) Exists(ctx context.Context, key string) (bool, int64, error) {
	if key == "bad" {
		return false, 0, errors.New("the disk is gone")
	}
	return s.named.Exists(ctx, key)
}

func TestKeysThatNobodyCanAnswerForAreTold(t *testing.T) {
	conn, err := goconnector.New(halfGone{named{"good": []byte("v")}}, goconnector.Options{Name: "sick"})
	require.NoError(t, err)
	b, err := bridge.New(conn, bridge.Options{RawKeys: true})
	require.NoError(t, err)
	defer b.Close()
	good, bad, absent := kv.Key{ChunkHash: "good"}, kv.Key{ChunkHash: "bad"}, kv.Key{ChunkHash: "absent"}
	for _, kind := range []bridge.Kind{bridge.Load, bridge.Lookup} {
		do := func(keys ...kv.Key) bridge.Result {
			bufs := make([]kv.Buffer, len(keys))
			for i := range bufs {
				bufs[i] = make([]byte, 1)
			}
			if kind == bridge.Lookup {
				bufs = nil
			}
			r, err := b.Do(context.Background(), kind, keys, bufs)
			require.NoError(t, err)
			require.Equal(t, bridge.Done, r.Outcome)
			return r
		}
		require.NoError(t, do(good).AllFailed)
		require.NoError(t, do(absent).AllFailed)
		require.NoError(t, do(good, bad).AllFailed, "one of two")
		require.NoError(t, do(absent, bad).AllFailed, "a miss is an answer")
		require.ErrorContains(t, do(bad).AllFailed, "the disk is gone")
		require.ErrorIs(t, do(bad, bad).AllFailed, kv.IO)
	}
}
