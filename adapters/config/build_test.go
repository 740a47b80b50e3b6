package config_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sixcall/sixcall/adapters/config"
	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/native"
)

func TestBuildRefusesWhatThisVersionDoesNotDo(t *testing.T) {
	t.Parallel()
	for members, want := range map[string]string{
		`"serde":{"type":"fp8"}`: "serde is not supported",
	} {
		_, err := config.Build(t.Context(), parse(t, with(members))[0])
		require.ErrorIs(t, err, kv.Config)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "\n")
	}
	_, err := config.Build(t.Context(), config.L2Adapter{})
	require.ErrorIs(t, err, kv.Config)
}

func TestBuildNamesAMissingLibrary(t *testing.T) {
	t.Parallel()
	_, err := config.Build(t.Context(), config.NewNativePlugin("/nowhere/libsixcall_x.so", "x"))
	require.ErrorIs(t, err, kv.Config)
	require.ErrorContains(t, err, "/nowhere/libsixcall_x.so")
}

func TestBuildEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := config.Build(ctx, config.NewNativePlugin("/nowhere/libsixcall_x.so", "x"))
	require.Error(t, err)
}

func TestBuildOfMem(t *testing.T) {
	t.Parallel()
	if _, err := native.Find("mem", nil); err != nil {
		t.Skipf("`make cpp` builds the mem connector: %v", err)
	}
	cfg := parse(t, with(`"max_capacity_gb":2.5,"shared":true`))[0]
	adapter, err := config.Builder{}.BuildNative(t.Context(), cfg)
	require.NoError(t, err)
	defer func() { require.NoError(t, adapter.Close()) }()
	t.Run("row 72: max_capacity_gb 2.5", func(t *testing.T) {
		require.EqualValues(t, 2684354560, adapter.Usage().BytesCapacity)
	})
	t.Run("row 73: the type of a healthy adapter is its class name", func(t *testing.T) {
		require.Equal(t, true, adapter.Status()["is_healthy"])
		require.Equal(t, "mem", adapter.Status()["type"])
		name, shared := adapter.BackendIdentity()
		require.Equal(t, "mem", name)
		require.True(t, shared)
	})
	key := kv.Key{ChunkHash: "h", Model: "m"}
	stored, err := adapter.Store(t.Context(), []kv.Key{key}, []kv.Buffer{[]byte("value")})
	require.NoError(t, err)
	require.Equal(t, kv.StoreResult{OK: true, Bytes: 5}, stored)
	got := make([]byte, 5)
	bits, err := adapter.Load(t.Context(), []kv.Key{key}, []kv.Buffer{got})
	require.NoError(t, err)
	require.Equal(t, "1", bits.String())
	require.Equal(t, "value", string(got))

	cfg.NativePlugin.ClassName = "other"
	_, err = config.Build(t.Context(), cfg)
	require.ErrorIs(t, err, kv.Config)
	require.ErrorContains(t, err, `class_name is "other"`)
}

func TestConnectorLogLevels(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.DebugLevel)
	log := config.LogTo(zap.New(core))
	for level := range 4 {
		log(level, "x")
	}
	var got []string
	for _, e := range logs.All() {
		got = append(got, e.Level.String())
	}
	require.Equal(t, []string{"error", "warn", "info", "debug"}, got)
}
