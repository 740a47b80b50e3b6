package redis_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge"
	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/internal/servers"
)

func ofSentinels(s *servers.RedisSentinels) params {
	addrs := []string{"127.0.0.1:1"} // one that is gone
	for _, r := range s.Sentinels {
		addrs = append(addrs, r.Addr())
	}
	return params{"sentinels": addrs, "sentinel_master": s.Name, "reconnect_max_ms": 200}
}

func TestSentinelFailover(t *testing.T) {
	s := servers.StartRedisSentinels(t)
	require.ErrorContains(t, refused(t, ofSentinels(s).with(params{"sentinel_master": "other"})), `"other"`)
	b := openWith(t, ofSentinels(s), bridge.Options{Breaker: bridge.BreakerOptions{Failures: -1}})
	require.NoError(t, works(b, 0, 50))

	t.Run("by an operator", func(t *testing.T) {
		old := s.Master(t)
		s.Sentinels[0].Do(t, "SENTINEL", "FAILOVER", s.Name)
		servers.Eventually(t, limit, func() error {
			if s.Master(t) == old {
				return errNot
			}
			// The old master lives on for a while, and does not know yet.
			if err := works(b, 100, 150); err != nil {
				return err
			}
			if s.Master(t).Do(t, "EXISTS", key(100).String()) != int64(1) {
				return errors.New("stores do not reach the new master")
			}
			return nil
		})
	})
	t.Run("because the master dies", func(t *testing.T) {
		// The last failover must be over: the old master follows the new one.
		s.Sentinels[0].Await(t, func() error {
			reply, err := s.Master(t).TryDo("INFO", "replication")
			if err != nil {
				return err
			}
			if !strings.Contains(reply.(string), "connected_slaves:1\r\n") {
				return errNot
			}
			return nil
		})
		store(t, b, keys(200, 210), values(200, 210, 1, 1000)...)
		old := s.Master(t)
		replica := s.Data[0]
		if replica == old {
			replica = s.Data[1]
		}
		servers.Eventually(t, limit, func() error {
			for _, k := range keys(200, 210) {
				if replica.Do(t, "EXISTS", k.String()) != int64(1) {
					return errNot
				}
			}
			return nil
		})
		old.Kill()
		servers.Eventually(t, limit, func() error {
			if s.Master(t) == old {
				return errNot
			}
			return works(b, 300, 350)
		})
		bufs := buffers(10, 1000)
		r, err := b.Do(background, bridge.Load, keys(200, 210), bufs)
		require.NoError(t, err)
		require.Equal(t, "1111111111", r.Bits.String(), "what the replica had is there")
		for i, buf := range bufs {
			require.True(t, whole(200+i, buf))
		}
	})
	require.ErrorIs(t, refused(t, params{"sentinels": []string{"127.0.0.1:1"}, "sentinel_master": s.Name}), kv.Unavailable)
}
