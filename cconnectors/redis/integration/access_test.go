package redis_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge"
	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/internal/servers"
)

func TestLogins(t *testing.T) {
	r := servers.StartRedis(t, servers.RedisOptions{Args: []string{"--requirepass", "sesame"}, Login: []string{"sesame"}})
	r.Do(t, "ACL", "SETUSER", "reader", "on", ">read", "~*", "+get", "+exists", "+strlen", "+hello", "+auth", "+ping", "+info")
	r.Do(t, "ACL", "SETUSER", "narrow", "on", ">nar", "~kv:*", "+@all")
	for _, protocol := range []string{"auto", "2", "3"} {
		p := at(r).with(params{"protocol": protocol})
		require.NoError(t, works(open(t, p.with(params{"password": "sesame"})), 0, 3))
		require.NoError(t, works(open(t, p.with(params{"username": "default", "password": "sesame"})), 0, 3))
		require.NoError(t, works(open(t, p.with(params{"username": "narrow", "password": "nar", "prefix": "kv:"})), 0, 3))

		require.ErrorIs(t, refused(t, p), kv.Auth)
		err := refused(t, p.with(params{"password": "wrong-secret"}))
		require.ErrorIs(t, err, kv.Auth)
		require.NotContains(t, err.Error(), "wrong-secret")
		require.ErrorIs(t, refused(t, p.with(params{"username": "nobody", "password": "sesame"})), kv.Auth)

		reader := open(t, p.with(params{"username": "reader", "password": "read"}))
		bits, _ := load(t, reader, keys(0, 1), 1000)
		require.Equal(t, "1", bits)
		res, err := reader.Do(background, bridge.Store, keys(0, 1), values(0, 1, 1, 1000))
		require.ErrorContains(t, err, "NOPERM")
		require.Equal(t, "0", res.Bits.String())
		bits, _ = load(t, reader, keys(1, 2), 1000)
		require.Equal(t, "1", bits, "the connection is fine")
	}

	t.Run("a password that changes is asked for again", func(t *testing.T) {
		b := open(t, at(r).with(params{"password": "sesame", "reconnect_max_ms": 50}))
		require.NoError(t, works(b, 0, 3))
		r.Do(t, "ACL", "SETUSER", "default", "resetpass", ">other")
		admin := open(t, at(r).with(params{"password": "other"}))
		require.NoError(t, works(admin, 0, 3))
	})
}

func TestDatabasesAreApart(t *testing.T) {
	r := servers.StartRedis(t, servers.RedisOptions{})
	one, two := open(t, at(r)), open(t, at(r).with(params{"database": 5}))
	store(t, two, keys(0, 1), value(0, 1, 100))
	require.Equal(t, "0", lookup(t, one, key(0)))
	require.Equal(t, "1", lookup(t, two, key(0)))
	r.Do(t, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	bits, _ := load(t, two, keys(0, 1), 100)
	require.Equal(t, "1", bits, "a new connection selects it too")
	require.ErrorIs(t, refused(t, at(r).with(params{"database": 999})), kv.Config)
}

func TestPrefixesAreApart(t *testing.T) {
	r := servers.StartRedis(t, servers.RedisOptions{})
	a, b := open(t, at(r).with(params{"prefix": "a*["})), open(t, at(r).with(params{"prefix": "b:"}))
	store(t, a, keys(0, 3), values(0, 3, 1, 100)...)
	store(t, b, keys(2, 4), values(2, 4, 2, 100)...)
	require.Equal(t, "111000", lookup(t, a, keys(0, 6)...))
	require.EqualValues(t, 1, r.Do(t, "EXISTS", "a*["+key(0).String()))
	found, err := a.Recover(background)
	require.NoError(t, err)
	require.Equal(t, 3, found)
	found, err = b.Recover(background)
	require.NoError(t, err)
	require.Equal(t, 2, found)
}

func TestValuesExpire(t *testing.T) {
	r := servers.StartRedis(t, servers.RedisOptions{})
	long, short := open(t, at(r).with(params{"ttl_ms": 3_600_000})), open(t, at(r).with(params{"ttl_ms": 1}))
	store(t, long, keys(0, 1), value(0, 1, 100))
	left := r.Do(t, "PTTL", key(0).String()).(int64)
	require.Greater(t, left, int64(0))
	require.LessOrEqual(t, left, int64(3_600_000))
	store(t, short, keys(1, 2), value(1, 1, 100))
	servers.Eventually(t, limit, func() error {
		if got := lookup(t, short, key(1)); got != "0" {
			return errNot
		}
		return nil
	})
	store(t, open(t, at(r)), keys(0, 1), value(0, 2, 100))
	require.EqualValues(t, -1, r.Do(t, "PTTL", key(0).String()), "without the setting a value stays")
}

var errNot = &kv.Error{Op: "test", Code: kv.Internal}

func TestAServerThatIsFullRefusesStoresAndServesLoads(t *testing.T) {
	r := servers.StartRedis(t, servers.RedisOptions{Args: []string{"--maxmemory", "8mb", "--maxmemory-policy", "noeviction"}})
	b := open(t, at(r))
	store(t, b, keys(0, 1), value(0, 1, 1000))
	var res bridge.Result
	var err error
	for i := 1; i < 100; i++ {
		res, err = b.Do(background, bridge.Store, keys(i, i+1), values(i, i+1, 1, 1<<20))
		if err != nil {
			break
		}
	}
	require.ErrorIs(t, err, kv.NoSpace)
	require.ErrorContains(t, err, "OOM")
	require.Equal(t, "0", res.Bits.String())
	bits, _ := load(t, b, keys(0, 1), 1000)
	require.Equal(t, "1", bits)
	require.True(t, b.Health().Healthy(), "full is not sick")
}

func TestAReplicaRefusesStores(t *testing.T) {
	r := servers.StartRedis(t, servers.RedisOptions{Args: []string{"--repl-diskless-sync-delay", "0"}})
	replica := servers.StartRedis(t, servers.RedisOptions{Args: []string{"--replicaof", "127.0.0.1 " + strconv.Itoa(r.Port)}})
	replica.Await(t, func() error {
		info, err := replica.TryDo("INFO", "replication")
		if err != nil {
			return err
		}
		if !strings.Contains(info.(string), "master_link_status:up") {
			return errNot
		}
		return nil
	})
	b := open(t, at(replica))
	_, err := b.Do(background, bridge.Store, keys(0, 1), values(0, 1, 1, 100))
	require.ErrorContains(t, err, "READONLY")
}

func TestUsageComesFromTheServer(t *testing.T) {
	r := servers.StartRedis(t, servers.RedisOptions{Args: []string{"--maxmemory", "100mb"}})
	conn, err := connect(t, at(r))
	require.NoError(t, err)
	defer conn.Close(time.Second)
	used, capacity, n, err := conn.Usage()
	require.NoError(t, err)
	require.Positive(t, used)
	require.EqualValues(t, 100<<20, capacity)
	require.Zero(t, n)
	r.Do(t, "SET", "a", strings.Repeat("x", 1<<20))
	servers.Eventually(t, limit, func() error {
		now, _, n, err := conn.Usage()
		if err != nil || n != 1 || now < used+1<<20 {
			return errNot
		}
		return nil
	})
	text, err := conn.StatsText()
	require.NoError(t, err)
	require.Contains(t, text, "sixcall_redis_connects_total")
}
