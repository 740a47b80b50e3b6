package fs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge"
	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/internal/servers"
)

// flavours are configurations that must not change what LMCache finds.
var flavours = map[string]params{
	"default":  {},
	"direct":   {"o_direct": true},
	"io_uring": {"engine": "io_uring", "temp_files": "named", "tmp_dir": "tmp"},
	"fsync":    {"fsync": "full", "names": "fs_native"},
}

// interopKeys are keys as LMCache makes them.
func interopKeys() []kv.Key {
	return []kv.Key{
		key(1),
		{Model: "m", ChunkHash: "\x00\x01\x02\x03", KVRank: 255},
		{Model: "m", ChunkHash: "\xab", KVRank: 1 << 40, ObjectGroup: 300, Salt: "s"},
		{Model: "org/sub/model.v1", ChunkHash: strings.Repeat("\xfe", 32), KVRank: 0x08050401, Salt: "tenant Ä"},
		{Model: "", ChunkHash: "", KVRank: 0},
	}
}

func texts(ks []kv.Key) (out []string) {
	for _, k := range ks {
		out = append(out, k.String())
	}
	return out
}

func startLMCache(t *testing.T, folder string) *servers.LMCacheClient {
	return servers.StartLMCacheClient(t, "lmcache_fs", "LMCacheFSClient", folder, 2)
}

// What LMCache 0.5.6 stored is loaded by us and the other way round.
func TestLMCacheReadsOurFilesAndWeReadItsOwn(t *testing.T) {
	for kind, root := range folders(t) {
		for name, flavour := range flavours {
			t.Run(kind+" "+name, func(t *testing.T) {
				ks := interopKeys()
				values := make([]kv.Buffer, len(ks))
				sizes := make([]int, len(ks))
				for i := range ks {
					sizes[i] = 4096 << (2 * i) // up to 1 MiB
					values[i] = value(uint64(i), sizes[i])
				}
				raw := make([][]byte, len(values))
				copy(raw, values)

				theirs := filepath.Join(root, kind+name+"-theirs")
				peer := startLMCache(t, theirs)
				answer := peer.Set(t, texts(ks), raw)
				require.True(t, answer.OK, answer.Error)
				ours := open(t, theirs, flavour)
				require.Equal(t, "11111", lookup(t, ours, ks...))
				bits, got := load(t, ours, ks, sizes...)
				require.Equal(t, "11111", bits)
				require.Equal(t, values, got)
				found, err := ours.Recover(background)
				require.NoError(t, err)
				require.Equal(t, len(ks), found, "row 104: usage knows what is there")
				require.EqualValues(t, total(sizes), ours.Usage().BytesUsed)

				mine := filepath.Join(root, kind+name+"-ours")
				writer := open(t, mine, flavour)
				store(t, writer, ks, values...)
				reader := startLMCache(t, mine)
				require.Equal(t, []bool{true, true, true, true, true}, reader.Exists(t, texts(ks)).Results)
				answer = reader.Get(t, texts(ks), sizes)
				require.True(t, answer.OK, answer.Error)
				require.Equal(t, []bool{true, true, true, true, true}, answer.Results)
				require.Equal(t, raw, answer.Values)

				// Either side sees what the other removes.
				require.Equal(t, []bool{true}, reader.Delete(t, texts(ks[:1])).Results)
				require.Equal(t, "01111", lookup(t, writer, ks...))
				_, err = writer.Do(background, bridge.Delete, ks[1:2], nil)
				require.NoError(t, err)
				require.Equal(t, []bool{false, false, true, true, true}, reader.Exists(t, texts(ks)).Results)
			})
		}
	}
}

func total(sizes []int) (n int64) {
	for _, s := range sizes {
		n += int64(s)
	}
	return n
}

// Row 12: LMCache gives the second model the bytes of the first. We give each its own.
func TestRow12ModelsThatCollideInLMCache(t *testing.T) {
	slash, literal := kv.Key{Model: "a/b", ChunkHash: "h"}, kv.Key{Model: "a-SEP-b", ChunkHash: "h"}
	one, two := []byte("first!"), []byte("second")

	peer := startLMCache(t, filepath.Join(realDir(t, t.TempDir()), "peer"))
	require.True(t, peer.Set(t, []string{slash.String()}, [][]byte{one}).OK)
	require.True(t, peer.Set(t, []string{literal.String()}, [][]byte{two}).OK)
	require.Equal(t, [][]byte{one}, peer.Get(t, []string{literal.String()}, []int{6}).Values, "if this fails LMCache has got better, and its names may have changed")

	b := open(t, filepath.Join(realDir(t, t.TempDir()), "ours"), nil)
	store(t, b, []kv.Key{slash, literal}, one, two)
	bits, got := load(t, b, []kv.Key{slash, literal}, 6, 6)
	require.Equal(t, "11", bits)
	require.Equal(t, []kv.Buffer{one, two}, got)
}

// Rows 101 and 102: a file that is cut poisons its key in LMCache for ever. Here
// it is a miss, and the next store writes it, for LMCache as well.
func TestRows101And102ATruncatedFileIsRewritten(t *testing.T) {
	folder := realDir(t, t.TempDir())
	k := key(1)
	name, err := k.FileName()
	require.NoError(t, err)
	whole := value(1, 10000)
	peer := startLMCache(t, folder)
	require.True(t, peer.Set(t, []string{k.String()}, [][]byte{whole}).OK)
	require.NoError(t, os.Truncate(filepath.Join(folder, name), 5000))
	require.True(t, peer.Set(t, []string{k.String()}, [][]byte{whole}).OK)
	require.Equal(t, []bool{false}, peer.Get(t, []string{k.String()}, []int{10000}).Results, "LMCache keeps the cut file")

	b := open(t, folder, nil)
	bits, _ := load(t, b, []kv.Key{k}, 10000)
	require.Equal(t, "0", bits)
	bits, _ = load(t, b, []kv.Key{k}, 4000)
	require.Equal(t, "0", bits, "row 101: a longer file is no hit either")
	store(t, b, []kv.Key{k}, whole)
	bits, got := load(t, b, []kv.Key{k}, 10000)
	require.Equal(t, "1", bits)
	require.Equal(t, whole, got[0])
	answer := peer.Get(t, []string{k.String()}, []int{10000})
	require.Equal(t, []bool{true}, answer.Results)
	require.Equal(t, []byte(whole), answer.Values[0])
}

// A negative rank is named in two ways by LMCache's two adapters.
func TestNegativeRanksUnderTheNamesOfFSNative(t *testing.T) {
	folder := realDir(t, t.TempDir())
	k := kv.Key{Model: "m", ChunkHash: "h", KVRank: -1}
	peer := startLMCache(t, folder)
	require.True(t, peer.Set(t, []string{k.String()}, [][]byte{[]byte("value")}).OK)
	require.Equal(t, "1", lookup(t, open(t, folder, params{"names": "fs_native"}), k))
	require.Equal(t, "0", lookup(t, open(t, folder, nil), k), "these are the names of LMCache's adapter in Python")
}
