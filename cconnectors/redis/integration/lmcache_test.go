package redis_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge"
	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/internal/servers"
)

func startLMCache(t *testing.T, args ...any) *servers.LMCacheClient {
	return servers.StartLMCacheClient(t, "lmcache_redis", "LMCacheRedisClient", args...)
}

// What LMCache 0.5.6 stored through its `resp` adapter is loaded by us and the
// other way round: the same keys, raw values.
func TestLMCacheReadsOurValuesAndWeReadItsOwn(t *testing.T) {
	login := []string{"tenant", "pass word"}
	for name, r := range map[string]*servers.Redis{
		"open":     servers.StartRedis(t, servers.RedisOptions{}),
		"password": servers.StartRedis(t, servers.RedisOptions{Args: []string{"--requirepass", "pw"}, Login: []string{"pw"}}),
		"user":     servers.StartRedis(t, servers.RedisOptions{}),
	} {
		t.Run(name, func(t *testing.T) {
			p, args := at(r), []any{"127.0.0.1", r.Port, 2}
			switch name {
			case "password":
				p, args = p.with(params{"password": "pw"}), append(args, "", "pw")
			case "user":
				r.Do(t, "ACL", "SETUSER", login[0], "on", ">"+login[1], "~*", "+@all")
				p, args = p.with(params{"username": login[0], "password": login[1]}), append(args, login[0], login[1])
			}
			ks := []kv.Key{
				key(1),
				{Model: "m", ChunkHash: "\x00\x01\x02\x03", KVRank: 255},
				{Model: "m", ChunkHash: "\xab", KVRank: 1 << 40, ObjectGroup: 300, Salt: "s"},
				{Model: "org/sub/model.v1", ChunkHash: strings.Repeat("\xfe", 32), KVRank: 0x08050401, Salt: "tenant Ä"},
			}
			ours := open(t, p)
			peer := startLMCache(t, args...)
			for _, size := range []int{10, 4096, 1 << 20} { // its batches have one size
				vs, raw, sizes := make([]kv.Buffer, len(ks)), make([][]byte, len(ks)), make([]int, len(ks))
				for i := range ks {
					vs[i], sizes[i] = value(i, uint64(size), size), size
					raw[i] = vs[i]
				}
				answer := peer.Set(t, texts(ks), raw)
				require.True(t, answer.OK, answer.Error)
				require.Equal(t, "1111", lookup(t, ours, ks...))
				bits, got := load(t, ours, ks, sizes...)
				require.Equal(t, "1111", bits)
				require.Equal(t, vs, got)

				for i := range ks {
					vs[i] = value(i, uint64(size)+1, size)
					raw[i] = vs[i]
				}
				store(t, ours, ks, vs...)
				require.Equal(t, []bool{true, true, true, true}, peer.Exists(t, texts(ks)).Results)
				answer = peer.Get(t, texts(ks), sizes)
				require.True(t, answer.OK, answer.Error)
				require.Equal(t, []bool{true, true, true, true}, answer.Results)
				require.Equal(t, raw, answer.Values)
			}
			// Either side sees what the other removes.
			require.Equal(t, []bool{true}, peer.Delete(t, texts(ks[:1])).Results)
			require.Equal(t, "0111", lookup(t, ours, ks...))
			_, err := ours.Do(background, bridge.Delete, ks[1:2], nil)
			require.NoError(t, err)
			require.Equal(t, []bool{false, false, true, true}, peer.Exists(t, texts(ks)).Results)
		})
	}
}
