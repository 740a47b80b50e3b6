package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
)

type benchOutcome struct {
	Title   string
	Metrics map[string]map[string]any
}

// benchL2 runs bench l2 over conn and decodes its JSON.
func benchL2(t *testing.T, conn *bridgetest.Connector, line string) (outcome, benchOutcome) {
	t.Helper()
	got := sixcall(append(args("bench l2 --format json "+line), "--l2-adapter", defaultAdapter), conn)
	var b benchOutcome
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &b), got.stdout+got.stderr)
	return got, b
}

func TestBenchL2HasThePeersJSON(t *testing.T) {
	t.Parallel()
	got, b := benchL2(t, bridgetest.NewConnector(t),
		"--num-keys 4 --in-flight 3 --data-size-kb 8 --rounds 5 --warmup-rounds 2 --lookup-max-hit-rate 0.5 --no-skip-verify")
	require.Equal(t, exitOK, got.code, got.stderr)
	require.Equal(t, "L2 Adapter Benchmark Result", b.Title)
	require.Equal(t, []string{"config", "op_0", "op_1", "op_2"}, sortedKeys(b.Metrics))
	require.Equal(t, map[string]any{
		"l2_adapter_json": defaultAdapter, "num_keys": 4.0, "in_flight": 3.0, "keys_per_round": 12.0, "data_size_kb": 8.0,
		"data_per_round_mb": 0.09, "measurement_rounds": 5.0, "warmup_rounds": 2.0, "lookup_max_hit_rate": 0.5,
	}, b.Metrics["config"])

	common := []string{"operation", "rounds", "rounds_timed_out", "keys_per_round", "total_keys", "total_success",
		"duration_avg_ms", "duration_min_ms", "duration_max_ms", "duration_p50_ms", "duration_p99_ms", "duration_std_ms",
		"throughput_avg_mbps", "throughput_min_mbps", "throughput_max_mbps", "ops_per_sec_avg", "latency_per_key_ms"}
	hits := []string{"expected_max_hit_rate", "expected_hit_count", "actual_hit_rate"}
	for i, name := range []string{"Store", "Lookup", "Load"} {
		op := b.Metrics["op_"+string(rune('0'+i))]
		want := common
		if name == "Lookup" {
			want = slices.Concat(common, hits)
			require.Equal(t, 0.5, op["expected_max_hit_rate"])
			require.Equal(t, 30.0, op["expected_hit_count"])
			require.Equal(t, 0.5, op["actual_hit_rate"])
			require.Equal(t, 30.0, op["total_success"])
			require.Zero(t, op["throughput_avg_mbps"])
		} else {
			require.Equal(t, 60.0, op["total_success"])
		}
		require.ElementsMatch(t, want, sortedKeys(op))
		require.Equal(t, name, op["operation"])
		require.Equal(t, 5.0, op["rounds"])
		require.Equal(t, 0.0, op["rounds_timed_out"])
		require.Equal(t, 12.0, op["keys_per_round"])
		require.Equal(t, 60.0, op["total_keys"])
	}
	require.Contains(t, got.stderr, "[Verify] round 7: 0 of 12 keys are wrong")
	require.Contains(t, got.stderr, "[Store] round 1: ")
}

func TestBenchL2UsesThePeersKeys(t *testing.T) {
	t.Parallel()
	conn := bridgetest.NewConnector(t)
	var stored []string
	conn.OnComplete = func(b *kv.Batch, _ *kv.Completion) {
		for i := range b.Len() {
			stored = append(stored, string(b.Key(i)))
		}
	}
	got, _ := benchL2(t, conn, "--only store --num-keys 2 --data-size-kb 1 --rounds 129 --warmup-rounds 1")
	require.Equal(t, exitOK, got.code, got.stderr)
	require.Len(t, stored, 260)
	require.Equal(t, "bench-model@00000000@0@00000000000000000000000000000000", stored[0])
	require.Equal(t, "bench-model@00000103@0@00000000000000000000000000000103", stored[259])
}

func TestBenchL2OnlyOneOperation(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"store", "lookup", "load"} {
		t.Run(op, func(t *testing.T) {
			t.Parallel()
			got, b := benchL2(t, bridgetest.NewConnector(t), "--rounds 2 --data-size-kb 1 --no-skip-verify --only "+op)
			require.Equal(t, exitOK, got.code, "a miss is no failure: "+got.stderr)
			require.Equal(t, []string{"config", "op_0"}, sortedKeys(b.Metrics))
			require.Equal(t, op, strings.ToLower(b.Metrics["op_0"]["operation"].(string)))
			_, has := b.Metrics["config"]["lookup_max_hit_rate"]
			require.Equal(t, op == "lookup", has)
		})
	}
}

func TestBenchL2FindsWrongBytes(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(b *kv.Batch){
		"one byte":                     func(b *kv.Batch) { b.Bufs[3][77] ^= 1 },
		"values swapped":               func(b *kv.Batch) { b.Bufs[1][0], b.Bufs[2][0] = b.Bufs[2][0], b.Bufs[1][0] },
		"a key that does not come":     func(b *kv.Batch) { b.Status[0] = kv.StatusMiss },
		"nothing is written for key 0": func(b *kv.Batch) { clear(b.Bufs[1]) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := bridgetest.NewConnector(t)
			conn.OnComplete = func(b *kv.Batch, _ *kv.Completion) {
				if b.Op == kv.OpGet {
					spoil(b)
				}
			}
			got, _ := benchL2(t, conn, "--data-size-kb 1 --no-skip-verify")
			require.Equal(t, exitFailed, got.code)
			require.Contains(t, got.stderr, "were not loaded as they were stored")
		})
	}
}

func TestBenchL2FailsWhenStoresFail(t *testing.T) {
	t.Parallel()
	conn := bridgetest.NewConnector(t)
	conn.OnComplete = func(b *kv.Batch, _ *kv.Completion) {
		if b.Op == kv.OpSet {
			b.Status[0] = kv.StatusRefused
		}
	}
	got, b := benchL2(t, conn, "--only store --data-size-kb 1")
	require.Equal(t, exitFailed, got.code)
	require.Equal(t, 0.0, b.Metrics["op_0"]["total_success"])
	require.Contains(t, got.stderr, "64 keys could not be stored")
}

func TestBenchL2NamesTheLimitThatIsTooLow(t *testing.T) {
	t.Parallel()
	conn := bridgetest.NewConnector(t)
	conn.Hold = true
	adapter := strings.TrimSuffix(defaultAdapter, "}") + `,"limits":{"max_inflight":2}}`
	done := make(chan outcome)
	go func() {
		done <- sixcall(append(args("bench l2 --only store --in-flight 5 --data-size-kb 1"), "--l2-adapter", adapter), conn)
	}()
	for conn.Held() < 2 {
	}
	conn.SetHold(false)
	conn.Release(2)
	got := <-done
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.stderr, "--in-flight is 5 and limits.max_inflight of the adapter is 2")
}

func TestBenchL2TakesTheAdapterFromTheEnvironment(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	a := testApp(&stdout, &stderr, bridgetest.NewConnector(t))
	a.getenv = func(name string) string {
		require.Equal(t, "L2_ADAPTER_JSON", name)
		return strings.TrimSuffix(defaultAdapter, "}") + `,"adapter_params":{"password":"hunter2"}}`
	}
	require.Equal(t, exitOK, run(args("bench l2 --data-size-kb 1"), a), stderr.String())
	require.NotContains(t, stdout.String(), "hunter2")
	require.Contains(t, stdout.String(), "What was loaded was not compared")

	got := sixcall(append(args("bench l2 --data-size-kb 1 -q"), "--l2-adapter", defaultAdapter, "--l2-adapter", defaultAdapter), bridgetest.NewConnector(t))
	require.Equal(t, exitOK, got.code)
	require.Empty(t, got.stdout)
	require.Equal(t, "sixcall: 2 adapters are given, the first one is measured\n", got.stderr)
}
