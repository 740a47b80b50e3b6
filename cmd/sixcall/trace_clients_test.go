//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/cmd/sixcall/internal/replay"
	"github.com/sixcall/sixcall/internal/servers"
)

// TestConversationTraceOverClients replays traffic through connectors that bring
// the client of a storage system. Where the system is slow or wasteful with small
// values it is the beginning of the trace. What is found and stored has to be what
// it is in memory. SIXCALL_TRACE_REQUESTS replays another part of it, 0 all of it.
func TestConversationTraceOverClients(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: a minute or two of storage")
	}
	name := conversationTrace(t)
	run := func(t *testing.T, requests int, adapter string) replay.Result {
		code, stdout, stderr := withMem(t, nil, "replay", "--trace", name, "--block-bytes", "1024", "--concurrency", "1",
			"--requests", fmt.Sprint(requests), "--format", "json", "--l2-adapter", adapter)
		require.Equal(t, exitOK, code, stderr)
		return decode(t, stdout)
	}
	object := func(t *testing.T, members map[string]any) string {
		text, err := json.Marshal(members)
		require.NoError(t, err)
		return string(text)
	}
	for _, tt := range []struct {
		name     string
		requests int // 0 = all
		adapter  func(t *testing.T) string
	}{
		{"mooncake_store", 0, func(t *testing.T) string {
			needWorker(t)
			servers.Connector(t, "mooncake")
			m := servers.StartMooncake(t, servers.MooncakeOptions{SegmentMB: 1024})
			for _, entry := range m.Environment() { // for the worker
				key, value, _ := strings.Cut(entry, "=")
				t.Setenv(key, value)
			}
			return object(t, map[string]any{"type": "mooncake_store", "master_server_address": m.Address, "local_hostname": "127.0.0.1",
				"adapter_params": map[string]any{"library": m.Library(), "preload": []string{m.CUDAStub()}}})
		}},
		{"nixl_native, POSIX", 0, func(t *testing.T) string {
			needWorker(t)
			servers.Connector(t, "nixl")
			return object(t, map[string]any{"type": "nixl_native", "backend": "POSIX", "backend_params": map[string]string{"file_path": onTmpfs(t), "shard_dirs": "true"},
				"adapter_params": map[string]any{"library": servers.Deps(t, "nixl")}})
		}},
		{"infinistore", 1000, func(t *testing.T) string {
			servers.Connector(t, "infinistore")
			s := servers.StartInfiniStore(t, 2)
			return object(t, map[string]any{"type": "infinistore", "host": "127.0.0.1", "port": s.Port})
		}},
		{"infinistore in a worker", 1000, func(t *testing.T) string {
			needWorker(t)
			servers.Connector(t, "infinistore")
			s := servers.StartInfiniStore(t, 2)
			return object(t, map[string]any{"type": "infinistore", "host": "127.0.0.1", "port": s.Port, "isolation": "process"})
		}},
		{"s3", 80, func(t *testing.T) string {
			s := servers.Moto(t)
			s.MakeBucket(t, "cache")
			return object(t, map[string]any{"type": "native_plugin", "module_path": "go:s3", "class_name": "s3",
				"adapter_params": map[string]any{"endpoint": s.Endpoint, "bucket": "cache", "region": "us-east-1", "style": "path", "access_key": "k", "secret_key": "s"}})
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if text := os.Getenv("SIXCALL_TRACE_REQUESTS"); text != "" {
				var err error
				tt.requests, err = strconv.Atoi(text)
				require.NoError(t, err)
			}
			want := run(t, tt.requests, spec(t, "mem", map[string]any{}))
			require.Positive(t, want.PrefixHits)
			r := run(t, tt.requests, tt.adapter(t))
			require.Equal(t, []int64{want.Requests, want.Blocks, want.PrefixHits, want.StoredBlocks, 0, 0},
				[]int64{r.Requests, r.Blocks, r.PrefixHits, r.StoredBlocks, r.VerifyFailures, r.Failures})
			t.Logf("%d requests, %d blocks", r.Requests, r.Blocks)
		})
	}
}
