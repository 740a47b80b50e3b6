//go:build linux && (amd64 || arm64)

package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/bridge/worker"
	"github.com/sixcall/sixcall/internal/servers"
)

// These tests run the real worker program.

// faulty returns options for a connector that breaks as params say; variant names
// one that is built to break, "" is the ordinary one.
func faulty(t testing.TB, variant, params string) worker.Options {
	t.Helper()
	needProgram(t)
	name := "libsixcall_faulty" + variant + ".so"
	for _, dir := range filepath.SplitList(os.Getenv("SIXCALL_CONNECTOR_PATH")) {
		path := filepath.Join(dir, "test", name)
		if _, err := os.Stat(path); err == nil {
			return quick(worker.Options{Library: path, Params: json.RawMessage(params)})
		}
	}
	servers.Require(t, "test/%s is not below $SIXCALL_CONNECTOR_PATH", name)
	return worker.Options{}
}

// mem returns options for the mem connector.
func mem(t testing.TB, params string) worker.Options {
	t.Helper()
	needProgram(t)
	return quick(worker.Options{Library: servers.Connector(t, "mem"), Params: json.RawMessage(params)})
}

func needProgram(t testing.TB) {
	t.Helper()
	if _, err := worker.FindProgram(""); err != nil {
		servers.Require(t, "sixcall-worker is not built: %v", err)
	}
}

func quick(o worker.Options) worker.Options {
	o.Restart = worker.Restart{Initial: time.Millisecond, Max: 50 * time.Millisecond, MaxPerMinute: 100_000}
	return o
}

func TestMemInAProcessOfItsOwn(t *testing.T) {
	c := open(t, mem(t, "{}"))
	require.Equal(t, "mem", c.Info().Name)
	for round := range 3 {
		set := batch(t, c.Arena(), kv.OpSet, 7, 64, 70_000, "k")
		fill(set.Bufs, byte(round))
		require.EqualValues(t, 64, run(t, c, set).NOK)
		get := batch(t, c.Arena(), kv.OpGet, 8, 65, 70_000, "k")
		require.EqualValues(t, 64, run(t, c, get).NOK)
		require.Equal(t, append(statuses(64, kv.StatusHit), kv.StatusMiss), get.Status)
		for i := range set.Bufs {
			require.Equal(t, set.Bufs[i], get.Bufs[i])
		}
	}
	require.EqualValues(t, 64, run(t, c, batch(t, c.Arena(), kv.OpExists, 9, 64, 0, "k")).NOK)
	used, _, keys, err := c.Usage()
	require.NoError(t, err)
	require.EqualValues(t, 64, keys)
	require.GreaterOrEqual(t, used, int64(64*70_000))
	page, _, err := c.List(t.Context(), nil)
	require.NoError(t, err)
	require.NotEmpty(t, page)
	require.EqualValues(t, 70_000, page[0].Size)
	s := c.Status()
	require.Zero(t, s.BouncedBatches)
	require.NotEmpty(t, s.Version)
}

// outcome is how a fault shows.
type outcome struct {
	reason worker.Reason
	signal string
	code   int
}

var (
	segv   = outcome{worker.ReasonCrash, "SIGSEGV", -1}
	abrt   = outcome{worker.ReasonCrash, "SIGABRT", -1}
	hung   = outcome{worker.ReasonHang, "SIGKILL", -1}
	killed = outcome{worker.ReasonCrash, "SIGKILL", -1}
)

// actions that end a worker.
var actions = map[string]outcome{
	"crash":        segv,
	"abort":        abrt,
	"throw":        abrt,
	"overflow":     segv,
	"corrupt_heap": {reason: worker.ReasonCrash}, // whichever signal
	"hang":         hung,
	"spin":         hung,
	"exit":         {worker.ReasonExit, "", 6},
	"quick_exit":   {worker.ReasonExit, "", 3},
	"sigkill":      killed,
	"sigterm":      {worker.ReasonCrash, "SIGTERM", -1},
}

// calls of the ABI after open, with what the worker is said to have been in.
var calls = map[string]string{
	"get": "submit_batch_get", "set": "submit_batch_set", "exists": "submit_batch_exists", "delete": "submit_batch_delete",
	"ping": "submit_ping", "drain": "drain_completions", "thread": "", "list": "submit_list", "usage": "usage", "stats": "stats_text",
	"register": "register_memory", "unregister": "unregister_memory", "cancel": "cancel",
}

// TestEveryFaultInEveryCall has the library end its process in each way in each
// call: the host goes on, says what happened where, and the next worker serves.
func TestEveryFaultInEveryCall(t *testing.T) {
	worker.ShortenRegistrations(t, 200*time.Millisecond)
	for action, want := range actions {
		for call, name := range calls {
			t.Run(action+" in "+call, func(t *testing.T) {
				opts := faulty(t, "", fmt.Sprintf(`{"x-fault":"%s_in_%s"}`, action, call))
				if want == hung {
					opts.PingInterval, opts.HangTimeout = 20*time.Millisecond, time.Second
				}
				c := open(t, opts)
				pid := c.Status().Pid
				provoke(t, c, call)
				if call == "thread" && want == hung { // which is the library's own business
					require.Equal(t, kv.OK, run(t, c, batch(t, c.Arena(), kv.OpPing, 1, 0, 0, "")).RC)
					require.Equal(t, pid, c.Status().Pid)
					return
				}
				eventually(t, "the next worker serves", func() bool { s := c.Status(); return s.Pid != pid && s.Pid != 0 })
				s := c.Status()
				require.Equal(t, want.reason, s.LastReason, s.LastText)
				if want.signal != "" {
					require.Equal(t, want.signal, s.LastSignal, s.LastText)
				}
				if want.signal == "" && want.code != 0 {
					require.Equal(t, want.code, s.LastExitCode, s.LastText)
				}
				if name != "" && action != "corrupt_heap" {
					require.Contains(t, s.LastText, name)
				}
				if call == "ping" || call == "cancel" { // all others do the fault again at once, perhaps
					require.EqualValues(t, 1, run(t, c, batch(t, c.Arena(), kv.OpSet, 99, 1, 10, "k")).NOK)
				}
			})
		}
	}
}

// provoke makes the worker make a call once, and waits until its batch ended.
func provoke(t *testing.T, c *worker.Connector, call string) {
	ops := map[string]kv.Op{"get": kv.OpGet, "set": kv.OpSet, "exists": kv.OpExists, "delete": kv.OpDelete, "drain": kv.OpExists, "thread": kv.OpExists}
	op, ok := ops[call]
	switch {
	case ok:
		b := batch(t, c.Arena(), op, 1, 2, 100, "k")
		done := run(t, c, b)
		if done.RC != kv.OK {
			require.Equal(t, kv.IO, done.RC)
			require.Equal(t, statuses(2, kv.StatusError), b.Status)
			require.Contains(t, b.Err.Message(), "the worker process")
		}
	case call == "ping":
		require.Equal(t, kv.IO, run(t, c, batch(t, c.Arena(), kv.OpPing, 1, 0, 0, "")).RC)
	case call == "cancel":
		b := batch(t, c.Arena(), kv.OpGet, 1, 1, 100, "k")
		require.NoError(t, c.Submit(b))
		_ = c.Cancel(1) // the batch may be done
		next(t, c)
		for range 1000 { // until one was not
			if c.Status().Restarts > 0 || c.Submit(b) != nil {
				return
			}
			_ = c.Cancel(1)
			next(t, c)
		}
	case call == "list":
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, _, err := c.List(ctx, nil)
		require.Error(t, err)
	case call == "usage":
		_, _, _, err := c.Usage()
		require.Error(t, err)
	case call == "stats":
		_, err := c.StatsText()
		require.Error(t, err)
	case call == "register", call == "unregister":
		block, err := c.Arena().Alloc(100)
		require.NoError(t, err)
		defer block.Release()
		handle, err := c.Register(kv.Memory{Bytes: block.Bytes(), FD: -1})
		if call == "unregister" {
			require.NoError(t, err)
			_ = c.Unregister(handle)
			return
		}
		require.Error(t, err)
	}
}

func TestFaultsWhileItStarts(t *testing.T) {
	for action, want := range actions {
		for _, call := range []string{"open", "event_fd", "limits"} {
			t.Run(action+" in "+call, func(t *testing.T) {
				opts := faulty(t, "", fmt.Sprintf(`{"x-fault":"%s_in_%s"}`, action, call))
				opts.OpenTimeout = time.Millisecond
				if want == hung && call != "open" {
					t.Skip("as in open")
				}
				_, err := worker.Open(t.Context(), opts)
				require.Error(t, err)
				if want == hung {
					require.ErrorIs(t, err, kv.Timeout)
				} else {
					require.ErrorIs(t, err, kv.IO)
					require.ErrorContains(t, err, want.signal)
					require.ErrorContains(t, err, "the worker process ")
				}
				require.Empty(t, children())
			})
		}
	}
	for variant, want := range map[string]string{
		"crash_in_constructor": "was ended by SIGSEGV while it loaded the library",
		"exit_in_constructor":  "exited with code",
		"crash_in_entry":       "was ended by SIGSEGV while it loaded the library",
		"throw_in_entry":       "was ended by SIGABRT while it loaded the library",
		"hang_in_constructor":  "did not return within",
		"hang_in_entry":        "did not return within",
		"null_table":           "returned NULL",
		"wrong_abi":            "implements ABI 7.",
		"null_slot":            "NULL for the required submit_batch_get",
		"no_entry":             "not a connector",
		"big_schema":           "config_schema",
	} {
		t.Run(variant, func(t *testing.T) {
			opts := faulty(t, "_"+variant, "{}")
			opts.StartTimeout = 10 * time.Second
			if strings.HasPrefix(variant, "hang") {
				opts.StartTimeout = time.Second
			}
			_, err := worker.Open(t.Context(), opts)
			require.ErrorContains(t, err, want)
			require.NotContains(t, err.Error(), "\n")
			require.Empty(t, children())
		})
	}
}

func TestFaultsWhileItCloses(t *testing.T) {
	for action := range actions {
		t.Run(action, func(t *testing.T) {
			c, err := worker.Open(t.Context(), faulty(t, "", fmt.Sprintf(`{"x-fault":"%s_in_close"}`, action)))
			require.NoError(t, err)
			set := batch(t, c.Arena(), kv.OpSet, 1, 1, 10, "k")
			require.EqualValues(t, 1, run(t, c, set).NOK)
			require.NoError(t, c.Close(100*time.Millisecond))
			require.Empty(t, children())
		})
	}
	t.Run("busy", func(t *testing.T) {
		c, err := worker.Open(t.Context(), faulty(t, "", `{"x-behaviour":"busy"}`))
		require.NoError(t, err)
		require.NoError(t, c.Close(100*time.Millisecond), "its process is gone, so nothing is lent")
		require.Empty(t, children())
	})
}

// TestFaultsThatEndNothing has the library do what it should not and go on: so does
// everything else.
func TestFaultsThatEndNothing(t *testing.T) {
	for fault, want := range map[string]string{
		"sigpipe_in_get":     "fault sigpipe:",
		"fork_in_get":        "fault fork:",
		"spawn_in_get":       "fault spawn: Operation not permitted",
		"exec_in_get":        "fault exec: Operation not permitted",
		"ptrace_in_get":      "fault ptrace: Operation not permitted",
		"read_parent_in_get": "fault read_parent: Operation not permitted",
		"kill_parent_in_get": "fault kill_parent:",
		"signals_in_get":     "fault signals:",
		"signals_in_open":    "fault signals:",
		"flood_in_get":       "fault flood: done",
	} {
		t.Run(fault, func(t *testing.T) {
			var mu sync.Mutex
			var lines []string
			opts := faulty(t, "", fmt.Sprintf(`{"x-fault":"%s","x-mib":8}`, fault))
			opts.Log = func(_ int, text string) {
				mu.Lock()
				defer mu.Unlock()
				lines = append(lines, text)
			}
			c := open(t, opts)
			set := batch(t, c.Arena(), kv.OpSet, 1, 2, 100, "k")
			fill(set.Bufs, 1)
			require.EqualValues(t, 2, run(t, c, set).NOK)
			get := batch(t, c.Arena(), kv.OpGet, 2, 2, 100, "k")
			require.EqualValues(t, 2, run(t, c, get).NOK)
			require.Equal(t, set.Bufs, get.Bufs)
			require.Zero(t, c.Status().Restarts)
			eventually(t, "it said how it went", func() bool {
				mu.Lock()
				defer mu.Unlock()
				return strings.Contains(strings.Join(lines, "\n"), want)
			})
		})
	}
}

func TestALibraryThatWritesIntoTheRings(t *testing.T) {
	opts := faulty(t, "", `{"x-fault":"scribble_ring_in_get"}`)
	opts.PingInterval, opts.HangTimeout = 20*time.Millisecond, 300*time.Millisecond
	c := open(t, opts)
	for round := range uint64(5) {
		var all []*kv.Batch
		for i := range uint64(20) {
			b := batch(t, c.Arena(), kv.OpGet, round<<8|i, 2, 100, "k")
			b.DeadlineNS = monotonic() + uint64(50*time.Millisecond)
			eventually(t, "a worker serves", func() bool { return c.Submit(b) == nil })
			all = append(all, b)
		}
		for range all {
			done := next(t, c)
			require.Equal(t, round, done.Ticket>>8)
		}
	}
	require.Positive(t, c.Status().Restarts)
}

func TestALibraryThatClosesAllDescriptors(t *testing.T) {
	opts := faulty(t, "", `{"x-fault":"close_fds_in_get"}`)
	opts.PingInterval, opts.HangTimeout = 20*time.Millisecond, 300*time.Millisecond
	c := open(t, opts)
	pid := c.Status().Pid
	get := batch(t, c.Arena(), kv.OpGet, 2, 2, 100, "k")
	get.DeadlineNS = monotonic() + uint64(50*time.Millisecond)
	require.NoError(t, c.Submit(get))
	next(t, c)
	eventually(t, "the next worker serves", func() bool { s := c.Status(); return s.Pid != pid && s.Pid != 0 })
	require.Contains(t, []worker.Reason{worker.ReasonExit, worker.ReasonProtocol, worker.ReasonCrash}, c.Status().LastReason, c.Status().LastText)
}

func TestALibraryThatLeaks(t *testing.T) {
	opts := faulty(t, "", `{"x-fault":"leak_in_set","x-mib":2000}`)
	opts.MemoryLimit = 200 << 20
	c := open(t, opts)
	require.Equal(t, kv.IO, run(t, c, batch(t, c.Arena(), kv.OpSet, 1, 1, 10, "k")).RC)
	eventually(t, "the next worker serves", restarted(c, 1))
	require.Equal(t, worker.ReasonMemoryLimit, c.Status().LastReason, c.Status().LastText)
}

func TestALibraryThatBreaksTheContract(t *testing.T) {
	for behaviour, check := range map[string]func(t *testing.T, c *worker.Connector){
		"double": func(t *testing.T, c *worker.Connector) {
			require.EqualValues(t, 1, run(t, c, batch(t, c.Arena(), kv.OpSet, 1, 1, 10, "k")).NOK)
			drainUntil(t, c, func() bool { return c.Status().UnknownTickets == 1 })
		},
		"unknown": func(t *testing.T, c *worker.Connector) {
			require.EqualValues(t, 1, run(t, c, batch(t, c.Arena(), kv.OpSet, 1, 1, 10, "k")).NOK)
			drainUntil(t, c, func() bool { return c.Status().UnknownTickets == 1 })
		},
		"unset": func(t *testing.T, c *worker.Connector) {
			b := batch(t, c.Arena(), kv.OpSet, 1, 2, 10, "k")
			run(t, c, b)
			require.Equal(t, statuses(2, kv.StatusUnset), b.Status, "the bridge counts them")
		},
		"refuse": func(t *testing.T, c *worker.Connector) {
			b := batch(t, c.Arena(), kv.OpSet, 1, 2, 10, "k")
			require.Equal(t, kv.IO, run(t, c, b).RC)
			require.Equal(t, statuses(2, kv.StatusError), b.Status)
		},
		"overrun": func(t *testing.T, c *worker.Connector) {
			require.Equal(t, kv.IO, run(t, c, batch(t, c.Arena(), kv.OpSet, 1, 1, 10, "k")).RC)
			eventually(t, "the next worker serves", restarted(c, 1))
			require.Equal(t, 5, c.Status().LastExitCode)
			require.Contains(t, c.Status().LastText, "the library broke its contract")
		},
		"late_log": func(*testing.T, *worker.Connector) {},
		"long_stats": func(t *testing.T, c *worker.Connector) {
			text, err := c.StatsText()
			require.NoError(t, err)
			require.NotEmpty(t, text)
		},
	} {
		t.Run(behaviour, func(t *testing.T) {
			check(t, open(t, faulty(t, "", fmt.Sprintf(`{"x-behaviour":%q}`, behaviour))))
		})
	}
}

func drainUntil(t *testing.T, c *worker.Connector, cond func() bool) {
	eventually(t, "drained", func() bool {
		n, err := c.Drain(make([]kv.Completion, 4))
		require.NoError(t, err)
		require.Zero(t, n)
		return cond()
	})
}

func TestKilledWithBatchesInFlightForReal(t *testing.T) {
	killInFlight(t, open(t, mem(t, `{"read_latency_us":3000,"write_latency_us":3000,"workers":2}`)), soak(t, 20))
}

func TestWhatIsRegisteredStaysSoOverRestarts(t *testing.T) {
	c := open(t, faulty(t, "", "{}"))
	block, err := c.Arena().Alloc(64 << 10)
	require.NoError(t, err)
	defer block.Release()
	handle, err := c.Register(kv.Memory{Bytes: block.Bytes(), FD: -1})
	require.NoError(t, err)
	for round := range int64(3) {
		set := batch(t, c.Arena(), kv.OpSet, 1, 1, 10, "k")
		set.Bufs[0], set.MemHandle = block.Bytes()[100:200], handle
		require.EqualValues(t, 1, run(t, c, set).NOK)
		require.Zero(t, c.Status().BouncedBatches)
		kill(t, c.Status().Pid)
		eventually(t, "the next worker serves", restarted(c, round+1))
	}
	require.NoError(t, c.Unregister(handle))
	require.ErrorIs(t, c.Unregister(handle), kv.Invalid)
	_, err = c.Register(kv.Memory{Bytes: make([]byte, 10), FD: -1})
	require.ErrorIs(t, err, kv.Unsupported)
	var kvErr *kv.Error
	require.True(t, errors.As(err, &kvErr))
}
