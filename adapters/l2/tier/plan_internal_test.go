package tier

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
)

// serves says in the words of the rule whether a row serves n columns.
func serves(g *grid, have *kv.Bitmap, row, n int) bool {
	for c := range n {
		needed := g.windows[row] == 0 || c >= n-g.windows[row]
		if needed && !have.Test(row*g.columns+c) {
			return false
		}
	}
	return true
}

func TestPrefixIsTheLongestThatEveryRowServes(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		req := Request{}
		columns := 1 + rnd.IntN(8)
		for range 1 + rnd.IntN(4) {
			req.Rows = append(req.Rows, Row{Keys: bridgetest.Keys(columns), Size: 1, Window: rnd.IntN(4)})
		}
		g, err := newGrid(req, true)
		require.NoError(t, err)
		have := kv.NewBitmap(g.cells())
		for i := range g.cells() {
			if rnd.IntN(4) > 0 {
				have.Set(i)
			}
		}
		want := 0
		for n := 1; n <= columns; n++ {
			all := true
			for row := range g.rows {
				all = all && serves(g, &have, row, n)
			}
			if all {
				want = n
			}
		}
		cells, got := g.usable(&have)
		require.Equal(t, want, got)
		for i := range g.cells() {
			require.False(t, cells.Test(i) && !have.Test(i), "only what is there is used")
		}
		require.Equal(t, want, g.prefix(&cells), "the cells are enough for the prefix")
		for i := range g.cells() {
			if cells.Test(i) {
				less := cells.Clone()
				less.Clear(i)
				require.Less(t, g.prefix(&less), want, "and none of them can be spared")
			}
		}
	}
}

func TestPlanTakesEachCellOnceFromTheFirst(t *testing.T) {
	g, err := newGrid(Request{Rows: []Row{{Keys: bridgetest.Keys(5), Size: 1}}, Policy: Full}, true)
	require.NoError(t, err)
	held := func(cells ...int) *lease {
		b := kv.NewBitmap(5)
		b.SetAll(cells...)
		return &lease{held: b}
	}
	p := g.plan([]*lease{held(), held(0, 1, 3), held(0, 2)})
	require.Equal(t, []int{1, 1, 2, 1, -1}, p.source)
	require.Equal(t, "11110", p.want.String())
	require.Equal(t, []int{0, 1, 3}, p.part(1))
	require.Equal(t, []int{2}, p.part(2))
}
