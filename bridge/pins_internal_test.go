package bridge

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge/kv"
)

// TestPinsAgainstAMap pins and unpins lists of keys that overlap, whole lists, their
// beginnings, single keys and keys that nobody pinned, and compares the count of every
// key with a map.
func TestPinsAgainstAMap(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 8))
	keys := make([]kv.Key, 40)
	for i := range keys {
		keys[i] = kv.Key{ChunkHash: fmt.Sprintf("hash of %d", i/2), Model: "m", Salt: []string{"", "tenant"}[i%2]}
	}
	x := newIndex()
	model := map[kv.Key]int32{}
	var lists [][]kv.Key // that were pinned and not taken whole
	spare := []kv.Key(nil)
	for step := range 100_000 {
		switch rnd.IntN(10) {
		case 0, 1, 2, 3:
			list := make([]kv.Key, 1+rnd.IntN(6))
			first := rnd.IntN(len(keys) - len(list) + 1)
			copy(list, keys[first:])
			x.mu.Lock()
			spare = x.pinAll(append(spare, list...))
			x.mu.Unlock()
			require.Empty(t, spare)
			lists = append(lists, list)
			for _, k := range list {
				model[k]++
			}
		case 4, 5, 6, 7:
			if len(lists) == 0 {
				continue
			}
			at := rnd.IntN(len(lists))
			n := 1 + rnd.IntN(len(lists[at]))
			take := lists[at][:n]
			x.unlock(take)
			for _, k := range take {
				model[k] = max(model[k]-1, 0)
			}
			if lists[at] = lists[at][n:]; len(lists[at]) == 0 {
				lists = append(lists[:at], lists[at+1:]...)
			}
		case 8:
			k := keys[rnd.IntN(len(keys))]
			x.unlock([]kv.Key{k})
			model[k] = max(model[k]-1, 0)
			x.unlock(nil)
		case 9:
			if rnd.IntN(20) == 0 {
				x.mu.Lock()
				x.foldPins()
				x.mu.Unlock()
			}
		}
		if step%500 != 0 {
			continue
		}
		x.mu.Lock()
		x.foldPins()
		var sum int64
		for _, k := range keys {
			h := x.hasher()
			pins := int32(0)
			if e := x.find(h.of(&k)); e != nil {
				pins = e.pins
			}
			require.Equal(t, model[k], pins, "step %d, %v", step, k)
			sum += int64(pins)
		}
		require.Equal(t, sum, x.pins)
		x.mu.Unlock()
	}
}

// TestPinsBeyondTheLogAreKept pins more keys than the log holds, in lists and in one.
func TestPinsBeyondTheLogAreKept(t *testing.T) {
	x := newIndex()
	all := make([]kv.Key, maxLoggedPins+1000)
	for i := range all {
		all[i] = kv.Key{ChunkHash: fmt.Sprint(i)}
	}
	pin := func(keys []kv.Key) {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.pinAll(append([]kv.Key(nil), keys...))
		require.LessOrEqual(t, x.recent.keys, maxLoggedPins)
	}
	pin(all)
	for at := 0; at < len(all); at += 1000 {
		pin(all[at:min(at+1000, len(all))])
	}
	require.Equal(t, int64(2*len(all)), x.pins)
	x.unlock(all)
	x.unlock(all)
	require.Zero(t, x.pins)
	for i := range x.tables {
		require.Zero(t, x.tables[i].count)
	}
}
