package redis_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge"
	"github.com/sixcall/sixcall/internal/servers"
)

// Valkey speaks the same protocol.
func TestValkey(t *testing.T) {
	r := servers.StartRedis(t, servers.RedisOptions{Program: servers.Valkey(t)})
	require.Contains(t, r.Do(t, "INFO", "server"), "valkey_version:9.1", "it is Valkey that answers")
	b := open(t, at(r))
	require.NoError(t, works(b, 0, 500))
	require.Equal(t, "10", lookup(t, b, key(0), key(999)))
	found, err := b.Recover(background)
	require.NoError(t, err)
	require.Equal(t, 500, found)
	res, err := b.Do(background, bridge.Delete, keys(0, 500), nil)
	require.NoError(t, err)
	require.Equal(t, 500, res.Deleted.Deleted)
}
