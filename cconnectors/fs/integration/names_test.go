package fs_test

import (
	"encoding/hex"
	"flag"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge/kv"
)

var rewrite = flag.Bool("rewrite", false, "write test/names.txt anew")

const namesFile = "../test/names.txt"

// fileName returns the name of the key's file: that of kv, or the hash where kv has none.
func fileName(k kv.Key) string {
	if name, err := k.FileName(); err == nil {
		return name
	}
	h := fnv.New128a()
	h.Write([]byte(k.String()))
	return fmt.Sprintf("%%long-%x.data", h.Sum(nil))
}

// namedKeys returns keys whose names are easy to get wrong.
func namedKeys() []kv.Key {
	var keys []kv.Key
	models := []string{"", "m", "meta/llama", "a/b", "a-SEP-b", "a-SEP/b", "a/SEP-b", "-SEP-", "/", "//", "-", "a%b", "a%2Db", "%", "\x00", "..", ".", "名/前", "\xff\xfe", "a b\n"}
	for _, model := range models {
		for _, rank := range []int64{0, 1, 255, 0x01000100, 1 << 40, 1<<63 - 1, -1, -5, -0xfffffff, -0x123456789} {
			keys = append(keys, kv.Key{Model: model, KVRank: rank, ChunkHash: "\xab\xcd"})
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	pieces := []string{"-", "SEP", "-SEP-", "/", "%", "%2D", "a", ".", "\x00", "é", "x"}
	text := func(pieces []string) string {
		var b strings.Builder
		for range r.IntN(6) {
			b.WriteString(pieces[r.IntN(len(pieces))])
		}
		return b.String()
	}
	for range 500 {
		k := kv.Key{Model: text(pieces), KVRank: r.Int64() >> r.IntN(64), ObjectGroup: r.Int64() >> r.IntN(64)}
		k.Salt = strings.NewReplacer("/", "", "\x00", "").Replace(text(pieces))
		hash := make([]byte, r.IntN(40))
		for i := range hash {
			hash[i] = byte(r.Uint32())
		}
		k.ChunkHash = string(hash)
		keys = append(keys, k)
	}
	for n := 100; n < 130; n++ { // around the longest name
		keys = append(keys, kv.Key{Model: "model", KVRank: 7, ChunkHash: strings.Repeat("h", n)})
		keys = append(keys, kv.Key{Model: "model", KVRank: 7, ChunkHash: "h", Salt: strings.Repeat("ж", n-2)})
	}
	return keys
}

// TestNamesAreThoseOfTheConnector keeps the vectors that the C++ test reads equal
// to what bridge/kv does now.
func TestNamesAreThoseOfTheConnector(t *testing.T) {
	var b strings.Builder
	for _, k := range namedKeys() {
		require.NoError(t, k.Validate())
		fmt.Fprintf(&b, "%s %s\n", hex.EncodeToString([]byte(k.String())), hex.EncodeToString([]byte(fileName(k))))
	}
	if *rewrite {
		require.NoError(t, os.WriteFile(namesFile, []byte(b.String()), 0o644))
	}
	want, err := os.ReadFile(namesFile)
	require.NoError(t, err)
	require.Equal(t, string(want), b.String(), "bridge/kv names files differently now: `go test ./cconnectors/fs/integration -run Names -rewrite`, and see that the C++ test still passes")
}
