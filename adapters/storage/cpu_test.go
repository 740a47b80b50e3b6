package storage_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/storage"
)

func TestCachePolicies(t *testing.T) {
	for policy, evicted := range map[string]int{"LRU": 2, "lfu": 3, "FIFO": 1, "MRU": 1} {
		cpu := newCPU(t, 3, policy, true)
		put(t, cpu, cpu, keys(1, 4)...)
		// Used, oldest use first: 3, 2, 2, 1, 3, 2, 1, 1... such that the four differ.
		uses := map[string][]int{"LRU": {2, 1, 3, 1}, "lfu": {1, 2, 1}, "FIFO": {1, 1}, "MRU": {3, 2, 1}}[policy]
		for _, i := range uses {
			o, err := cpu.Get(ctx, key(i))
			require.NoError(t, err)
			o.Release()
		}
		put(t, cpu, cpu, key(9))
		for i := 1; i < 4; i++ {
			require.Equal(t, i != evicted, has(t, cpu, key(i)), "%s, key %d", policy, i)
		}
		require.True(t, has(t, cpu, key(9)))
	}
	_, err := storage.NewCPU(newArena(t), 1<<20, "", true)
	require.ErrorContains(t, err, "LRU, LFU, FIFO or MRU")
	_, err = storage.NewCPU(newArena(t), 100, "LRU", true)
	require.ErrorContains(t, err, "max_local_cpu_size")
}

func TestPinsAndReadersKeepChunks(t *testing.T) {
	cpu := newCPU(t, 3, "LRU", true)
	put(t, cpu, cpu, keys(1, 4)...)
	require.True(t, cpu.Pin(key(1)))
	reader, err := cpu.Get(ctx, key(2))
	require.NoError(t, err)
	put(t, cpu, cpu, key(4))
	require.True(t, has(t, cpu, key(1)))
	require.True(t, has(t, cpu, key(2)))
	require.False(t, has(t, cpu, key(3)))
	ok, err := cpu.Remove(ctx, key(1), false)
	require.NoError(t, err)
	require.False(t, ok)
	tokens, err := cpu.Clear(ctx)
	require.NoError(t, err)
	require.Equal(t, 16, tokens, "one of three was not in use")
	ok, err = cpu.Remove(ctx, key(1), true)
	require.NoError(t, err)
	require.True(t, ok)
	reader.Release()
	require.Equal(t, 1, cpu.Keys())
	require.False(t, cpu.Pin(key(1)))
	require.False(t, cpu.Unpin(key(1)))
}
