package eviction_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/l2/eviction"
	"github.com/sixcall/sixcall/bridge/kv"
)

// batches calls f with n keys of 32-byte hashes, 256 at a time, which are garbage
// after the call.
func batches(from, n int, f func(keys []kv.Key, sizes []int64)) {
	sizes := sizes(256, 4096)
	for n > 0 {
		keys := make([]kv.Key, min(n, 256))
		for i := range keys {
			var hash [32]byte
			binary.BigEndian.PutUint64(hash[8:], uint64(from))
			keys[i] = kv.Key{ChunkHash: string(hash[:]), Model: "meta/llama", KVRank: int64(from % 8), Salt: fmt.Sprint("tenant", from/256%4)}
			from++
		}
		f(keys, sizes[:len(keys)])
		n -= len(keys)
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// fill tracks n keys. ARC gets as many ghosts besides, its worst case.
func fill(p eviction.Policy, n int) {
	batches(0, n, p.Created)
	if arc, ok := p.(*eviction.ARC); ok {
		// All become ghosts of T2, which does not share its room with T1.
		batches(0, n, func(keys []kv.Key, _ []int64) { arc.Touched(keys) })
		list, _ := arc.Victims(eviction.Want{Keys: n})
		arc.Removed(keysOf(list))
		batches(n, n, arc.Created)
	}
}

var tracked = []struct {
	name string
	new  func() eviction.Policy
}{
	{"LRU", func() eviction.Policy { return eviction.NewLRU() }},
	{"IsolatedLRU", func() eviction.Policy { return eviction.NewIsolatedLRU() }},
	{"ARC", func() eviction.Policy { return eviction.NewARC() }},
}

// TestMemoryPerKey pins what a tracked key costs: 200 bytes with its chunk hash,
// and for ARC with a ghost.
func TestMemoryPerKey(t *testing.T) {
	const n = 100_000 // just after the table has doubled, when it is emptiest
	for _, tc := range tracked {
		t.Run(tc.name, func(t *testing.T) {
			before := heap()
			p := tc.new()
			fill(p, n)
			perKey := float64(heap()-before) / n
			require.Equal(t, n, p.Len())
			require.Less(t, perKey, 200.0, "bytes per key")
			t.Logf("%.0f bytes per key", perKey)
		})
	}
}

// TestMemoryIsUsedAgain keeps the number of keys and changes all of them, salts
// included, ten times.
func TestMemoryIsUsedAgain(t *testing.T) {
	const n = 20_000
	p := eviction.NewIsolatedLRU()
	rng := rand.New(rand.NewPCG(1, 1))
	round := func(i int) {
		var salts []string
		batches(i*n, n, func(keys []kv.Key, sizes []int64) {
			salt := fmt.Sprint(rng.Uint64())
			salts = append(salts, salt)
			for i := range keys {
				keys[i].Salt = salt
				if i%8 == 0 {
					keys[i].ChunkHash += "longer"
				}
			}
			for i := range keys[:len(keys)-1] { // many salts, too
				if i%16 == 0 {
					keys[i].Salt += fmt.Sprint(i)
					salts = append(salts, keys[i].Salt)
				}
			}
			p.Created(keys, sizes)
		})
		for _, salt := range salts {
			p.Removed(keysOf(p.VictimsOf(salt, eviction.Want{Keys: n})))
		}
		require.Zero(t, p.Len())
	}
	round(0)
	before := heap()
	for i := range 10 {
		round(i + 1)
	}
	require.Less(t, float64(heap())-float64(before), float64(10*n), "less than a byte is lost for each key that was changed")
	runtime.KeepAlive(p)
}

// TestRemovedAdapterCostsNothing: its listener cannot be taken away, but it must
// not track for nobody.
func TestRemovedAdapterCostsNothing(t *testing.T) {
	const n = 20_000
	c, f := newFixture(t, eviction.Options{}), newFake(1)
	require.NoError(t, c.Add("a", f, lru))
	require.NoError(t, c.Remove("a"))
	before := heap()
	batches(0, n, f.listeners[0].KeysStored)
	require.Less(t, float64(heap())-float64(before), float64(n), "less than a byte per key")
	runtime.KeepAlive(f)
}

// BenchmarkTrack measures what it costs to track 1,000,000 keys: bytes/key is
// live heap after a collection, chunk hashes included; ns/op is one key created.
// ARC has a million ghosts besides.
func BenchmarkTrack(b *testing.B) {
	const n = 1_000_000
	for _, tc := range tracked {
		b.Run(fmt.Sprintf("policy=%s/keys=%d", tc.name, n), func(b *testing.B) {
			before := heap()
			p := tc.new()
			fill(p, n)
			bytes := float64(heap()-before) / n
			i := 0
			var pending []kv.Key
			for b.Loop() {
				if len(pending) == 0 {
					b.StopTimer()
					batches(i%n, 256, func(keys []kv.Key, _ []int64) { pending = keys })
					b.StartTimer()
				}
				p.Created(pending[:1], nil)
				pending = pending[1:]
				i++
			}
			b.ReportMetric(bytes, "bytes/key")
			runtime.KeepAlive(p)
		})
	}
}

// BenchmarkGC measures one garbage collection while 1,000,000 keys are tracked:
// what they cost a program that has other things to do.
func BenchmarkGC(b *testing.B) {
	for _, n := range []int{0, 1_000_000} {
		b.Run(fmt.Sprintf("policy=LRU/keys=%d", n), func(b *testing.B) {
			p := eviction.NewLRU()
			fill(p, n)
			for b.Loop() {
				runtime.GC()
			}
			runtime.KeepAlive(p)
		})
	}
}

// BenchmarkHitRatio replays one request stream against each policy and reports
// the part of lookups that hit: skewed reuse with scans in between. It compares
// orders, not speeds.
func BenchmarkHitRatio(b *testing.B) {
	const capacity, requests = 1000, 100_000
	for _, tc := range []struct {
		name string
		new  func() eviction.Policy
	}{
		{"FIFO", func() eviction.Policy { return eviction.NewFIFO() }},
		{"LRU", func() eviction.Policy { return eviction.NewLRU() }},
		{"ARC", func() eviction.Policy { return eviction.NewARC() }},
	} {
		b.Run("policy="+tc.name, func(b *testing.B) {
			var hits, lookups int
			for b.Loop() {
				p, held := tc.new(), map[kv.Key]bool{}
				rng := rand.New(rand.NewPCG(1, 2))
				zipf := rand.NewZipf(rng, 1.1, 1, 20_000)
				ask := func(i int) {
					key := keys(i)
					lookups++
					if held[key[0]] {
						hits++
						p.Touched(key)
						return
					}
					p.Created(key, nil)
					held[key[0]] = true
					if len(held) > capacity*8/10 {
						list, _ := p.Victims(eviction.Want{Keys: eviction.TargetKeys(p.Len(), 0.2)})
						for _, v := range list {
							delete(held, v.Key)
						}
						p.Removed(keysOf(list))
					}
				}
				for i := range requests {
					ask(int(zipf.Uint64()))
					if i%10_000 == 0 {
						for j := range capacity { // a scan
							ask(1_000_000 + i + j)
						}
					}
				}
			}
			b.ReportMetric(100*float64(hits)/float64(lookups), "hit%")
		})
	}
}
