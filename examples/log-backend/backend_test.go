package logbackend_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sixcall/sixcall/adapters/storage"
	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/engine"
	logbackend "github.com/sixcall/sixcall/examples/log-backend"
)

func TestEveryCallIsALine(t *testing.T) {
	r := storage.NewRegistry()
	require.NoError(t, logbackend.Register(r))
	f, err := r.Find(logbackend.ModulePath, logbackend.ClassName)
	require.NoError(t, err)
	core, logs := observer.New(zapcore.InfoLevel)
	b, err := storage.Make(f, storage.PluginContext{Name: "log_backend", Logger: zap.New(core)})
	require.NoError(t, err)

	a, err := arena.New(arena.Options{})
	require.NoError(t, err)
	layout := engine.Layout{Shapes: []engine.Shape{{2, 1, 16, 8}}, DTypes: []engine.DType{engine.Float16}, Format: engine.KV2LTD}
	o, err := engine.NewPool(a, 1<<20).Allocate(layout)
	require.NoError(t, err)
	ctx, key := context.Background(), engine.Key{Model: "m", WorldSize: 1, Hash: "ab", DType: engine.Float16}
	stored := 0
	require.NoError(t, b.SubmitPut(ctx, []engine.Key{key, key}, []*engine.Object{o, o}, func(engine.Key, error) { stored++ }))
	require.Equal(t, 2, stored)
	found, err := b.Contains(ctx, key, true)
	require.NoError(t, err)
	require.False(t, found)
	got, err := b.Get(ctx, key)
	require.NoError(t, err)
	require.Nil(t, got)
	require.False(t, b.InPutTasks(key))
	require.True(t, b.Pin(key))
	require.True(t, b.Unpin(key))
	removed, err := b.Remove(ctx, key, true)
	require.NoError(t, err)
	require.True(t, removed)
	require.NoError(t, b.Close())

	var lines []string
	for _, e := range logs.All() {
		lines = append(lines, e.Message)
		require.Equal(t, "log_backend", e.ContextMap()["backend"])
		if e.Message != "close" {
			require.Equal(t, key.String(), e.ContextMap()["key"], e.Message)
		}
	}
	require.Equal(t, []string{
		"batched_submit_put_task", "batched_submit_put_task", "contains", "get_blocking", "exists_in_put_tasks", "pin", "unpin", "remove", "close",
	}, lines)
	require.Equal(t, 1, o.Refs(), "nothing is kept")
	o.Release()
}
