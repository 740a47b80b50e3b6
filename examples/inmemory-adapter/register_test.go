package inmemory_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/adapters/l2/plugin"
	"github.com/sixcall/sixcall/bridge/kv"
	inmemory "github.com/sixcall/sixcall/examples/inmemory-adapter"
)

// A program registers the plugin, makes an adapter by its two names, and uses it.
func Example() {
	registry := plugin.NewRegistry()
	if err := inmemory.Register(registry); err != nil {
		fmt.Println(err)
		return
	}
	adapter, err := plugin.New(registry, plugin.Config{
		ModulePath:    inmemory.ModulePath,
		ClassName:     inmemory.ClassName,
		AdapterParams: json.RawMessage(`{"max_size_gb": 0.25}`),
	}, plugin.HostInfo{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer adapter.Close()
	client, err := l2.NewClient(adapter)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	ctx := context.Background()
	keys := []kv.Key{{ChunkHash: "\x01", Model: "llama"}, {ChunkHash: "\x02", Model: "llama"}}
	if _, err := client.Store(ctx, keys[:1], []kv.Buffer{[]byte("the KV cache of one chunk")}); err != nil {
		fmt.Println(err)
		return
	}
	hits, err := client.Lookup(ctx, keys)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Unlock(kv.Gather(&hits, keys))
	fmt.Println(hits.String(), adapter.Usage().BytesUsed, adapter.Usage().BytesCapacity)
	// Output: 10 25 268435456
}

func TestRegister(t *testing.T) {
	registry := plugin.NewRegistry()
	require.NoError(t, inmemory.Register(registry))
	require.ErrorIs(t, inmemory.Register(registry), kv.Invalid, "once")
	require.Equal(t, []string{"examples.inmemory"}, registry.Modules())
	create := func(cfg plugin.Config) (l2.Adapter, error) {
		cfg.ModulePath, cfg.ClassName = "examples.inmemory", "InMemoryL2Adapter"
		return plugin.New(registry, cfg, plugin.HostInfo{})
	}
	t.Run("row 77: the configuration type is found by convention", func(t *testing.T) {
		a, err := create(plugin.Config{})
		require.NoError(t, err)
		defer a.Close()
		require.Equal(t, int64(1<<29), a.Usage().BytesCapacity, "the default, 0.5 GiB")
		require.Equal(t, "InMemoryL2Adapter", a.Status()["type"])
	})
	t.Run("and by its name", func(t *testing.T) {
		a, err := create(plugin.Config{ConfigClassName: "InMemoryL2AdapterConfig", AdapterParams: json.RawMessage(`{"max_size_gb": 2, "mock_bandwidth_gb": 0}`)})
		require.NoError(t, err)
		defer a.Close()
		require.Equal(t, int64(2<<30), a.Usage().BytesCapacity)
	})
	for params, want := range map[string]string{
		`{"max_size_gib": 1}`:         `did you mean "max_size_gb"?`,
		`{"max_size_gb": 0}`:          "max_size_gb is 0, want a number above 0",
		`{"mock_bandwidth_gb": "10"}`: "adapter_params.mock_bandwidth_gb is a string, want float64",
	} {
		_, err := create(plugin.Config{AdapterParams: json.RawMessage(params)})
		require.ErrorIs(t, err, kv.Config)
		require.ErrorContains(t, err, want)
	}
	t.Run("a configuration of another type is refused", func(t *testing.T) {
		require.NoError(t, registry.Register("examples.inmemory", "Other", nop, plugin.SafeForConcurrentUse(),
			plugin.ConfigType("OtherConfig", func() *struct{} { return &struct{}{} })))
		_, err := create(plugin.Config{ConfigClassName: "OtherConfig"})
		require.ErrorIs(t, err, kv.Config)
	})
}

func nop(any, plugin.HostInfo) (l2.Adapter, error) { return nil, nil }
