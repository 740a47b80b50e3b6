//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge/worker"
	"github.com/sixcall/sixcall/cmd/sixcall/internal/replay"
	"github.com/sixcall/sixcall/internal/servers"
)

// The recorded hour of traffic over the connectors of real storage.

// spec is an --l2-adapter value for a bundled connector.
func spec(t *testing.T, connector string, params map[string]any, more ...string) string {
	t.Helper()
	servers.Connector(t, connector)
	text, err := json.Marshal(params)
	require.NoError(t, err)
	s := fmt.Sprintf(`{"type":"native_plugin","module_path":%q,"class_name":%q,"adapter_params":%s`, connector, connector, text)
	for _, m := range more {
		s += "," + m
	}
	return s + "}"
}

// onTmpfs returns a folder in memory.
func onTmpfs(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "sixcall-test-")
	if err != nil {
		servers.Require(t, "no tmpfs: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

func needWorker(t *testing.T) {
	t.Helper()
	if _, err := worker.FindProgram(""); err != nil {
		servers.Require(t, "`make cpp` builds sixcall-worker: %v", err)
	}
}

func TestConversationTraceOverStorage(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: a minute or two of storage")
	}
	name := conversationTrace(t)
	for _, tt := range []struct {
		name    string
		adapter func(t *testing.T) string
	}{
		{"fs on tmpfs", func(t *testing.T) string {
			return spec(t, "fs", map[string]any{"base_path": onTmpfs(t), "shards": 64})
		}},
		{"fs on disk", func(t *testing.T) string {
			return spec(t, "fs", map[string]any{"base_path": t.TempDir(), "shards": 64})
		}},
		{"mem in a worker", func(t *testing.T) string {
			needWorker(t)
			return spec(t, "mem", map[string]any{}, `"isolation":"process"`)
		}},
		{"fs in a worker", func(t *testing.T) string {
			needWorker(t)
			return spec(t, "fs", map[string]any{"base_path": onTmpfs(t), "shards": 64}, `"isolation":"process"`)
		}},
		{"redis", func(t *testing.T) string {
			return spec(t, "redis", map[string]any{"port": servers.StartRedis(t, servers.RedisOptions{}).Port})
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, stdout, stderr := withMem(t, nil, "replay", "--trace", name, "--block-bytes", "1024", "--concurrency", "1",
				"--format", "json", "--l2-adapter", tt.adapter(t))
			require.Equal(t, exitOK, code, stderr)
			r := decode(t, stdout)
			require.EqualValues(t, []int64{12_031, 288_500, 105_710, 182_790, 0, 0},
				[]int64{r.Requests, r.Blocks, r.PrefixHits, r.StoredBlocks, r.VerifyFailures, r.Failures})
		})
	}
}

// TestConversationTraceWhileTheWorkerIsKilled kills the worker every 200 ms. The
// values are in files, so what was stored is found again.
func TestConversationTraceWhileTheWorkerIsKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: half a minute of storage")
	}
	name := conversationTrace(t)
	needWorker(t)
	var kills int64
	var last worker.Status
	stop := make(chan struct{})
	var killer sync.WaitGroup
	opened := func(a adapter) {
		status := func() worker.Status { return a.Status()["worker"].(worker.Status) }
		killer.Go(func() {
			for tick := time.NewTicker(200 * time.Millisecond); ; {
				select {
				case <-stop:
					return
				case <-tick.C:
				}
				s := status()
				if s.State != worker.Ready || s.Pid == 0 || syscall.Kill(s.Pid, syscall.SIGKILL) != nil {
					continue
				}
				for next := status(); ; next = status() {
					if next.Restarts > s.Restarts {
						kills, last = kills+1, next
						break
					}
					select {
					case <-stop: // it is being closed, and need not come back
						return
					case <-time.After(time.Millisecond):
					}
				}
			}
		})
	}
	files := map[string]any{"base_path": onTmpfs(t), "shards": 64}
	args := spec(t, "fs", files, `"isolation":"process"`,
		`"worker":{"restart_initial_ms":1,"restart_max_ms":20,"restarts_per_minute":100000}`, `"breaker":{"failures":0}`)
	code, stdout, stderr := withMem(t, opened, "replay", "--trace", name, "--block-bytes", "4096", "--concurrency", "2",
		"--format", "json", "--l2-adapter", args)
	close(stop)
	killer.Wait()
	require.Equal(t, exitOK, code, stderr)
	r := decode(t, stdout)
	require.EqualValues(t, []int64{12_031, 288_500, 0}, []int64{r.Requests, r.Blocks, r.VerifyFailures})
	require.Positive(t, kills, "the trace took too little time to kill anything")
	require.Equal(t, kills, last.Restarts, "every kill is one restart")
	require.Equal(t, "SIGKILL", last.LastSignal)
	t.Logf("%d kills, hit rate %.4f, %d failures", kills, r.HitRate, r.Failures)

	// Undisturbed again, it finds what was stored, and the rest is stored now.
	code, stdout, stderr = withMem(t, nil, "replay", "--trace", name, "--block-bytes", "4096", "--concurrency", "2",
		"--format", "json", "--l2-adapter", spec(t, "fs", files, `"isolation":"process"`))
	require.Equal(t, exitOK, code, stderr)
	again := decode(t, stdout)
	require.EqualValues(t, []int64{12_031, 288_500, 0, 0}, []int64{again.Requests, again.Blocks, again.VerifyFailures, again.Failures})
	require.GreaterOrEqual(t, again.PrefixHits, int64(105_710))
	require.Less(t, again.StoredBlocks, int64(182_790), "what was stored between the kills is still there")
}

// TestConversationTraceWhileRedisIsKilled kills the server every few seconds and
// starts it again, with what it has on disk.
func TestConversationTraceWhileRedisIsKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: half a minute of storage")
	}
	name := conversationTrace(t)
	server := servers.StartRedis(t, servers.RedisOptions{Args: []string{"--appendonly", "yes", "--appendfsync", "no"}})
	stop := make(chan struct{})
	var killer sync.WaitGroup
	kills := 0
	killer.Go(func() {
		for tick := time.NewTicker(2 * time.Second); ; {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			server.Restart(t)
			kills++
		}
	})
	adapter := spec(t, "redis", map[string]any{"port": server.Port, "reconnect_max_ms": 200},
		`"breaker":{"failures":3,"cooldown_ms":50,"max_cooldown_ms":200}`)
	run := func() replay.Result {
		code, stdout, stderr := withMem(t, nil, "replay", "--trace", name, "--block-bytes", "4096", "--concurrency", "2",
			"--format", "json", "--l2-adapter", adapter)
		require.Equal(t, exitOK, code, stderr)
		return decode(t, stdout)
	}
	r := run()
	close(stop)
	killer.Wait()
	require.EqualValues(t, []int64{12_031, 288_500, 0}, []int64{r.Requests, r.Blocks, r.VerifyFailures})
	require.Positive(t, kills, "the trace took too little time to kill anything")
	require.Positive(t, r.PrefixHits, "hits resume after a restart")
	t.Logf("%d kills, hit rate %.4f, %d failures", kills, r.HitRate, r.Failures)

	again := run()
	require.EqualValues(t, []int64{12_031, 288_500, 0, 0}, []int64{again.Requests, again.Blocks, again.VerifyFailures, again.Failures})
	require.Greater(t, again.PrefixHits, r.PrefixHits, "what was stored between the kills is found")
}
