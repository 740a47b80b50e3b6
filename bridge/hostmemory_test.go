package bridge_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge"
	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
)

func TestBatchesInRegisteredMemoryCarryItsHandle(t *testing.T) {
	own, err := arena.New(arena.Options{})
	require.NoError(t, err)
	block, err := own.Alloc(4 << 12)
	require.NoError(t, err)
	defer own.Close()
	defer block.Release()
	host := block.Bytes()

	conn := bridgetest.NewConnector(t)
	var mu sync.Mutex
	var handles []uint64
	conn.OnSubmit = func(b *kv.Batch) error {
		mu.Lock()
		defer mu.Unlock()
		handles = append(handles, b.MemHandle)
		return nil
	}
	b, err := bridge.New(conn, bridge.Options{
		Buffers:    bridge.BuffersDirect,
		HostMemory: bridge.HostMemory{Bytes: host[:2<<12], Handle: 9},
	})
	require.NoError(t, err)
	defer b.Close()

	keys := bridgetest.Keys(2)
	do := func(kind bridge.Kind, bufs ...kv.Buffer) {
		_, err := b.Do(t.Context(), kind, keys, bufs)
		require.NoError(t, err)
	}
	do(bridge.Store, host[:100], host[2<<12-100:2<<12]) // within, to its last byte
	do(bridge.Store, host[:100], host[2<<12-99:2<<12+1])
	do(bridge.Store, host[:100], host[3<<12:3<<12+100])
	do(bridge.Lookup)
	do(bridge.Load, host[100:200], host[200:300])

	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, []uint64{9, 0, 0, 0, 9}, handles)
}
