//go:build linux

package conformance_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge/worker"
	"github.com/sixcall/sixcall/internal/conformance"
	"github.com/sixcall/sixcall/internal/servers"
)

// A connector without a mistake passes every check of level 2, also those that need
// something that most connectors do not have.
func TestReferenceConnectorsPassEverything(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("long, and about C++")
	}
	for _, tc := range []struct {
		name  string
		setup func(t *testing.T) conformance.Options
		skips []string // checks that do not apply
	}{
		{"mem", func(t *testing.T) conformance.Options {
			opts := quick(servers.Connector(t, "mem"))
			opts.StallParams = params(t, map[string]any{"read_latency_us": 60_000_000, "write_latency_us": 60_000_000})
			return opts
		}, []string{"O05", "C10", "B12", "B14", "P04", "P07"}},
		{"the mutant without a mistake", func(t *testing.T) conformance.Options {
			opts := quick(mutant(t, "mutant"))
			opts.StallParams = params(t, map[string]any{"delay_us": 60_000_000})
			opts.OtherParams = params(t, map[string]any{"namespace": "other"})
			return opts
		}, []string{"S11", "S12", "O05", "B12"}},
		{"the mutant that keeps files", func(t *testing.T) conformance.Options {
			opts := quick(mutant(t, "mutant_file"))
			opts.Params = params(t, map[string]any{"base_path": t.TempDir()})
			opts.StallParams = params(t, map[string]any{"delay_us": 60_000_000})
			opts.OtherParams = params(t, map[string]any{"namespace": "other"})
			return opts
		}, []string{"S11", "S12", "O05"}},
		{"the mutant with a server", func(t *testing.T) conformance.Options {
			server := startServer(t)
			opts := quick(mutant(t, "mutant"))
			opts.Params = params(t, map[string]any{"endpoint": server.Addr()})
			opts.Endpoint, opts.EndpointParam = server.Addr(), []string{"endpoint"}
			opts.StallParams = params(t, map[string]any{"delay_us": 60_000_000})
			opts.OtherParams = params(t, map[string]any{"namespace": "other"})
			opts.Only = []string{"O05", "O06", "O08", "T06", "T11", "C01", "B01", "B14", "X06", "X09"}
			return opts
		}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			opts := tc.setup(t)
			opts.Patience, opts.Limit = 15*time.Second, time.Minute
			report := run(t, opts)
			var skipped []string
			for _, r := range report.Results {
				switch r.Verdict {
				case conformance.Skip:
					skipped = append(skipped, r.ID)
				default:
					require.Equal(t, conformance.Pass, r.Verdict, r.Line())
				}
			}
			require.Equal(t, tc.skips, skipped)
			require.False(t, report.Failed())
			require.Equal(t, len(opts.Only) == 0, report.Conformant)
		})
	}
}

// bundledConnectors say what the bundled connectors are checked with.
var bundledConnectors = map[string]func(t *testing.T, opts *conformance.Options){
	"mem": func(t *testing.T, opts *conformance.Options) {
		opts.StallParams = params(t, map[string]any{"read_latency_us": 60_000_000, "write_latency_us": 60_000_000})
	},
	"fs": func(t *testing.T, opts *conformance.Options) {
		opts.Params = params(t, map[string]any{"base_path": t.TempDir()})
		opts.OtherParams = params(t, map[string]any{"base_path": t.TempDir()})
	},
	"redis": func(t *testing.T, opts *conformance.Options) {
		server := servers.StartRedis(t, servers.RedisOptions{})
		opts.Params = params(t, map[string]any{"host": "127.0.0.1", "port": server.Port})
		opts.OtherParams = params(t, map[string]any{"database": 1})
		opts.Endpoint, opts.EndpointParam = server.Addr(), []string{"host", "port"}
		opts.Fixture = conformance.Fixture{
			Pause:  fmt.Sprintf("kill -STOP %d", server.Pid()),
			Resume: fmt.Sprintf("kill -CONT %d", server.Pid()),
		}
	},
	"infinistore": func(t *testing.T, opts *conformance.Options) {
		server := servers.StartInfiniStoreBlocks(t, 6, 16) // B09 stores 100,000 small values, and nothing may be evicted
		opts.Params = params(t, map[string]any{"host": "127.0.0.1", "port": server.Port})
		opts.Endpoint, opts.EndpointParam = fmt.Sprintf("127.0.0.1:%d", server.Port), []string{"host", "port"}
		opts.Waive = map[string]string{"R02": "close says BUSY, since a connection with a request outstanding is not cut: InfiniStore's server would end"}
	},
	"nixl": func(t *testing.T, opts *conformance.Options) {
		opts.Params = params(t, map[string]any{"base_path": t.TempDir(), "library": servers.Deps(t, "nixl")})
		opts.OtherParams = params(t, map[string]any{"base_path": t.TempDir()})
		opts.Waive = map[string]string{
			"T12": "NIXL throws as well; it runs in a worker by default",
			"N01": "under valgrind NIXL's agent takes too long to end for a close without grace",
		}
	},
	"nixl_peer": func(t *testing.T, opts *conformance.Options) {
		opts.Params = params(t, map[string]any{"listen": "127.0.0.1:0", "pool_bytes": 256 << 20, "library": servers.Deps(t, "nixl")})
		opts.Env = append(opts.Env, "UCX_TLS=tcp", "UCX_NET_DEVICES=lo")
		const theirs = "UCX, not the connector; it runs in a worker by default"
		opts.Waive = map[string]string{"T01": theirs, "T09": theirs, "X08": theirs}
	},
	"mooncake": func(t *testing.T, opts *conformance.Options) {
		m := servers.StartMooncake(t, servers.MooncakeOptions{SegmentMB: 1024})
		// A stored value can be written over only with these; see the README.
		opts.Params = params(t, map[string]any{"master_server_address": m.Address, "local_hostname": "127.0.0.1", "library": m.Library(),
			"preload": []string{m.CUDAStub()}, "existing": "replace", "force_remove": true, "library_log": "none"})
		opts.Env = append(opts.Env, m.Environment()...)
		const theirs = "Mooncake's library, not the connector; it runs in a worker by default"
		opts.Waive = map[string]string{"T01": theirs, "T09": theirs, "T12": theirs, "X01": theirs, "N05": "a probe with LeakSanitizer cannot load Mooncake's library"}
	},
}

// atMostConformant are connectors that level 3 is not for: the client library that they
// load ends the process when a thread cannot start, hands descriptors to programs that
// are started, and does not run under the sanitizers. They run in a worker by default.
var atMostConformant = []string{"mooncake", "nixl_peer"}

// Two bundled connectors at level 2, in short; with $SIXCALL_CHECK_LEVEL all of them at that level, as in `make check-connectors`,
// and with $SIXCALL_CHECK_ONLY only those checks of it.
func TestBundledConnectorsPass(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("long, and about C++")
	}
	level, all := conformance.Conformant, false
	if text := os.Getenv("SIXCALL_CHECK_LEVEL"); text != "" {
		all = true
		var err error
		level, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	for name, setup := range bundledConnectors {
		if !all && name != "fs" && name != "redis" {
			continue // mem is one of the references above, and the others take longer than this run may
		}
		t.Run(name, func(t *testing.T) {
			level := level
			if slices.Contains(atMostConformant, name) {
				level = min(level, conformance.Conformant)
			}
			if level < conformance.Strict {
				t.Parallel() // figures want the machine for themselves
			}
			opts := quick(servers.Connector(t, name))
			opts.Level, opts.Patience, opts.Limit = level, 15*time.Second, time.Minute
			if level >= conformance.Strict {
				opts.Effort, opts.Patience, opts.Limit = 0, 0, 0 // what the command does
			}
			setup(t, &opts)
			if only := os.Getenv("SIXCALL_CHECK_ONLY"); only != "" {
				opts.Only = strings.Split(only, ",")
			}
			opts.Progress = func(r conformance.Result) { t.Log(strings.TrimRight(r.Line(), "\n")) }
			report := run(t, opts)
			require.False(t, report.Failed(), report.Terminal())
			require.False(t, report.Broken(), report.Terminal())
		})
	}
}

// Every bundled connector says the same in a host's process and in a worker.
func TestBundledConnectorsAreTheSameInAWorker(t *testing.T) {
	if _, err := worker.FindProgram(""); err != nil {
		servers.Require(t, "`make cpp` builds sixcall-worker: %v", err)
	}
	checkBundled(t, nil, "V02")
}

// No bundled connector ends its process when memory is short, but for those whose client library does.
func TestBundledConnectorsLiveWithoutMemory(t *testing.T) {
	checkBundled(t, atMostConformant, "T12", "R07")
}

// checkBundled runs some checks over the bundled connectors, some of them excepted.
func checkBundled(t *testing.T, except []string, only ...string) {
	if testing.Short() {
		t.Skip("about C++")
	}
	for name, setup := range bundledConnectors {
		if slices.Contains(except, name) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			opts := quick(servers.Connector(t, name))
			setup(t, &opts)
			opts.Only, opts.Limit = only, time.Minute
			report := run(t, opts)
			for _, r := range report.Results {
				require.True(t, r.Verdict == conformance.Pass || opts.Waive[r.ID] != "", report.Terminal())
			}
		})
	}
}

// What is thrown when no allocation succeeds must not leave a thread of the helper. When
// depends on the moment, so it is tried several times.
func TestHelperSurvivesWithoutMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("about C++")
	}
	t.Parallel()
	for range 10 {
		opts := quick(servers.Connector(t, "mem"))
		opts.Only, opts.Patience, opts.Limit = []string{"T12", "R07"}, 15*time.Second, time.Minute
		for _, r := range run(t, opts).Results {
			require.Equal(t, conformance.Pass, r.Verdict, r.Line())
		}
	}
}
