package config_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/config"
	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/adapters/l2/eviction/quota"
	"github.com/sixcall/sixcall/adapters/l2/mock"
	"github.com/sixcall/sixcall/adapters/l2/plugin"
	"github.com/sixcall/sixcall/bridge/kv"
)

const (
	mockText   = `{"type":"mock","max_size_gb":0.001,"mock_bandwidth_gb":10}`
	pluginText = `{"type":"plugin","module_path":"my.module","class_name":"MyAdapter","adapter_params":{"size":5}`
)

func TestTypesReadTheirKeys(t *testing.T) {
	t.Parallel()
	a := parse(t, mockText)[0]
	require.Equal(t, &config.Mock{MaxSizeGB: 0.001, BandwidthGB: 10}, a.Mock)
	a = parse(t, pluginText+`,"config_class_name":"C"}`)[0]
	require.Equal(t, &config.Plugin{ModulePath: "my.module", ClassName: "MyAdapter", AdapterParams: `{"size":5}`, ConfigClassName: "C"}, a.Plugin)
	hosted := parse(t, pluginText+`,"python":"/venv","max_capacity_gb":2,"worker":{"hang_timeout_ms":7}}`)[0]
	require.Equal(t, "/venv", hosted.Plugin.Python)
	require.Equal(t, 2.0, hosted.Plugin.Hosting.MaxCapacityGB)
	require.Equal(t, 7*time.Millisecond, hosted.Plugin.Hosting.Worker.HangTimeout)
	require.Equal(t, hosted, parse(t, hosted.String())[0], "what is printed can be read again")
	require.Contains(t, refused(t, pluginText+`,"worker":{"program":"/x"}}`)[0], "worker.program is \"/x\", but the program of a plugin is its module_path")
	a = parse(t, `{"type":"fault_inject","inner":`+mockText+`,"rate":0.5,"seed":-3,"gap_indices":[1,2],"gap_tail_ratios":[0,0.5],"shared":true}`)[0]
	require.Equal(t, 0.5, a.FaultInject.Rate)
	require.Equal(t, int64(-3), a.FaultInject.Seed)
	require.Equal(t, []int{1, 2}, a.FaultInject.GapIndices)
	require.Equal(t, []float64{0, 0.5}, a.FaultInject.GapTailRatios)
	require.Equal(t, "mock", a.FaultInject.Inner.Type)
	require.True(t, a.Shared)
	require.JSONEq(t, `{"type":"fault_inject","affinity_tag":"_default","shared":true,"persist_enabled":true,"rate":0.5,"seed":-3,
		"gap_indices":[1,2],"gap_tail_ratios":[0,0.5],
		"inner":{"type":"mock","affinity_tag":"_default","shared":false,"persist_enabled":true,"max_size_gb":0.001,"mock_bandwidth_gb":10}}`, a.String())
}

func TestTypesRefuse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"type":"mock"}`: "max_size_gb is missing",
		`{"type":"mock","max_size_gb":true,"mock_bandwidth_gb":1}`:                   "max_size_gb is true, want a number",
		`{"type":"mock","max_size_gb":0,"mock_bandwidth_gb":1}`:                      "max_size_gb is 0, want more than 0",
		`{"type":"mock","max_size_gb":1,"mock_bandwidth_gb":1,"max_size":1}`:         `max_size is an unknown key, did you mean "max_size_gb"?`,
		`{"type":"plugin","class_name":"x"}`:                                         "module_path is missing",
		`{"type":"plugin","module_path":"","class_name":"x"}`:                        "module_path is empty",
		`{"type":"plugin","module_path":"m","class_name":"x","adapter_params":null}`: "adapter_params is null, want an object",
		`{"type":"fault_inject"}`:                                                    "inner is missing",
		`{"type":"fault_inject","inner":"mock"}`:                                     `inner is the string "mock", want an adapter`,
		`{"type":"fault_inject","inner":{"type":"mok"}}`:                             `did you mean "mock"?`,
		`{"type":"fault_inject","inner":` + mockText + `,"rate":2}`:                  "rate is 2, want 0 to 1",
		`{"type":"fault_inject","inner":` + mockText + `,"rate":true}`:               "rate is true, want a number",
		`{"type":"fault_inject","inner":` + mockText + `,"gap_indices":[-1]}`:        "gap_indices has -1 at position 0",
		`{"type":"fault_inject","inner":` + mockText + `,"gap_indices":5}`:           "gap_indices is 5, want an array",
		`{"type":"fault_inject","inner":` + mockText + `,"gap_tail_ratios":[1.5]}`:   "gap_tail_ratios has 1.5 at position 0",
	} {
		_, err := config.ParseL2Adapters([]string{text})
		require.ErrorContains(t, err, want, text)
		require.ErrorContains(t, err, "--l2-adapter #1", text)
	}
}

// roundTrip stores, looks up and loads one value through an adapter.
func roundTrip(t *testing.T, a config.Adapter) {
	t.Helper()
	ctx := context.Background()
	_, err := a.Store(ctx, memKeys(3), values(3, 100))
	require.NoError(t, err)
	bits, err := a.Lookup(ctx, memKeys(4))
	require.NoError(t, err)
	require.Equal(t, "1110", bits.String())
	a.Unlock(memKeys(3))
	bufs := []kv.Buffer{make([]byte, 100), make([]byte, 100), make([]byte, 100)}
	bits, err = a.Load(ctx, memKeys(3), bufs)
	require.NoError(t, err)
	for i := range bufs {
		if bits.Test(i) {
			require.Equal(t, value(i, 100), bufs[i])
		}
	}
}

func TestBuildOfEveryType(t *testing.T) {
	t.Parallel()
	registry := plugin.NewRegistry()
	require.NoError(t, registry.Register("my.module", "MyAdapter", func(any, plugin.HostInfo) (l2.Adapter, error) {
		return mock.New(mock.Options{MaxSizeBytes: 1 << 20, BandwidthBytesPerSecond: 1 << 40})
	}, plugin.SafeForConcurrentUse()))
	for _, text := range []string{mockText, pluginText + "}", `{"type":"fault_inject","gap_indices":[1],"inner":` + mockText + `}`} {
		a, err := config.Builder{Plugins: registry}.Build(t.Context(), parse(t, text)[0])
		require.NoError(t, err, text)
		roundTrip(t, a)
		require.Equal(t, true, a.Status()["is_healthy"], text)
		require.NoError(t, a.Close(), text)
	}
	// Settings of what is not Go have no effect on what is.
	_, err := config.Builder{Plugins: registry}.Build(t.Context(), parse(t, pluginText+`,"python":"python3","integrity":"xxh3"}`)[0])
	require.ErrorIs(t, err, kv.Config)
	require.ErrorContains(t, err, `python, integrity: given, but "my.module" is a module of this program in Go`)
	_, err = config.Build(t.Context(), parse(t, pluginText+"}")[0])
	require.ErrorIs(t, err, plugin.ErrModuleNotFound)
	_, err = config.Builder{}.BuildNative(t.Context(), parse(t, mockText)[0])
	require.ErrorContains(t, err, `type is "mock", want "native_plugin"`)
}

func TestEvictionHoldsTheCapacity(t *testing.T) {
	needMem(t)
	ctx := context.Background()
	for _, policy := range []string{"LRU", "ARC"} {
		t.Run(policy, func(t *testing.T) {
			a, err := config.Build(ctx, parse(t, `{"type":"native_plugin","module_path":"mem","class_name":"mem",
				"max_capacity_gb":0.001,"eviction":{"eviction_policy":"`+policy+`"}}`)[0])
			require.NoError(t, err)
			defer func() { require.NoError(t, a.Close()) }()
			capacity := a.Usage().BytesCapacity
			require.EqualValues(t, 1<<30/1000, capacity)
			for i := range 2000 { // eight times what fits
				_, err := a.Store(ctx, []kv.Key{memKey(i)}, []kv.Buffer{value(i, 4096)})
				require.NoError(t, err)
				require.LessOrEqual(t, a.Usage().BytesUsed, capacity)
			}
			hits := 0
			for i := range 2000 {
				buf := make([]byte, 4096)
				bits, err := a.Load(ctx, []kv.Key{memKey(i)}, []kv.Buffer{buf})
				require.NoError(t, err)
				if bits.Test(0) {
					hits++
					require.Equal(t, value(i, 4096), buf)
				}
			}
			require.Positive(t, hits)
			require.Contains(t, a.Status(), "eviction")
		})
	}
}

func TestEvictionFromAnAdapterOfAnyType(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	a, err := config.Build(ctx, parse(t, `{"type":"mock","max_size_gb":0.0001,"mock_bandwidth_gb":100,
		"eviction":{"eviction_policy":"LRU","trigger_watermark":0.5,"eviction_ratio":0.5}}`)[0])
	require.NoError(t, err)
	defer func() { require.NoError(t, a.Close()) }()
	require.Contains(t, a.Status(), "eviction")
	_, err = a.Store(ctx, memKeys(20), values(20, 4096))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return a.Usage().Fraction() < 0.5 }, 30*time.Second, 10*time.Millisecond)
}

func TestIsolatedLRUNeedsQuotas(t *testing.T) {
	needMem(t)
	text := `{"type":"native_plugin","module_path":"mem","class_name":"mem","eviction":{"eviction_policy":"IsolatedLRU"}}`
	_, err := config.Build(t.Context(), parse(t, text)[0])
	require.ErrorIs(t, err, kv.Invalid)
	quotas := &quota.Manager{}
	require.NoError(t, quotas.Set("", 1<<20))
	a, err := config.Builder{Quotas: quotas}.Build(t.Context(), parse(t, text)[0])
	require.NoError(t, err)
	roundTrip(t, a)
	require.NoError(t, a.Close())
}
