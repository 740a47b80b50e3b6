package arena_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge/arena"
)

func newArena(t *testing.T, opts arena.Options) *arena.Arena {
	t.Helper()
	a, err := arena.New(opts)
	require.NoError(t, err)
	return a
}

func TestBlocksNeverOverlap(t *testing.T) {
	a := newArena(t, arena.Options{SegmentBytes: 1 << 20})
	rnd := rand.New(rand.NewPCG(3, 4))
	live := map[*arena.Block]byte{}
	for step := range 20_000 {
		if len(live) < 40 && rnd.IntN(2) == 0 {
			b, err := a.Alloc(1 + rnd.IntN(200_000))
			require.NoError(t, err)
			mark := byte(step)
			fill(b.Bytes(), mark)
			live[b] = mark
			continue
		}
		for b, mark := range live {
			mem := b.Bytes()
			if mem[0] != mark || mem[len(mem)-1] != mark || mem[len(mem)/2] != mark {
				t.Fatalf("step %d: a block of %d bytes was overwritten", step, len(mem))
			}
			if got := a.BlockOf(mem[len(mem)-1:]); got != b {
				t.Fatalf("step %d: the last byte of a block belongs to another", step)
			}
			b.Release()
			delete(live, b)
			break
		}
	}
	for b := range live {
		b.Release()
	}
	require.Zero(t, a.Stats().InUse)
	require.NoError(t, a.Close())
	require.Zero(t, a.Stats().Mapped)
}

func fill(p []byte, v byte) {
	for i := range p {
		p[i] = v
	}
}

func TestMemoryIsReusedOnlyAfterTheLastLoan(t *testing.T) {
	a := newArena(t, arena.Options{SegmentBytes: arena.PageSize, MaxBytes: arena.PageSize, Poison: true})
	b, err := a.Alloc(100)
	require.NoError(t, err)
	b.Lend()
	b.Lend()
	b.Release()
	_, err = a.Alloc(1)
	require.ErrorIs(t, err, arena.ErrNoMemory)
	b.Return()
	_, err = a.Alloc(1)
	require.ErrorIs(t, err, arena.ErrNoMemory)
	mem := b.Bytes()
	b.Return()
	require.Equal(t, byte(0xDB), mem[50], "memory that comes back is poisoned")
	again, err := a.Alloc(arena.PageSize)
	require.NoError(t, err)
	again.Release()
	require.NoError(t, a.Close())
}

func TestCloseWaitsForTheLastBlock(t *testing.T) {
	a := newArena(t, arena.Options{SegmentBytes: 1 << 20})
	b, err := a.Alloc(1)
	require.NoError(t, err)
	require.ErrorIs(t, a.Close(), arena.ErrInUse)
	_, err = a.Alloc(1)
	require.ErrorContains(t, err, "closed")
	b.Bytes()[0] = 1
	b.Release()
	require.Zero(t, a.Stats().Mapped)
	require.NoError(t, a.Close())
}

func TestForeignMemoryHasNoBlock(t *testing.T) {
	a := newArena(t, arena.Options{SegmentBytes: 1 << 20})
	other := newArena(t, arena.Options{SegmentBytes: 1 << 20})
	require.Nil(t, a.BlockOf(nil))
	require.Nil(t, a.BlockOf(make([]byte, 8)))
	b, err := other.Alloc(8)
	require.NoError(t, err)
	require.Nil(t, a.BlockOf(b.Bytes()))
	mine, err := a.Alloc(3 * arena.PageSize)
	require.NoError(t, err)
	require.Same(t, mine, a.BlockOf(mine.Bytes()[2*arena.PageSize:]))
	mine.Release()
	b.Release()
	require.NoError(t, a.Close())
	require.NoError(t, other.Close())
}

func TestPrefaultAndHugePagesAreBestEffort(t *testing.T) {
	a := newArena(t, arena.Options{SegmentBytes: 8 << 20, Prefault: true, HugePages: true})
	b, err := a.Alloc(5 << 20)
	require.NoError(t, err)
	fill(b.Bytes(), 1)
	require.Len(t, a.Segments(), 1)
	require.GreaterOrEqual(t, a.Segments()[0].FD, 0)
	b.Release()
	require.NoError(t, a.Close())
}

func TestBadArguments(t *testing.T) {
	_, err := arena.New(arena.Options{SegmentBytes: -1, MaxBytes: -2})
	require.ErrorContains(t, err, "SegmentBytes is -1")
	require.ErrorContains(t, err, "MaxBytes is -2")
	a := newArena(t, arena.Options{})
	_, err = a.Alloc(0)
	require.ErrorContains(t, err, "block of 0 bytes")
	require.NoError(t, a.Close())
}
