package config_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/config"
)

const minimal = `{"type":"native_plugin","module_path":"mem","class_name":"mem"}`

// with returns the minimal adapter with more members.
func with(members string) string { return strings.TrimSuffix(minimal, "}") + "," + members + "}" }

func parse(t *testing.T, values ...string) []config.L2Adapter {
	t.Helper()
	adapters, err := config.ParseL2Adapters(values)
	require.NoError(t, err)
	require.Len(t, adapters, len(values))
	return adapters
}

// refused parses values, which must fail, and returns the lines of the error.
func refused(t *testing.T, values ...string) []string {
	t.Helper()
	adapters, err := config.ParseL2Adapters(values)
	require.Error(t, err)
	require.Nil(t, adapters)
	return strings.Split(err.Error(), "\n")
}

// types are the adapter types of this build, as messages list them.
const types = "fault_inject, fs, fs_native, infinistore, mock, mooncake_store, native_plugin, nixl_native, plugin, resp, s3"

// The rows are those of the contract's table of observable cases.
func TestParseL2AdaptersContract(t *testing.T) {
	t.Parallel()
	t.Run("row 72: max_capacity_gb 2.5 is 2684354560 bytes", func(t *testing.T) {
		t.Parallel()
		a := parse(t, with(`"max_capacity_gb":2.5`))[0]
		require.EqualValues(t, 2684354560, a.NativePlugin.MaxCapacityBytes())
		require.EqualValues(t, 2684354560, config.OptionsOf(a).MaxCapacityBytes)
	})
	t.Run("row 81: no flag gives an empty list", func(t *testing.T) {
		t.Parallel()
		for _, values := range [][]string{nil, {}} {
			adapters, err := config.ParseL2Adapters(values)
			require.NoError(t, err)
			require.NotNil(t, adapters)
			require.Empty(t, adapters)
		}
	})
	t.Run("row 82: two flags give two adapters in their order", func(t *testing.T) {
		t.Parallel()
		got := parse(t, with(`"affinity_tag":"a"`), with(`"affinity_tag":"b"`))
		require.Equal(t, "a", got[0].AffinityTag)
		require.Equal(t, "b", got[1].AffinityTag)
	})
	t.Run("row 83: bad JSON in the second flag is named #2", func(t *testing.T) {
		t.Parallel()
		lines := refused(t, minimal, `{"type":}`)
		require.Equal(t, []string{"--l2-adapter #2: invalid JSON at byte 9: invalid character '}' looking for beginning of value"}, lines)
	})
	t.Run("row 84: no object, no type, null type and unknown type differ", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, []string{
			`--l2-adapter #1: want a JSON object such as {"type":"native_plugin",...}, got an array`,
			`--l2-adapter #2: type is missing, want one of: ` + types,
			`--l2-adapter #3: type is null, want one of: ` + types,
			`--l2-adapter #4: type is 5, want a string: one of ` + types,
			`--l2-adapter #5: type "tape" is unknown; known types: ` + types,
			`--l2-adapter #6: type "native_plugn" is unknown, did you mean "native_plugin"? known types: ` + types,
			`--l2-adapter #7: type "hf3fs" is an LMCache type that this build does not include; known types: ` + types,
		}, refused(t, `[]`, `{}`, `{"type":null}`, `{"type":5}`, `{"type":"tape"}`, `{"type":"native_plugn"}`, `{"type":"hf3fs","base_path":"/x"}`))
		for _, text := range []string{`null`, `true`, `1`, `"x"`} {
			require.Contains(t, refused(t, text)[0], "want a JSON object")
		}
	})
	t.Run("row 85: eviction policy lru is refused with the four names", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, []string{
			`--l2-adapter #1 ('native_plugin'): eviction.eviction_policy is "lru", want one of LRU, ARC, IsolatedLRU, noop`,
		}, refused(t, with(`"eviction":{"eviction_policy":"lru"}`)))
		require.Equal(t, []string{
			`--l2-adapter #1 ('native_plugin'): eviction.eviction_policy is missing, want one of LRU, ARC, IsolatedLRU, noop`,
		}, refused(t, with(`"eviction":{}`)))
	})
	t.Run("row 86: eviction with only a policy has the default numbers", func(t *testing.T) {
		t.Parallel()
		for _, policy := range config.EvictionPolicies {
			a := parse(t, with(fmt.Sprintf(`"eviction":{"eviction_policy":%q}`, policy)))[0]
			require.Equal(t, &config.Eviction{Policy: policy, TriggerWatermark: 0.8, Ratio: 0.2}, a.Eviction)
		}
	})
	t.Run("row 87: what the peer lets pass or crashes on is refused", func(t *testing.T) {
		t.Parallel()
		const p = `--l2-adapter #1 ('native_plugin'): `
		require.Equal(t, []string{
			p + `shared is the string "false", want true or false`,
			p + `eviction is an array, want an object`,
			p + `max_capacty_gb is an unknown key, did you mean "max_capacity_gb"?`,
		}, refused(t, with(`"eviction":[1],"shared":"false","max_capacty_gb":1`)))
		require.Equal(t, []string{
			p + `eviction.trigger_watermark is 5, want more than 0 and at most 1`,
			p + `eviction.eviction_ratio is -3, want 0 to 1`,
		}, refused(t, with(`"eviction":{"eviction_policy":"LRU","trigger_watermark":5,"eviction_ratio":-3}`)))
	})
	t.Run("row 88: a blank affinity_tag is refused", func(t *testing.T) {
		t.Parallel()
		for _, tag := range []string{"", " ", "\t\n"} {
			require.Equal(t, []string{
				fmt.Sprintf("--l2-adapter #1 ('native_plugin'): affinity_tag is %q, want a name that is not blank", tag),
			}, refused(t, with(fmt.Sprintf(`"affinity_tag":%q`, tag))))
		}
	})
	t.Run("row 89: serde as a string must be a dict", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, []string{
			`--l2-adapter #1 ('native_plugin'): serde is the string "fp8", want an object (it must be a dict) with a string "type"`,
		}, refused(t, with(`"serde":"fp8"`)))
		require.Contains(t, refused(t, with(`"serde":{}`))[0], `serde.type is missing`)
		require.Contains(t, refused(t, with(`"serde":{"type":1}`))[0], `serde.type is 1, want a string`)
		a := parse(t, with(`"serde":{"type":"fp8","fp8_dtype":"e4m3"}`))[0]
		require.Equal(t, &config.Serde{Type: "fp8", Params: `{"fp8_dtype":"e4m3"}`}, a.Serde)
	})
}

func TestParseL2AdaptersDefaults(t *testing.T) {
	t.Parallel()
	want := config.L2Adapter{
		Type:           "native_plugin",
		AffinityTag:    "_default",
		PersistEnabled: true,
		NativePlugin: &config.NativePlugin{
			ModulePath:    "mem",
			ClassName:     "mem",
			AdapterParams: "{}",
			Isolation:     config.IsolationAuto,
			Worker: config.Worker{
				StartTimeout: 10 * time.Second, HangTimeout: 10 * time.Second,
				RestartInitial: 100 * time.Millisecond, RestartMax: 30 * time.Second, RestartsPerMinute: 20,
			},
			Deadlines: config.Deadlines{
				Lookup: 5 * time.Second, Load: 30 * time.Second, Store: 60 * time.Second, Delete: 30 * time.Second,
			},
			Limits:      config.Limits{MaxInFlight: 1024},
			Buffers:     config.BuffersCopy,
			Breaker:     config.Breaker{Failures: 5, Cooldown: time.Second, MaxCooldown: time.Minute},
			Integrity:   config.IntegrityOff,
			OpenTimeout: 10 * time.Second,
		},
	}
	require.Equal(t, want, parse(t, minimal)[0])
	require.Equal(t, want, config.NewNativePlugin("mem", "mem"))
	require.NoError(t, want.Validate())
	require.NoError(t, want.Supported())
	require.Equal(t, want, parse(t, with(`"eviction":null,"serde":null`))[0], "null is off, as in LMCache")
}

func TestParseL2AdaptersReadsEveryKey(t *testing.T) {
	t.Parallel()
	sum := strings.Repeat("Ab", 32)
	got := parse(t, `{
		"type": "native_plugin", "module_path": "./x/libsixcall_x.so", "class_name": "x",
		"adapter_params": {"url": "redis://h", "n": 9007199254740993, "list": [1, {"a": null}]},
		"max_capacity_gb": 3, "affinity_tag": "numa1", "shared": true, "persist_enabled": false,
		"eviction": {"eviction_policy": "noop", "trigger_watermark": 1, "eviction_ratio": 0},
		"worker": {"program": "/w", "memory_limit_gb": 1, "core_dumps": true, "allow_exec": true, "user": 1, "group": 2, "wrapper": ["x"],
			"start_timeout_ms": 1, "hang_timeout_ms": 2, "restart_initial_ms": 3, "restart_max_ms": 4, "restarts_per_minute": 5},
		"isolation": "none", "buffers": "direct", "sha256": "`+sum+`", "open_timeout_ms": 1,
		"deadlines": {"lookup_ms": 0, "load_ms": 1, "store_ms": 2, "delete_ms": 3},
		"limits": {"max_inflight": 65536, "max_batch": 7},
		"breaker": {"failures": 0, "cooldown_ms": 1, "max_cooldown_ms": 2}, "integrity": "xxh3"
	}`)[0]
	require.Equal(t, config.L2Adapter{
		Type: "native_plugin", AffinityTag: "numa1", Shared: true,
		Eviction: &config.Eviction{Policy: "noop", TriggerWatermark: 1},
		NativePlugin: &config.NativePlugin{
			ModulePath: "./x/libsixcall_x.so", ClassName: "x",
			AdapterParams: `{"url": "redis://h", "n": 9007199254740993, "list": [1, {"a": null}]}`,
			Worker: config.Worker{
				Program: "/w", MemoryLimitGB: 1, CoreDumps: true, AllowExec: true, User: 1, Group: 2, Wrapper: []string{"x"},
				StartTimeout: time.Millisecond, HangTimeout: 2 * time.Millisecond,
				RestartInitial: 3 * time.Millisecond, RestartMax: 4 * time.Millisecond, RestartsPerMinute: 5,
			},
			MaxCapacityGB: 3, Isolation: config.IsolationNone, Buffers: config.BuffersDirect,
			SHA256: strings.ToLower(sum), OpenTimeout: time.Millisecond,
			Deadlines: config.Deadlines{Load: time.Millisecond, Store: 2 * time.Millisecond, Delete: 3 * time.Millisecond},
			Limits:    config.Limits{MaxInFlight: 65536, MaxBatch: 7},
			Breaker:   config.Breaker{Cooldown: time.Millisecond, MaxCooldown: 2 * time.Millisecond},
			Integrity: config.IntegrityXXH3,
		},
	}, got)

	opts := config.OptionsOf(got)
	require.EqualValues(t, 3<<30, opts.MaxCapacityBytes)
	require.Equal(t, 65536, opts.MaxInFlight)
	require.Negative(t, opts.Deadlines.Lookup, "0 is no deadline, not the default one")
	require.Equal(t, time.Millisecond, opts.Deadlines.Load)
	require.Negative(t, opts.Breaker.Failures, "0 is no breaker, not the default one")
}

func TestParseL2AdaptersRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		members, want string
	}{
		{`"module_path":""`, `module_path is given more than once`},
		{`"adapter_params":null`, `adapter_params is null, want an object`},
		{`"adapter_params":"secret"`, `adapter_params is a string, want an object`},
		{`"adapter_params":{"a":{"b":1,"b":2}}`, `adapter_params.a.b is given more than once`},
		{`"adapter_params":{"l":[{"b":1,"b":2}]}`, `adapter_params.l[0].b is given more than once`},
		{`"adapter_params":{"p":{"$env":5}}`, `adapter_params.p is no reference`},
		{`"adapter_params":{"p":{"$file":"x","q":1}}`, `adapter_params.p is no reference`},
		{`"max_capacity_gb":-1`, `max_capacity_gb is -1, want 0 or more`},
		{`"max_capacity_gb":true`, `max_capacity_gb is true, want a number`},
		{`"max_capacity_gb":"2"`, `max_capacity_gb is the string "2", want a number`},
		{`"max_capacity_gb":null`, `max_capacity_gb is null, want a number`},
		{`"max_capacity_gb":1e999`, `max_capacity_gb is 1e999, want a finite number`},
		{`"max_capacity_gb":1e30`, `max_capacity_gb is 1e+30, want at most 4294967296`},
		{`"max_capacity_gb":NaN`, `NaN and Infinity are not JSON numbers`},
		{`"max_capacity_gb":Infinity`, `NaN and Infinity are not JSON numbers`},
		{`"max_capacity_gb":-Infinity`, `NaN and Infinity are not JSON numbers`},
		{`"affinity_tag":5`, `affinity_tag is 5, want a string`},
		{`"breaker":{"failures":-1}`, `breaker.failures is -1, want 0 or more`},
		{`"breaker":{"cooldown_ms":0}`, `breaker.cooldown_ms is 0, want 1 or more`},
		{`"breaker":{"failure":1}`, `breaker.failure is an unknown key, did you mean "failures"?`},
		{`"integrity":"sha256"`, `integrity is "sha256", want one of off, xxh3`},
		{`"shared":1`, `shared is 1, want true or false`},
		{`"shared":null`, `shared is null, want true or false`},
		{`"persist_enabled":"true"`, `persist_enabled is the string "true", want true or false`},
		{`"persist_enabled":[]`, `persist_enabled is an array, want true or false`},
		{`"eviction":"LRU"`, `eviction is the string "LRU", want an object`},
		{`"eviction":{"eviction_policy":["LRU"]}`, `eviction.eviction_policy is an array, want a string`},
		{`"eviction":{"eviction_policy":"LRU","trigger_watermark":"0.8"}`, `eviction.trigger_watermark is the string "0.8", want a number`},
		{`"eviction":{"eviction_policy":"LRU","trigger_watermark":0}`, `eviction.trigger_watermark is 0, want more than 0 and at most 1`},
		{`"eviction":{"eviction_policy":"LRU","eviction_ratio":1.01}`, `eviction.eviction_ratio is 1.01, want 0 to 1`},
		{`"eviction":{"eviction_policy":"LRU","ratio":1}`, `eviction.ratio is an unknown key; known keys: eviction_policy, eviction_ratio, trigger_watermark`},
		{`"eviction":{"eviction_policy":"LRU","evicton_ratio":1}`, `eviction.evicton_ratio is an unknown key, did you mean "eviction_ratio"?`},
		{`"serde":[]`, `serde is an array, want an object (it must be a dict)`},
		{`"isolation":"Process"`, `isolation is "Process", want one of auto, process, none`},
		{`"isolation":true`, `isolation is true, want a string`},
		{`"buffers":""`, `buffers is "", want one of copy, direct`},
		{`"sha256":"abc"`, `sha256 is "abc", want 64 hex digits`},
		{`"sha256":""`, `sha256 is empty, want 64 hex digits`},
		{`"deadlines":5`, `deadlines is 5, want an object`},
		{`"deadlines":null`, `deadlines is null, want an object`},
		{`"deadlines":{"load_ms":-5}`, `deadlines.load_ms is -5, want 0 or more`},
		{`"deadlines":{"load_ms":5.0}`, `deadlines.load_ms is 5.0, want an integer`},
		{`"deadlines":{"load_ms":5e3}`, `deadlines.load_ms is 5e3, want an integer`},
		{`"deadlines":{"load_ms":true}`, `deadlines.load_ms is true, want an integer`},
		{`"deadlines":{"load_ms":99999999999999999999}`, `deadlines.load_ms is 99999999999999999999, want at most 2147483647`},
		{`"deadlines":{"load_ms":-99999999999999999999}`, `deadlines.load_ms is -99999999999999999999, want 0 or more`},
		{`"deadlines":{"load":5}`, `deadlines.load is an unknown key, did you mean "load_ms"?`},
		{`"open_timeout_ms":0`, `open_timeout_ms is 0, want 1 or more`},
		{`"limits":{"max_inflight":0}`, `limits.max_inflight is 0, want 1 to 65536`},
		{`"limits":{"max_inflight":65537}`, `limits.max_inflight is 65537, want 1 to 65536`},
		{`"limits":{"max_inflight":"5"}`, `limits.max_inflight is the string "5", want an integer`},
		{`"limits":{"max_batch":-1}`, `limits.max_batch is -1, want 0 or more`},
		{`"a\nb":1`, `"a\nb" is an unknown key`},
		{`"":1`, `"" is an unknown key`},
		{`"max_batch":1`, `max_batch is an unknown key; known keys: adapter_params, affinity_tag,`},
	}
	for _, tc := range tests {
		t.Run(tc.members, func(t *testing.T) {
			t.Parallel()
			lines := refused(t, with(tc.members))
			require.Len(t, lines, 1, lines)
			require.Contains(t, lines[0], tc.want)
			require.True(t, strings.HasPrefix(lines[0], "--l2-adapter #1"))
		})
	}
}

func TestParseL2AdaptersRequiresModuleAndClass(t *testing.T) {
	t.Parallel()
	const p = `--l2-adapter #1 ('native_plugin'): `
	require.Equal(t, []string{
		p + "module_path is missing, want the path or name of a connector library",
		p + "class_name is missing, want the name that the connector declares",
	}, refused(t, `{"type":"native_plugin"}`))
	require.Equal(t, []string{
		p + "module_path is null, want a string",
		p + "class_name is empty, want the name that the connector declares",
	}, refused(t, `{"type":"native_plugin","module_path":null,"class_name":""}`))
}

func TestParseL2AdaptersReportsEverythingAtOnce(t *testing.T) {
	t.Parallel()
	lines := refused(t,
		`{"type":"native_plugin","class_name":"a","class_name":"b","max_capacity_gb":-1,"shard":true,"deadlines":{"load_ms":-1,"x":1}}`,
		minimal,
		`{"type":"valkey","eviction":5,"affinity_tag":""}`,
		`nope`)
	require.Equal(t, []string{
		`--l2-adapter #1 ('native_plugin'): module_path is missing, want the path or name of a connector library`,
		`--l2-adapter #1 ('native_plugin'): deadlines.load_ms is -1, want 0 or more`,
		`--l2-adapter #1 ('native_plugin'): deadlines.x is an unknown key; known keys: delete_ms, load_ms, lookup_ms, store_ms`,
		`--l2-adapter #1 ('native_plugin'): class_name is given more than once`,
		`--l2-adapter #1 ('native_plugin'): shard is an unknown key, did you mean "shared"?`,
		`--l2-adapter #1 ('native_plugin'): max_capacity_gb is -1, want 0 or more`,
		`--l2-adapter #3: type "valkey" is an LMCache type that this build does not include; known types: ` + types,
		`--l2-adapter #3: eviction is 5, want an object`,
		`--l2-adapter #3: affinity_tag is "", want a name that is not blank`,
		`--l2-adapter #4: invalid JSON at byte 2: invalid character 'o' in literal null (expecting 'u')`,
	}, lines)
}

func TestParseL2AdaptersRefusesBadText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                        "invalid JSON at byte 1: unexpected end of JSON input",
		minimal + "x":             "invalid JSON at byte 64: invalid character 'x' after top-level value",
		"{\"type\":\"\xff\"}":     "invalid JSON at byte 10: not UTF-8",
		strings.Repeat("[", 1e5):  "invalid JSON at byte 10001",
		`{"type":"native_plugin"`: "unexpected end",
	} {
		require.Contains(t, refused(t, text)[0], "--l2-adapter #1: ")
		require.Contains(t, refused(t, text)[0], want)
	}
}

func TestParseL2AdaptersKnowsEveryLMCacheType(t *testing.T) {
	t.Parallel()
	for _, typ := range []string{"aerospike", "bigtable", "dax", "hf3fs", "hfbucket",
		"p2p", "raw_block", "sagemaker-hyperpod", "valkey",
		"nixl_store", "nixl_store_dynamic"} {
		require.Contains(t, refused(t, fmt.Sprintf(`{"type":%q}`, typ))[0], "is an LMCache type that this build does not include")
	}
	require.IsIncreasing(t, config.LMCacheTypes)
}

func TestSupportedNamesWhatThisVersionDoesNotDo(t *testing.T) {
	t.Parallel()
	a := parse(t, with(`"eviction":{"eviction_policy":"LRU"},"serde":{"type":"fp8"}`))[0]
	require.NoError(t, a.Validate())
	require.ErrorContains(t, a.Supported(), "serde is not supported in this version")
	require.NoError(t, parse(t, with(`"eviction":{"eviction_policy":"noop"},"isolation":"none"`))[0].Supported())
}

func TestValidateChecksAdaptersMadeInGo(t *testing.T) {
	t.Parallel()
	require.ErrorContains(t, config.L2Adapter{}.Validate(), `type "" is unknown`)
	a := config.NewNativePlugin("", "x")
	a.NativePlugin.Deadlines.Load = -time.Second
	a.NativePlugin.Limits.MaxInFlight = 0
	a.NativePlugin.AdapterParams = "[]"
	require.Equal(t, []string{
		"module_path is empty, want the path or name of a connector library",
		"adapter_params is an array, want an object",
		"deadlines.load_ms is -1000, want 0 or more",
		"limits.max_inflight is 0, want 1 to 65536",
	}, strings.Split(a.Validate().Error(), "\n"))
	a.NativePlugin = nil
	require.ErrorContains(t, a.Validate(), `type is "native_plugin", but the settings of that type are nil`)
}

func TestNearest(t *testing.T) {
	t.Parallel()
	keys := []string{"module_path", "class_name", "adapter_params", "max_capacity_gb"}
	for word, want := range map[string]string{
		"modul_path": "module_path", "class-name": "class_name", "classname": "class_name", "max_capcaity_gb": "max_capacity_gb",
		"params": "", "zzz": "", "": "",
	} {
		got, _ := config.Nearest(word, keys)
		require.Equal(t, want, got, word)
	}
	require.Equal(t, 1, config.EditDistance("ab", "ba"))
	require.Equal(t, 3, config.EditDistance("kitten", "sitting"))
	require.Equal(t, 2, config.EditDistance("", "ab"))
}

func FuzzParseL2Adapters(f *testing.F) {
	for _, seed := range []string{
		minimal, "", "[]", "{}", `{"type":null}`, `{"type":"fs"}`,
		with(`"eviction":{"eviction_policy":"LRU"}`), with(`"adapter_params":{"a":[{"password":"x"},1e9],"b":{"$env":"X"}}`),
		with(`"deadlines":{"load_ms":-5},"max_capacity_gb":2.5`), with(`"serde":{"type":"x","token":1}`),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		adapters, err := config.ParseL2Adapters([]string{text})
		if err != nil {
			for _, line := range strings.Split(err.Error(), "\n") {
				require.True(t, strings.HasPrefix(line, "--l2-adapter #1"), line)
			}
			return
		}
		require.NoError(t, adapters[0].Validate())
		shown, err := json.Marshal(adapters[0])
		require.NoError(t, err)
		// What is shown has defaults and masks, and is a configuration again.
		_, err = config.ParseL2Adapters([]string{string(shown)})
		require.NoError(t, err, string(shown))
	})
}
