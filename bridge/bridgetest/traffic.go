package bridgetest

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge"
	"github.com/sixcall/sixcall/bridge/kv"
)

// Store stores values, all of which have to succeed.
func Store(t testing.TB, b *bridge.Bridge, keys []kv.Key, values ...kv.Buffer) {
	t.Helper()
	r, err := b.Do(context.Background(), bridge.Store, keys, values)
	require.NoError(t, err)
	require.Equal(t, len(keys), r.Bits.Count())
}

// Load loads values of the given sizes. It returns the bits, and the buffers that
// were read.
func Load(t testing.TB, b *bridge.Bridge, keys []kv.Key, sizes ...int) (string, []kv.Buffer) {
	t.Helper()
	bufs := make([]kv.Buffer, len(sizes))
	for i, n := range sizes {
		bufs[i] = make(kv.Buffer, n)
	}
	r, err := b.Do(context.Background(), bridge.Load, keys, bufs)
	require.NoError(t, err)
	return r.Bits.String(), bufs
}

// Lookup looks keys up and lets go of their pins. It returns the bits.
func Lookup(t testing.TB, b *bridge.Bridge, keys ...kv.Key) string {
	t.Helper()
	r, err := b.Do(context.Background(), bridge.Lookup, keys, nil)
	require.NoError(t, err)
	b.Unlock(keys)
	return r.Bits.String()
}
