//go:build linux && (amd64 || arm64)

package mooncake_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/config"
	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/internal/servers"
)

// isolated builds an adapter for m as LMCache's configuration would, with the
// default isolation.
func isolated(t *testing.T, m *servers.Mooncake, params map[string]any, members string) config.Adapter {
	t.Helper()
	connector := servers.Connector(t, "mooncake")
	if os.Getenv("SIXCALL_WORKER") == "" {
		program := filepath.Join(filepath.Dir(connector), "..", "bin", "sixcall-worker")
		if _, err := os.Stat(program); err != nil {
			servers.Require(t, "sixcall-worker is neither in $SIXCALL_WORKER nor beside the connectors")
		}
		t.Setenv("SIXCALL_WORKER", program)
	}
	// For the worker: what this process preloads is settled.
	for _, entry := range append(m.Environment(), fastFailure...) {
		name, value, _ := strings.Cut(entry, "=")
		t.Setenv(name, value)
	}
	list, err := config.ParseL2Adapters([]string{fmt.Sprintf(
		`{"type":"native_plugin","module_path":%q,"class_name":"mooncake","adapter_params":%s%s}`,
		connector, configuration(t, m, params), members)})
	require.NoError(t, err)
	adapter, err := config.Build(t.Context(), list[0])
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, adapter.Close()) })
	return adapter
}

func value(i, size int) kv.Buffer {
	return bytes.Repeat([]byte{byte(i), byte(i >> 8), 0x5A}, size/3+1)[:size]
}

func TestIsolatedByDefault(t *testing.T) {
	m := servers.StartMooncake(t, servers.MooncakeOptions{})
	a := isolated(t, m, nil, `,"integrity":"xxh3"`)
	loaded, err := os.ReadFile("/proc/self/maps")
	require.NoError(t, err)
	require.NotContains(t, string(loaded), "libmooncake_store", "the library is in another process")

	const n = 40
	keys, bufs := bridgetest.Keys(n), make([]kv.Buffer, n)
	for i := range bufs {
		bufs[i] = value(i, 100_000)
	}
	_, err = a.Store(t.Context(), keys, bufs)
	require.NoError(t, err)
	check := func() error {
		got := make([]kv.Buffer, n)
		for i := range got {
			got[i] = make([]byte, 100_000)
		}
		bits, err := a.Load(t.Context(), keys, got)
		if err != nil {
			return err
		}
		for i := range got {
			if bits.Test(i) {
				require.True(t, bytes.Equal(bufs[i], got[i]), "wrong bytes for key %d", i)
			}
		}
		if bits.Count() != n {
			return fmt.Errorf("%d of %d", bits.Count(), n)
		}
		return nil
	}
	require.NoError(t, check())

	m.Node.Kill()
	m.Master.Kill()
	require.Error(t, check(), "nobody has the values")
	m.RestartMaster(t)
	m.StartNode(t)
	servers.Eventually(t, 2*time.Minute, func() error {
		if _, err := a.Store(t.Context(), keys, bufs); err != nil {
			return err
		}
		return check()
	})
}
