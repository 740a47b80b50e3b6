package kv_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge/kv"
)

func TestBitmapRows(t *testing.T) {
	b := kv.NewBitmap(10)
	b.SetAll(0, 3, 9)
	require.Equal(t, "1001000001", b.String(), "row 14")
	b.Set(10)
	b.Clear(50)
	b.Set(-1)
	require.False(t, b.Test(10), "row 15")
	require.Equal(t, 3, b.Count(), "row 15")
	short := kv.NewBitmapPrefix(4, 2)
	and, or := b.And(&short), b.Or(&short)
	require.Equal(t, "1000", and.String(), "row 16")
	require.Equal(t, "1101", or.String(), "row 16")
	full := kv.NewBitmapPrefix(4, 10)
	require.Equal(t, "1111", full.String(), "row 17")
	var empty kv.Bitmap
	require.Equal(t, -1, empty.HighestSet(), "row 18")
	require.Equal(t, "", empty.String(), "row 18")
}

// TestBitmapAgainstBools compares every operation with a slice of bools, around
// the word and the inline boundary.
func TestBitmapAgainstBools(t *testing.T) {
	for _, n := range []int{0, 1, 63, 64, 65, 255, 256, 257, 1000} {
		b, want := kv.NewBitmap(n), make([]bool, n)
		for i := 0; i < n; i += 1 + i%7 {
			b.Set(i)
			want[i] = true
		}
		if n > 5 {
			b.Clear(2)
			want[2] = false
		}
		count, high, indices := 0, -1, []int{}
		for i, on := range want {
			require.Equal(t, on, b.Test(i))
			if on {
				count, high, indices = count+1, i, append(indices, i)
			}
		}
		require.Equal(t, n, b.Len())
		require.Equal(t, count, b.Count())
		require.Equal(t, high, b.HighestSet())
		require.Equal(t, indices, b.Indices())
		not := b.Not()
		require.Equal(t, n-count, not.Count())
		require.Equal(t, leading(want, true), b.LeadingOnes())
		require.Equal(t, leading(want, false), b.LeadingZeros())
		clone := b.Clone()
		clone.SetRange(0, n+5)
		require.Equal(t, n, clone.Count())
		require.Equal(t, count, b.Count(), "a clone is independent")
		require.Equal(t, min(count, len(indices)), len(kv.Gather(&b, want)))
	}
}

func leading(bits []bool, value bool) int {
	for i, b := range bits {
		if b != value {
			return i
		}
	}
	return len(bits)
}

func TestSmallBitmapsDoNotAllocate(t *testing.T) {
	require.Zero(t, testing.AllocsPerRun(100, func() {
		b := kv.NewBitmap(256)
		b.Set(200)
		c := b.Clone()
		if c.LeadingZeros() != 200 {
			panic("wrong")
		}
	}))
}

func FuzzBitmapText(f *testing.F) {
	for _, seed := range []string{"", "1001000001", "0", "2", "1x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		b, err := kv.ParseBitmap(text)
		if err != nil {
			return
		}
		if got := b.String(); got != text {
			t.Fatalf("%q became %q", text, got)
		}
		not := b.Not()
		if b.Count()+not.Count() != len(text) {
			t.Fatalf("%q: %d ones and %d zeros", text, b.Count(), not.Count())
		}
	})
}

// TestSetWhereIsSetForEachMark compares with setting bit by bit, over bitmaps of
// all sizes and beginnings.
func TestSetWhereIsSetForEachMark(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 5000 {
		n := rnd.IntN(300)
		got, want := kv.NewBitmap(n), kv.NewBitmap(n)
		for range rnd.IntN(4) {
			marks, from := make([]byte, rnd.IntN(300)), rnd.IntN(310)-5
			for i := range marks {
				marks[i] = byte(rnd.IntN(2))
				if marks[i] == 1 && from >= 0 {
					want.Set(from + i)
				}
			}
			got.SetWhere(from, marks)
		}
		require.Equal(t, want.String(), got.String())
	}
}
