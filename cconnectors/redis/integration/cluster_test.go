package redis_test

import (
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge"
	"github.com/sixcall/sixcall/internal/servers"
)

func ofCluster(c *servers.RedisCluster) params {
	return at(c.Nodes[0]).with(params{"cluster": true})
}

func TestClusterServesAllSlots(t *testing.T) {
	c := servers.StartRedisCluster(t, 3, 0)
	b := open(t, ofCluster(c))
	const n = 1000
	store(t, b, keys(0, n), values(0, n, 1, 500)...)
	for _, node := range c.Nodes {
		require.Greater(t, node.Do(t, "DBSIZE").(int64), int64(n/6), "each node has its share")
	}
	require.NoError(t, works(b, 0, n))
	r, err := b.Do(background, bridge.Lookup, keys(0, n), nil)
	require.NoError(t, err)
	require.Equal(t, n, r.Bits.Count())
	b.Unlock(keys(0, n))

	again := open(t, params{"cluster": true, "nodes": []string{"127.0.0.1:1", c.Nodes[2].Addr()}})
	found, err := again.Recover(background)
	require.NoError(t, err)
	require.Equal(t, n, found, "a listing goes over all masters")
	require.NoError(t, works(again, 0, n))

	res, err := b.Do(background, bridge.Delete, keys(0, n), nil)
	require.NoError(t, err)
	require.Equal(t, n, res.Deleted.Deleted)

	conn, err := connect(t, ofCluster(c))
	require.NoError(t, err)
	used, _, count, err := conn.Usage()
	require.NoError(t, err)
	require.Positive(t, used)
	require.Zero(t, count)
	require.NoError(t, conn.Close(limit))
}

// Slots with their keys go from node to node while stores and loads run. Nothing
// is lost, nothing fails.
func TestClusterIsReshardedWhileItWorks(t *testing.T) {
	c := servers.StartRedisCluster(t, 3, 0)
	b := open(t, ofCluster(c))
	const n = 400
	store(t, b, keys(0, n), values(0, n, 1, 2000)...)
	traffic := startTraffic(b, n, 2000)
	// The slots of the first keys go to the next node, all around.
	slots := make([][]int, 3)
	for i := range 60 {
		slot := int(c.Nodes[0].Do(t, "CLUSTER", "KEYSLOT", key(i).String()).(int64))
		owner := slot * 3 / servers.RedisSlots
		if !slices.Contains(slots[owner], slot) {
			slots[owner] = append(slots[owner], slot)
		}
	}
	for from := range 3 {
		c.MoveSlots(t, from, (from+1)%3, slots[from]...)
	}
	result := traffic.stop()
	require.Zero(t, result.wrong)
	require.Zero(t, result.failures, "%v", result.first)
	require.Zero(t, result.misses, "every key was there all the time; %+v", b.Stats())
	require.Positive(t, result.hits)
	for _, node := range c.Nodes {
		require.Contains(t, node.Do(t, "INFO", "errorstats"), "errorstat_MOVED", "every node has sent somebody elsewhere")
	}
	found, err := open(t, ofCluster(c)).Recover(background)
	require.NoError(t, err)
	require.Equal(t, n, found)
}

// A key whose slot is on its way is served by ASK, from where it is.
func TestClusterFollowsAKeyThatIsOnItsWay(t *testing.T) {
	c := servers.StartRedisCluster(t, 2, 0)
	b := open(t, ofCluster(c))
	store(t, b, keys(0, 50), values(0, 50, 1, 100)...)
	slot := strconv.FormatInt(c.Nodes[0].Do(t, "CLUSTER", "KEYSLOT", key(0).String()).(int64), 10)
	from, to := 0, 1
	if s, _ := strconv.Atoi(slot); s >= servers.RedisSlots/2 {
		from, to = 1, 0
	}
	c.Nodes[to].Do(t, "CLUSTER", "SETSLOT", slot, "IMPORTING", c.ID(t, from))
	c.Nodes[from].Do(t, "CLUSTER", "SETSLOT", slot, "MIGRATING", c.ID(t, to))
	c.Nodes[from].Do(t, "MIGRATE", "127.0.0.1", strconv.Itoa(c.Nodes[to].Port), key(0).String(), "0", "10000")
	bits, got := load(t, b, keys(0, 1), 100)
	require.Equal(t, "1", bits)
	require.Equal(t, values(0, 1, 1, 100), got)
	require.Equal(t, "1", lookup(t, b, key(0)))
	store(t, b, keys(0, 1), value(0, 2, 100))
	bits, got = load(t, b, keys(0, 1), 100)
	require.Equal(t, "1", bits)
	require.Equal(t, values(0, 1, 2, 100), got)
	require.Contains(t, c.Nodes[from].Do(t, "INFO", "errorstats"), "errorstat_ASK")
}

// A master is killed; its replica takes over. Meanwhile the other nodes serve.
func TestClusterLosesANode(t *testing.T) {
	c := servers.StartRedisCluster(t, 3, 1)
	for _, n := range c.Nodes {
		n.Do(t, "CONFIG", "SET", "cluster-require-full-coverage", "no")
	}
	b := openWith(t, ofCluster(c).with(params{"nodes": []string{c.Nodes[1].Addr()}}), bridge.Options{Breaker: bridge.BreakerOptions{Failures: -1}})
	const n = 300
	store(t, b, keys(0, n), values(0, n, 1, 500)...)
	servers.Eventually(t, limit, func() error {
		if has, want := c.Nodes[3].Do(t, "DBSIZE"), c.Nodes[0].Do(t, "DBSIZE"); has != want {
			return fmt.Errorf("the replica has %v of %v keys", has, want)
		}
		return nil
	})
	c.Nodes[0].Kill()
	bufs := buffers(n, 500)
	r, err := b.Do(background, bridge.Load, keys(0, n), bufs)
	require.NoError(t, err)
	require.Greater(t, r.Bits.Count(), n/2, "the others serve")
	for i := range n {
		require.True(t, !r.Bits.Test(i) || whole(i, bufs[i]))
	}
	servers.Eventually(t, limit, func() error {
		bufs := buffers(n, 500)
		r, err := b.Do(background, bridge.Load, keys(0, n), bufs)
		if err != nil || r.Bits.Count() != n {
			return fmt.Errorf("%d of %d: %w", r.Bits.Count(), n, err)
		}
		for i := range n {
			require.True(t, whole(i, bufs[i]))
		}
		return nil
	})
	require.NoError(t, works(b, 0, n))
}
