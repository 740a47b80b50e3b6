package bridgetest

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/kv"
)

// Key returns the i-th of a family of different keys.
func Key(i int) kv.Key {
	var h [8]byte
	binary.BigEndian.PutUint64(h[:], uint64(i))
	return kv.Key{ChunkHash: string(h[:]), Model: "test/model", KVRank: 0x01000100}
}

// Keys returns the first n keys.
func Keys(n int) []kv.Key {
	keys := make([]kv.Key, n)
	for i := range keys {
		keys[i] = Key(i)
	}
	return keys
}

// Buffers returns n arena buffers of size bytes, filled with fill, and releases
// them at the end of the test.
func Buffers(t testing.TB, a *arena.Arena, n, size int, fill byte) []kv.Buffer {
	t.Helper()
	bufs := make([]kv.Buffer, n)
	for i := range bufs {
		block, err := a.Alloc(size)
		require.NoError(t, err)
		t.Cleanup(block.Release)
		bufs[i] = block.Bytes()
		for j := range bufs[i] {
			bufs[i][j] = fill
		}
	}
	return bufs
}
