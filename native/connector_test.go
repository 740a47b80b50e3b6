//go:build linux && (amd64 || arm64)

package native_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/native"
)

func TestValuesGoThroughTheLibraryAndBack(t *testing.T) {
	c := open(t, native.Options{Connector: compile(t), ClassName: "minimal"})
	require.Equal(t, "minimal", c.Info().Name)
	require.Empty(t, c.Report().Warnings())

	set := newBatch(t, kv.OpSet, 1, 16, 4096)
	for i, buf := range set.Bufs {
		copy(buf, repeat(byte(i+1), len(buf)))
	}
	done := run(t, c, set)
	require.Equal(t, kv.Completion{Ticket: 1, Op: kv.OpSet, NOK: 16}, done)
	require.Equal(t, repeat(kv.StatusHit, 16), set.Status)

	get := newBatch(t, kv.OpGet, 2, 17, 4096)
	require.EqualValues(t, 16, run(t, c, get).NOK)
	require.Equal(t, kv.StatusMiss, get.Status[16])
	for i := range 16 {
		require.Equal(t, repeat(byte(i+1), 4096), get.Bufs[i])
		require.EqualValues(t, 4096, get.ValueLens[i])
	}
	short := newBatch(t, kv.OpGet, 3, 1, 100)
	run(t, c, short)
	require.Equal(t, []byte{kv.StatusSize}, short.Status)

	require.EqualValues(t, 16, run(t, c, newBatch(t, kv.OpExists, 4, 20, 0)).NOK)
	require.EqualValues(t, 2, run(t, c, newBatch(t, kv.OpDelete, 5, 2, 0)).NOK)
	require.EqualValues(t, 14, run(t, c, newBatch(t, kv.OpExists, 6, 16, 0)).NOK)
	for _, ticket := range []uint64{0, 1, 1 << 63, 1<<64 - 1} { // any number is a ticket
		run(t, c, newBatch(t, kv.OpExists, ticket, 1, 0))
	}
	require.Equal(t, kv.OpPing, run(t, c, newBatch(t, kv.OpPing, 7, 0, 0)).Op)
}
