package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/config"
	"github.com/sixcall/sixcall/native"
)

// These tests are the main job: the command over the real library. The trace is
// a recorded hour of production traffic, which is no part of the project.

// withMem runs the command as main does, over the bundled mem library.
func withMem(t *testing.T, opened func(adapter), args ...string) (code int, stdout, stderr string) {
	t.Helper()
	if _, err := native.Find("mem", nil); err != nil {
		t.Skipf("`make cpp` builds the mem connector: %v", err)
	}
	a := systemApp()
	var out, errs bytes.Buffer
	a.stdout, a.stderr = &out, &errs
	if opened != nil {
		build := a.build
		a.build = func(ctx context.Context, b config.Builder, cfg config.L2Adapter) (adapter, error) {
			made, err := build(ctx, b, cfg)
			if err == nil {
				opened(made)
			}
			return made, err
		}
	}
	code = run(args, a)
	return code, out.String(), errs.String()
}

func conversationTrace(t *testing.T) string {
	t.Helper()
	name := os.Getenv("SIXCALL_TRACE")
	if name == "" {
		t.Skip("$SIXCALL_TRACE does not name conversation_trace.jsonl of Mooncake's FAST '25 release")
	}
	return name
}

const (
	memAdapter = `{"type":"native_plugin","module_path":"mem","class_name":"mem"}`
	traceBytes = 182_790 * 4096 // of all blocks of the trace
)

func TestConversationTraceOverMem(t *testing.T) {
	name := conversationTrace(t)
	for _, adapters := range []int{1, 2} {
		args := []string{"replay", "--trace", name, "--block-bytes", "4096", "--concurrency", "1", "--format", "json"}
		for range adapters {
			args = append(args, "--l2-adapter", memAdapter)
		}
		code, stdout, stderr := withMem(t, nil, args...)
		require.Equal(t, exitOK, code, stderr)
		r := decode(t, stdout)
		require.EqualValues(t, []int64{12_031, 288_500, 105_710, 182_790, 0, 0},
			[]int64{r.Requests, r.Blocks, r.PrefixHits, r.StoredBlocks, r.VerifyFailures, r.Failures}, "%d adapters", adapters)
	}
	t.Run("32 requests at a time", func(t *testing.T) {
		code, stdout, stderr := withMem(t, nil, "replay", "--trace", name, "--block-bytes", "4096", "--concurrency", "32", "--format", "json")
		require.Equal(t, exitOK, code, stderr)
		r := decode(t, stdout)
		require.EqualValues(t, []int64{12_031, 288_500, 182_790, 0, 0},
			[]int64{r.Requests, r.Blocks, r.StoredBlocks, r.VerifyFailures, r.Failures})
		require.Positive(t, r.PrefixHits)
	})
}

// TestConversationTraceWithACapacity replays with a tenth of the room and looks
// at the usage all the while.
func TestConversationTraceWithACapacity(t *testing.T) {
	name := conversationTrace(t)
	const capacity = traceBytes / 10
	gb, err := json.Marshal(float64(capacity) / (1 << 30))
	require.NoError(t, err)
	for _, policy := range []string{"LRU", "ARC"} {
		t.Run(policy, func(t *testing.T) {
			var open atomic.Pointer[adapter]
			var most atomic.Int64
			stop := make(chan struct{})
			var sampler sync.WaitGroup
			sampler.Go(func() {
				for tick := time.NewTicker(time.Millisecond); ; {
					select {
					case <-stop:
						return
					case <-tick.C:
					}
					if a := open.Load(); a != nil {
						most.Store(max(most.Load(), (*a).Usage().BytesUsed))
					}
				}
			})
			spec := `{"type":"native_plugin","module_path":"mem","class_name":"mem","max_capacity_gb":` + string(gb) + `,"eviction":{"eviction_policy":"` + policy + `"}}`
			code, stdout, stderr := withMem(t, func(a adapter) { open.Store(&a) }, "replay", "--trace", name, "--block-bytes", "4096", "--format", "json", "--l2-adapter", spec)
			close(stop)
			sampler.Wait()
			require.Equal(t, exitOK, code, stderr)
			r := decode(t, stdout)
			require.EqualValues(t, []int64{12_031, 0}, []int64{r.Requests, r.VerifyFailures})
			require.Positive(t, most.Load())
			require.LessOrEqual(t, most.Load(), int64(capacity), "the cap is never exceeded")
			require.Greater(t, r.PrefixHits, int64(50_000), "a tenth of the room keeps most of the hits")
			t.Logf("%s: hit rate %.4f, at most %d of %d bytes", policy, r.HitRate, most.Load(), capacity)
		})
	}
}

func TestReplayOverMemWithEverythingAtOnce(t *testing.T) {
	spec := `{"type":"native_plugin","module_path":"mem","class_name":"mem","max_capacity_gb":0.004,"integrity":"xxh3","eviction":{"eviction_policy":"LRU"}}`
	lossy := `{"type":"fault_inject","rate":0.02,"inner":` + memAdapter + `}`
	output := filepath.Join(t.TempDir(), "out.json")
	code, _, stderr := withMem(t, nil, "replay", "--requests", "600", "--salts", "3", "--concurrency", "8", "--format", "json",
		"--output", output, "--l2-adapter", spec, "--l2-adapter", lossy)
	require.Equal(t, exitOK, code, stderr)
	text, err := os.ReadFile(output)
	require.NoError(t, err)
	r := decode(t, string(text))
	require.EqualValues(t, []int64{600, 0}, []int64{r.Requests, r.VerifyFailures})
	require.Positive(t, r.PrefixHits)

	code, _, stderr = withMem(t, nil, "replay", "--requests", "5", "--quota-gb", "-1")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "--quota-gb is -1")
	code, _, stderr = withMem(t, nil, "replay", "--requests", "5", "--l2-adapter", strings.Replace(spec, `"LRU"`, `"IsolatedLRU"`, 1))
	require.Equal(t, exitFailed, code)
	require.Contains(t, strings.ToLower(stderr), "quota")
}
