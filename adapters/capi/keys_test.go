package main

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge/kv"
)

func TestPackedKeysHaveTheLayoutOfTheHeader(t *testing.T) {
	// sixcall_key: six uint32, then int64 and uint64.
	require.Equal(t, uintptr(56), unsafe.Sizeof(packedKey{}))
	require.Equal(t, uintptr(24), unsafe.Offsetof(packedKey{}.Rank))
	require.Equal(t, uintptr(48), unsafe.Offsetof(packedKey{}.Len))
}

func TestUnpackedKeysOutliveTheirText(t *testing.T) {
	text := []byte("llamasalt\x00\xff")
	keys, err := unpackKeys([]packedKey{
		{Model: 0, ModelLen: 5, Salt: 5, SaltLen: 4, Hash: 9, HashLen: 2, Rank: -1, Group: 7},
		{Model: 0, ModelLen: 5, Hash: 11},
	}, text)
	require.NoError(t, err)
	clear(text)
	require.Equal(t, []kv.Key{
		{Model: "llama", Salt: "salt", ChunkHash: "\x00\xff", KVRank: -1, ObjectGroup: 7},
		{Model: "llama"},
	}, keys)
}

func TestKeysOutsideOfTheirTextAreRefused(t *testing.T) {
	for _, p := range []packedKey{{Model: 3, ModelLen: 2}, {Salt: 5}, {Hash: 0xFFFFFFFF, HashLen: 0xFFFFFFFF}} {
		_, err := unpackKeys([]packedKey{{ModelLen: 1}, p}, []byte("1234"))
		require.ErrorContains(t, err, "key 1 lies outside the 4 bytes of text")
	}
}
