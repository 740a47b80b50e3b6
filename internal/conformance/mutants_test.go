//go:build linux

package conformance_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/internal/conformance"
	"github.com/sixcall/sixcall/internal/servers"
)

// How a mutant is run besides its mistake.
const (
	plain   = 0
	atLoad  = 1 << iota // the mistake happens before open: chosen by the environment
	stalled             // with stall params
	other               // with other params
	file                // the library that keeps files
	remote              // values in a server of the test
	slow                // each batch takes 2 ms
	orCrash             // what is read wrongly depends on chance: a crash is as good as a failure
)

// A mutation is a mistake and the check that has to find it, by its verdict and
// words of its text.
type mutation struct {
	check, name string
	how         int
	want        conformance.Verdict
	text        string
}

const (
	fail    = conformance.Fail
	warn    = conformance.Warn
	crash   = conformance.Crash
	timeout = conformance.Timeout
	leak    = conformance.Leak
)

var mutations = []mutation{
	{"S14", "schema_broken", atLoad, fail, "no JSON Schema"},
	{"S14", "schema_bad_default", atLoad, fail, "default of a"},
	{"S14", "schema_undocumented", atLoad, warn, "no description"},
	{"L01", "entry_null", atLoad, fail, "refuses this host"},
	{"L01", "load_crashes", atLoad, crash, "SIGSEGV"},
	{"L02", "load_thread", atLoad, fail, "started a thread"},
	{"L02", "load_socket", atLoad, fail, "made a socket"},
	{"L02", "load_file", atLoad, fail, "opened a file for writing"},
	{"L02", "load_prints", atLoad, fail, "wrote to stdout or stderr"},
	{"L02", "entry_file", atLoad, fail, "in the entry point"},
	{"L03", "load_slow", atLoad, warn, "dlopen took"},
	{"L03", "entry_slow", atLoad, warn, "the entry point took"},
	{"L04", "entry_changes", atLoad, fail, "then"},
	{"L05", "slot_null", atLoad, fail, "submit_batch_set is NULL"},
	{"L05", "slot_elsewhere", atLoad, fail, "event_fd points into"},
	{"L05", "slot_data", atLoad, fail, "close points to"},
	{"L05", "table_short", atLoad, fail, "112 bytes"},
	{"L05", "table_odd", atLoad, fail, "no multiple of 8"},
	{"L05", "name_bad", atLoad, fail, "the name"},
	{"L06", "note_differs", atLoad, fail, "capabilities"},
	{"L07", "cap_without_slot", atLoad, fail, "cancel is set, but the slot is NULL"},
	{"L07", "slot_without_cap", atLoad, fail, "submit_ping is there"},
	{"L07", "cap_unknown", atLoad, fail, "not defined"},
	{"L07", "needs_unknown", atLoad, fail, "needs"},
	{"L08", "host_overread", atLoad, fail, "the host struct"},
	{"L09", "newer_refused", atLoad, fail, "refuses a host"},
	{"L09", "args_strict", plain, conformance.Pass, ""}, // O10 is the one for it
	{"L10", "log_null", plain, crash, "open"},
	{"L11", "table_changes", atLoad, fail, "the table changed"},
	{"L12", "needs_path", plain, fail, "where am I"},
	{"L13", "singleton", plain, fail, "second copy"},
	{"L14", "handler", plain, fail, "changed"},

	{"O01", "open_fails", plain, fail, "does not open"},
	{"O01", "crash_in_submit", plain, crash, "submit of SET"},
	{"O02", "json_recursive", atLoad, crash, "nesting"},
	{"O02", "json_lenient", atLoad, fail, "open accepted"},
	{"O03", "unknown_ignored", atLoad, fail, "open accepted"},
	{"O03", "unknown_unnamed", atLoad, fail, "does not name"},
	{"O03", "config_as_io", atLoad, fail, "E_IO"},
	{"O04", "value_unchecked", atLoad, fail, "open accepted"},
	{"O05", "no_timeout", remote, timeout, "in: open"},
	{"O06", "open_forgets_fd", atLoad, leak, "file descriptors"},
	{"O06", "open_forgets_memory", atLoad, leak, "bytes of heap"},
	{"O07", "static_state", plain, fail, "same event fd"},
	{"O08", "err_empty", atLoad, fail, "empty"},
	{"O08", "err_code", atLoad, fail, "err.code is"},
	{"O08", "err_not_utf8", atLoad, fail, "not UTF-8"},
	{"O08", "err_secret", atLoad, fail, "secret"},
	{"O09", "limits_lie", plain, fail, "was accepted"},
	{"O10", "args_overread", atLoad, fail, "the open args"},
	{"O10", "args_strict", atLoad, fail, "another size"},
	{"O10", "batch_overread", plain, fail, "the batch struct"},

	{"F01", "fd_blocking", plain, fail, "non-blocking"},
	{"F01", "fd_inherited", plain, fail, "close-on-exec"},
	{"F01", "fd_changes", plain, fail, "then"},
	{"F02", "busy_loop", plain, fail, "of a CPU"},
	{"F02", "fd_always", plain, fail, "stays so"},
	{"F03", "fd_cleared", plain, fail, "silent"},
	{"F04", "clear_late", plain, fail, "lost wake-up"},
	{"F05", "edge_missing", plain, fail, "lost wake-up"},
	{"F06", "needs_counter", plain, warn, "read the event fd"},

	{"C01", "double_completion", plain, fail, "not in flight"},
	{"C01", "lost_completion", plain, fail, "no completion"},
	{"C01", "op_wrong", plain, fail, "its op is"},
	{"C02", "status_unset", plain, fail, "never written"},
	{"C02", "status_undefined", plain, fail, "not defined"},
	{"C02", "n_ok_wrong", plain, fail, "n_ok is"},
	{"C03", "late_touch", plain, fail, "after its completion was drained"},
	{"C04", "stride_ignored", plain, fail, ""},
	{"C04", "item_stride_ignored", plain, crash, "SET"},
	{"C04", "records_wide", plain, fail, "the completion records"},
	{"C05", "ticket_cut", plain, fail, "not in flight"},
	{"C06", "time_realtime", plain, fail, "CLOCK_MONOTONIC"},
	{"C07", "empty_fails", plain, fail, "drain_completions returned"},
	{"C07", "cap_zero_fails", plain, fail, "cap 0"},
	{"C08", "submit_blocks", plain, timeout, "submit of EXISTS"},
	{"C08", "accepts_too_many", plain, fail, "were accepted"},
	{"C09", "refused_writes", plain, fail, "status byte"},
	{"C09", "refused_completes", plain, fail, "not in flight"},
	{"C09", "invalid_accepted", plain, fail, "was accepted"},
	{"C10", "deadline_ignored", stalled, fail, "no completion"},
	{"C10", "deadline_late_write", stalled, fail, "after its completion was drained"},

	{"B01", "large_wrong", plain, fail, "other bytes"},
	{"B02", "miss_error", plain, fail, "never stored"},
	{"B02", "miss_hit", plain, fail, "never stored"},
	{"B03", "tile_shift", plain, fail, "key"},
	{"B04", "tile_drops", plain, fail, "stored"},
	{"B05", "stale_tail", plain, fail, "status SIZE"},
	{"B06", "torn", plain, fail, ""},
	{"B07", "key_nul", plain, fail, "GET of"},
	{"B07", "key_cut", plain, fail, "GET of"},
	{"B07", "key_case", plain, fail, "GET of"},
	{"B08", "key_path", file, fail, ""},
	{"B09", "key_hash24", plain, fail, "value of another key"},
	{"B10", "size_ignored", plain, fail, "want SIZE"},
	{"B11", "unaligned_fails", plain, fail, "modulo 4096"},
	{"B12", "ryw_stale", file, fail, "another handle"},
	{"B14", "namespace_ignored", other, fail, "namespace"},

	{"M01", "write_past_buf", plain, fail, "buf 0 of GET"},
	{"M01", "key_overread", plain, fail, "key 0 of"},
	{"M01", "stats_overruns", plain, conformance.Pass, ""}, // P06 is the one for it
	{"M02", "key_written", plain, fail, "read-only"},
	{"M03", "batch_kept", plain, fail, "the batch struct"},
	{"M04", "miss_writes", plain, fail, "is a miss, but its buf was written"},

	{"T01", "thread_unmasked", plain, fail, "does not block signal"},
	{"T01", "thread_blocks_all", plain, fail, "blocks SIGSEGV"},
	{"T01", "thread_unnamed", plain, warn, "is named"},
	{"T02", "thread_per_batch", plain, fail, "grow with the load"},
	{"T03", "thread_local", plain, fail, "E_INTERNAL"},
	{"T04", "racy_queue", plain, fail, "never completed"},
	{"T05", "big_stack", plain, fail, "stack of 256 KiB"},
	{"T06", "handler", plain, fail, "signal 23"},
	{"T06", "sigpipe_ignored", plain, fail, "signal 13"},
	{"T07", "chdir", plain, fail, "working folder"},
	{"T07", "umask", plain, fail, "umask"},
	{"T07", "setenv", plain, fail, "environment"},
	{"T07", "locale", plain, fail, "locale"},
	{"T07", "mask", plain, fail, "signal mask"},
	{"T08", "prints", plain, fail, "a batch has ended"},
	{"T09", "fds_inherited", plain, fail, "not close-on-exec"},
	{"T10", "eintr_error", plain, fail, ""},
	{"T11", "exits", atLoad, fail, "called exit(3)"},
	{"T11", "aborts", atLoad, fail, "called abort"},
	{"T13", "close_logs_late", plain, fail, "after close returned 0"},
	{"T13", "log_level_ignored", plain, fail, "level 3"},
	{"T13", "log_under_lock", plain, fail, "under a lock"},
	{"T13", "log_newline", plain, fail, "newline"},
	{"T13", "log_floods", plain, fail, "lines were logged"},
	{"T14", "fds_inherited", plain, fail, "inherited"},

	{"X01", "close_forgets_thread", plain, leak, "threads"},
	{"X01", "close_forgets_fd", plain, leak, "file descriptors"},
	{"X02", "close_no_wait", slow, fail, "after close returned 0"},
	{"X03", "close_waits", stalled, timeout, "close, grace 500 ms"},
	{"X04", "close_late_touch", stalled, fail, "after close returned 0"},
	{"X04", "close_busy", plain, conformance.Pass, ""}, // X09 is the one for it
	{"X06", "cycle_leaks", plain, leak, "bytes of heap"},
	{"X07", "forgets", file, fail, "PERSISTENT"},
	{"X08", "exit_hangs", plain, fail, "hangs in exit"},
	{"X09", "close_crashes", plain, crash, "close"},
	{"X09", "close_busy", plain, fail, "right after open"},

	{"P01", "delete_lies", plain, fail, "DELETE"},
	{"P01", "delete_keeps", plain, fail, "still exist"},
	{"P02", "ping_fails", plain, fail, "ping of a backend that is up"},
	{"P03", "cancel_twice", plain, fail, "not in flight"},
	{"P03", "cancel_unknown", plain, fail, "never submitted"},
	{"P04", "unregister_inflight", stalled, fail, "in flight"},
	{"P04", "handle_unchecked", plain, fail, "was accepted"},
	{"P05", "list_misses", plain, fail, "misses a key"},
	{"P05", "list_endless", plain, fail, "does not end"},
	{"P06", "stats_bad", plain, fail, "no Prometheus text"},
	{"P06", "stats_overruns", plain, fail, "the stats buffer"},
	{"P06", "stats_cut", plain, fail, "whatever cap is"},
	{"P07", "extension_prefix", plain, fail, "want NULL"},

	{"N05", "heap_lost", plain, leak, "LeakSanitizer"},

	// Levels 3 and 4.
	{"B13", "exists_reads", remote, fail, "EXISTS of values"},
	{"B15", "torn_write", file, fail, "mixture"},
	{"B16", "partial_hit", remote, fail, "never stored"},
	{"M05", "sends_uninitialised", file, fail, "uninitialised"},
	{"T12", "throws", plain, fail, "called abort(), or let an exception escape"},
	{"X05", "close_unmaps", plain, crash, "SIGSEGV"},
	{"R01", "no_reconnect", remote, fail, "never works again"},
	{"R02", "no_timeout", remote, fail, "no completion"},
	{"R03", "one_recv", remote, fail, ""},
	{"R04", "trusts_length", remote | orCrash, fail, ""},
	{"R05", "no_reconnect", remote, fail, ""},
	{"R06", "errno_crash", file, crash, "open that"},
	{"R07", "oom_null", plain, crash, "allocation"},
	{"R08", "eventfd_unchecked", plain, crash, "of eventfd fails"},
	{"R09", "clock_realtime", remote, fail, "status"},
	{"R10", "lost_completion", plain, fail, "no completion"},
	{"R11", "write_unchecked", file, fail, "although write failed"},
	{"Z01", "heisenbug", plain, fail, "GET"},
	{"Z02", "long_text", atLoad, crash, "mutated configuration"},
	{"Z03", "trusts_length", remote | orCrash, fail, ""},
	{"Z04", "clear_late_rare", plain, fail, "silent"},
	{"N01", "close_frees_early", plain, fail, "Invalid"},
	{"N02", "data_race", plain, warn, "Possible data race"},
	{"N03", "heap_overflow", plain, fail, ""},
	{"N04", "data_race", plain, fail, "data race"},
	{"K01", "batch_leaks", plain, leak, "bytes per hour"},
	{"K02", "slows", plain, warn, "in the last"},
	{"K03", "static_state", plain, fail, ""},

	// Mistakes that no check is about: the walk finds them.
	{"Z01", "length_511", plain, fail, "not under the key"},
	{"Z01", "length_of_first", plain, fail, "value_lens"},
	{"Z01", "shrinks_once", plain, fail, ""},
	{"Z01", "third_of_three", plain, fail, "DELETE"},
	{"Z01", "cancel_poisons", plain, fail, ""},
}

// Many mistakes show only in some orders of threads: a check that has seen nothing in a
// moment is given more time, as it has outside of this test. What a check says of a
// connector without a mistake is another test, without a second attempt.
var efforts = []time.Duration{1, 4, 16}

func TestEveryMutantIsCaughtByItsCheck(t *testing.T) {
	if testing.Short() {
		t.Skip("long, and about C++")
	}
	t.Parallel()
	mutant(t, "mutant")
	limit := make(chan struct{}, 6) // most of them wait most of the time
	for _, m := range mutations {
		t.Run(m.check+" "+m.name, func(t *testing.T) {
			t.Parallel()
			limit <- struct{}{}
			defer func() { <-limit }()
			if m.check == "N01" || m.check == "N02" || m.check == "M05" {
				servers.Program(t, "valgrind", "valgrind")
			}
			var got conformance.Result
			for _, effort := range efforts {
				if got = m.run(t, effort); m.caught(got) {
					break
				}
				t.Logf("seen with %d times the effort: %s", effort, got.Line())
			}
			require.True(t, m.caught(got), "want %s with %q, got %s", m.want, m.text, got.Line())
			if m.want.Bad() {
				require.NotEmpty(t, got.Means)
				require.NotEmpty(t, got.Fix)
			}
		})
	}
}

// caught tells whether a result is what the mutation must lead to.
func (m mutation) caught(r conformance.Result) bool {
	verdict := r.Verdict == m.want || m.how&orCrash != 0 && r.Verdict == crash
	return verdict && strings.Contains(strings.ReplaceAll(r.Text, "\n", " "), m.text)
}

// run runs the mutant's check on it.
func (m mutation) run(t testing.TB, effort time.Duration) conformance.Result {
	name := "mutant"
	values := map[string]any{}
	if m.how&file != 0 {
		name = "mutant_file"
		values["base_path"] = t.TempDir()
	}
	opts := quick(mutant(t, name))
	if m.want == timeout {
		opts.Limit = 6 * time.Second
	}
	if m.check[0] == 'K' {
		opts.Soak = 4 * time.Second
	}
	opts.Effort, opts.Patience, opts.Limit, opts.Soak = effort*opts.Effort, effort*opts.Patience, effort*opts.Limit, effort*opts.Soak
	if m.how&atLoad != 0 {
		opts.Env = append(opts.Env, "SIXCALL_MUTANT="+m.name)
	} else {
		values["x-mutant"] = m.name
	}
	if m.how&slow != 0 {
		values["delay_us"] = 2000
	}
	if m.how&stalled != 0 {
		opts.StallParams = params(t, map[string]any{"delay_us": 60_000_000})
	}
	if m.how&other != 0 {
		opts.OtherParams = params(t, map[string]any{"namespace": "other"})
	}
	if m.how&remote != 0 {
		server := startServer(t)
		values["endpoint"] = server.Addr()
		opts.Endpoint, opts.EndpointParam = server.Addr(), []string{"endpoint"}
	}
	opts.Params = params(t, values)
	opts.Only = []string{m.check}
	report := run(t, opts)
	require.Len(t, report.Results, 1)
	return report.Results[0]
}
