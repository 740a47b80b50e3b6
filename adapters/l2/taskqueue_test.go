package l2

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge/kv"
)

// TestResultTableAgainstAMap compares the table with a map, with ids that collide.
func TestResultTableAgainstAMap(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var table resultTable
	model := map[kv.TaskID]int64{}
	for step := range 100_000 {
		id := kv.TaskID(rnd.IntN(40) + 64*rnd.IntN(4))
		if _, there := model[id]; !there {
			table.put(id).store.Bytes = int64(step)
			model[id] = int64(step)
		} else if rnd.IntN(3) > 0 {
			table.drop(id)
			delete(model, id)
		}
		got := table.find(id)
		want, there := model[id]
		if there != (got != nil) || there && got.store.Bytes != want || table.count != len(model) {
			t.Fatalf("step %d: table has %+v of %d, model has %d (%v) of %d", step, got, table.count, want, there, len(model))
		}
	}
	for id, want := range model {
		require.Equal(t, want, table.find(id).store.Bytes)
	}
}
