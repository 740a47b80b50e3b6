package bridge

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTableAgainstAMap compares the table with a map over random operations,
// with positions drawn from a few values so that runs of probes collide.
func TestTableAgainstAMap(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var table table
	model := map[hash]int64{}
	for step := range 200_000 {
		h := hash{Hi: rnd.Uint64N(4), Lo: rnd.Uint64N(150) * 0x9E3779B97F4A7C15 >> rnd.Uint64N(3)}
		switch rnd.IntN(3) {
		case 0, 1:
			table.put(h).size = int64(step)
			model[h] = int64(step)
		case 2:
			table.drop(h)
			delete(model, h)
		}
		got, want := table.find(h), int64(-1)
		if size, ok := model[h]; ok {
			want = size
		}
		if got == nil && want >= 0 || got != nil && got.size != want || table.count != len(model) {
			t.Fatalf("step %d: table has %+v of %d, model has %d of %d", step, got, table.count, want, len(model))
		}
	}
	for h, size := range model {
		require.Equal(t, size, table.find(h).size)
	}
	for h := range model {
		table.drop(h)
	}
	require.LessOrEqual(t, len(table.slots), 4*tableMin, "an empty table gives its memory back")
}
