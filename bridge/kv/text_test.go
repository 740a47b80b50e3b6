package kv_test

import (
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge/kv"
)

// TestTextsAreThoseOfTheKeys compares the text of a batch with that of each key,
// over batches whose keys share more or less, and hashes of every length.
func TestTextsAreThoseOfTheKeys(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	models, salts := []string{"", "m", "org/model"}, []string{"", "tenant", "ünïcode"}
	for range 2000 {
		keys := make([]kv.Key, 1+rnd.IntN(6))
		for i := range keys {
			if i > 0 && rnd.IntN(2) == 0 {
				keys[i] = keys[i-1]
			} else {
				keys[i] = kv.Key{Model: models[rnd.IntN(3)], KVRank: rnd.Int64() - rnd.Int64(), ObjectGroup: rnd.Int64N(20), Salt: salts[rnd.IntN(3)]}
			}
			raw := make([]byte, rnd.IntN(40))
			for j := range raw {
				raw[j] = byte(rnd.Uint32())
			}
			keys[i].ChunkHash = string(raw)
		}
		before := []byte("before")[:rnd.IntN(7)]
		ends := make([]uint32, len(keys))
		out, err := kv.AppendTexts(before[:len(before):len(before)], keys, ends)
		require.NoError(t, err)
		start := uint32(len(before))
		require.Equal(t, before, out[:start])
		for i, k := range keys {
			text := string(out[start:ends[i]])
			require.Equal(t, k.String(), text)
			require.Contains(t, text, "@"+hex.EncodeToString([]byte(k.ChunkHash)))
			start = ends[i]
		}
		require.Len(t, out, int(start))
	}
}

func TestTextsRefuseIllegalKeys(t *testing.T) {
	ends := make([]uint32, 2)
	for _, bad := range []kv.Key{{Model: "a@b"}, {ObjectGroup: -1}, {Salt: "a/b"}, {Salt: strings.Repeat("s", kv.MaxSaltRunes+1)}} {
		good := bad
		good.Model, good.ObjectGroup, good.Salt = "m", 0, ""
		for _, keys := range [][]kv.Key{{bad, good}, {good, bad}} {
			_, err := kv.AppendTexts(nil, keys, ends)
			require.ErrorIs(t, err, kv.Invalid)
			require.ErrorContains(t, err, bad.Validate().Error())
		}
	}
}

func BenchmarkTexts(b *testing.B) {
	keys := make([]kv.Key, 256)
	for i := range keys {
		keys[i] = kv.Key{ChunkHash: strings.Repeat(string(rune('a'+i%26)), 32), Model: "bench/llama70b", KVRank: 0x01000100}
	}
	ends, dst := make([]uint32, len(keys)), make([]byte, 0, 64<<10)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := kv.AppendTexts(dst, keys, ends); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(keys)), "ns/key")
}
