//go:build linux && (amd64 || arm64)

package worker_test

import (
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/bridge/worker"
)

// restarted waits until the n-th worker after the first one serves.
func restarted(c *worker.Connector, n int64) func() bool {
	return func() bool { s := c.Status(); return s.Restarts >= n && s.State == worker.Ready }
}

func TestACrashFailsWhatWasInFlightAndNothingElse(t *testing.T) {
	c := open(t, fakeOptions(t, "crash-get"))
	set := batch(t, c.Arena(), kv.OpSet, 1, 2, 100, "k")
	require.EqualValues(t, 2, run(t, c, set).NOK)
	get := batch(t, c.Arena(), kv.OpGet, 2, 3, 100, "k")
	done := run(t, c, get)
	require.Equal(t, kv.IO, done.RC)
	require.Equal(t, kv.OpGet, done.Op)
	require.Zero(t, done.NOK)
	require.Equal(t, statuses(3, kv.StatusError), get.Status, "a hit of a batch that never completed proves nothing")
	require.Equal(t, kv.IO, get.Err.Code())
	require.Equal(t, "the worker process was ended by SIGKILL in submit_batch_get", get.Err.Message())

	eventually(t, "the next worker serves", restarted(c, 1))
	exists := batch(t, c.Arena(), kv.OpExists, 3, 2, 0, "k")
	require.Equal(t, kv.OK, run(t, c, exists).RC)
	s := c.Status()
	require.Equal(t, worker.ReasonCrash, s.LastReason)
	require.Equal(t, "SIGKILL", s.LastSignal)
	require.Equal(t, -1, s.LastExitCode)
	require.EqualValues(t, 1, s.FailedBatches)
	require.Equal(t, c.Info(), kv.Info{Name: "fake", Version: "1.2.3", Vendor: "fake", Caps: c.Info().Caps, Limits: kv.Limits{BufAlign: 8}})
}

func TestWhileNoWorkerIsUpSubmitFailsAtOnceWithTheReason(t *testing.T) {
	opts := fakeOptions(t, "crash-get")
	opts.Restart = worker.Restart{Initial: time.Hour, Max: time.Hour}
	c := open(t, opts)
	get := batch(t, c.Arena(), kv.OpGet, 2, 1, 100, "k")
	require.Equal(t, kv.IO, run(t, c, get).RC)
	eventually(t, "it waits", func() bool { return c.Status().State == worker.Restarting })
	err := c.Submit(get)
	require.ErrorIs(t, err, kv.Unavailable)
	require.ErrorContains(t, err, "ended by SIGKILL in submit_batch_get; the next attempt is in ")
	_, _, _, err = c.Usage()
	require.ErrorIs(t, err, kv.Unavailable)
	require.Zero(t, c.Status().Pid)
}

func TestMostWorkersThatEndAreGivenARest(t *testing.T) {
	opts := fakeOptions(t, "good")
	opts.Restart = worker.Restart{Initial: time.Millisecond, Max: 300 * time.Millisecond, MaxPerMinute: 3}
	var mu sync.Mutex
	var states []worker.State
	opts.OnState = func(s worker.Status) {
		mu.Lock()
		defer mu.Unlock()
		states = append(states, s.State)
	}
	c := open(t, opts)
	for i := range int64(6) {
		kill(t, c.Status().Pid)
		eventually(t, "it recovers, always", restarted(c, i+1))
	}
	mu.Lock()
	defer mu.Unlock()
	var want []worker.State
	for range 3 {
		want = append(want, worker.Ready, worker.Restarting, worker.Starting)
	}
	for range 3 {
		want = append(want, worker.Ready, worker.Dead, worker.Starting)
	}
	require.Equal(t, append(want, worker.Ready), states)
}

// TestKilledWithBatchesInFlight kills the worker while it has 64 batches, again and
// again: 20 times, or SIXCALL_SOAK times.
func TestKilledWithBatchesInFlight(t *testing.T) {
	opts := fakeOptions(t, "hold")
	killInFlight(t, open(t, opts), soak(t, 20))
}

// killInFlight is for a worker that completes nothing, or not at once.
func killInFlight(t *testing.T, c *worker.Connector, rounds int) {
	const flying = 64
	var all []*kv.Batch
	for i := range flying {
		all = append(all, batch(t, c.Arena(), []kv.Op{kv.OpGet, kv.OpSet, kv.OpExists}[i%3], uint64(i), 4, 4096, "k"))
	}
	before := c.Status()
	for round := range int64(rounds) {
		seen := map[uint64]int{}
		for i, b := range all {
			b.Ticket = uint64(round)<<16 | uint64(i)
			reset(b)
			require.NoError(t, c.Submit(b))
		}
		kill(t, c.Status().Pid)
		failed := 0
		for range flying {
			done := next(t, c)
			seen[done.Ticket]++
			if b := all[done.Ticket&0xffff]; done.RC != kv.OK {
				failed++
				require.Equal(t, kv.IO, done.RC)
				require.Equal(t, statuses(4, kv.StatusError), b.Status)
			} else {
				require.False(t, slices.Contains(b.Status, kv.StatusUnset))
			}
		}
		require.Len(t, seen, flying, "every batch completes once")
		extra := make([]kv.Completion, 4)
		n, err := c.Drain(extra)
		require.NoError(t, err)
		require.Zero(t, n, "and not again")
		eventually(t, "the next worker serves", restarted(c, before.Restarts+round+1))
		s := c.Status()
		require.Equal(t, before.Restarts+round+1, s.Restarts)
		require.Equal(t, worker.ReasonCrash, s.LastReason)
		require.Zero(t, s.InFlight)
		_ = failed
	}
	require.Empty(t, zombies(t))
}

// zombies lists children that wait to be reaped.
func zombies(t *testing.T) (out []string) {
	for _, pid := range children() {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		if err == nil && slices.Contains([]byte(stat), 'Z') && string(stat[len(pid)+2]) == "Z" {
			out = append(out, string(stat))
		}
	}
	return out
}

func TestAHangIsSeen(t *testing.T) {
	for _, tc := range []struct {
		does string
		want string
	}{
		{"hang-get", "submit_batch_get did not return for 500ms"},
		{"no-pong", "it did not answer for 500ms"},
	} {
		t.Run(tc.does, func(t *testing.T) {
			opts := fakeOptions(t, tc.does)
			opts.PingInterval, opts.HangTimeout = 10*time.Millisecond, 500*time.Millisecond
			c := open(t, opts)
			get := batch(t, c.Arena(), kv.OpGet, 2, 1, 100, "k")
			if tc.does == "hang-get" {
				done := run(t, c, get)
				require.Equal(t, kv.IO, done.RC)
				require.Equal(t, "the worker process was killed: "+tc.want, get.Err.Message())
			}
			eventually(t, "it is started again", func() bool { return c.Status().Restarts > 0 })
			require.Equal(t, worker.ReasonHang, c.Status().LastReason)
			require.Contains(t, c.Status().LastText, tc.want)
		})
	}
	t.Run("past the deadline", func(t *testing.T) {
		opts := fakeOptions(t, "hold")
		opts.PingInterval, opts.HangTimeout = 10*time.Millisecond, 500*time.Millisecond
		c := open(t, opts)
		get := batch(t, c.Arena(), kv.OpGet, 2, 7, 100, "k")
		get.DeadlineNS = monotonic() + uint64(50*time.Millisecond)
		require.Equal(t, kv.IO, run(t, c, get).RC)
		require.Contains(t, get.Err.Message(), "a batch of get with 7 keys was not done 500ms after its deadline")
	})
	t.Run("in a call beside the batches", func(t *testing.T) {
		opts := fakeOptions(t, "hang-usage")
		opts.PingInterval, opts.HangTimeout = 10*time.Millisecond, 500*time.Millisecond
		c := open(t, opts)
		_, _, _, err := c.Usage()
		require.Error(t, err)
		eventually(t, "it is started again", func() bool { return c.Status().Restarts > 0 })
		require.Contains(t, c.Status().LastText, "usage did not return")
	})
}

func TestALeakEndsAtTheLimit(t *testing.T) {
	opts := fakeOptions(t, "leak")
	opts.MemoryLimit = 256 << 20
	c := open(t, opts)
	eventually(t, "it is started again", func() bool { return c.Status().Restarts > 0 })
	s := c.Status()
	require.Equal(t, worker.ReasonMemoryLimit, s.LastReason)
	require.Contains(t, s.LastText, "the limit is 268435456")
}

func TestAWorkerThatCannotStartIsTriedAgain(t *testing.T) {
	opts := fakeOptions(t, "good")
	c := open(t, opts)
	require.NoError(t, os.Rename(opts.Library, opts.Library+".away"))
	kill(t, c.Status().Pid)
	eventually(t, "the reason shows", func() bool { return c.Status().LastReason == worker.ReasonStart })
	require.Contains(t, c.Status().LastText, "no such file")
	require.NoError(t, os.Rename(opts.Library+".away", opts.Library))
	eventually(t, "it recovers", restarted(c, 1))

	require.NoError(t, os.WriteFile(opts.Library, []byte("another version"), 0o644))
	kill(t, c.Status().Pid)
	eventually(t, "a changed file is refused", func() bool {
		return c.Status().State == worker.Restarting && c.Status().LastReason == worker.ReasonStart
	})
	require.Contains(t, c.Status().LastText, "has changed since it was checked")
	require.NoError(t, c.Replace(t.Context(), worker.Replacement{}))
	require.Equal(t, worker.Ready, c.Status().State)
	exists := batch(t, c.Arena(), kv.OpExists, 3, 2, 0, "k")
	require.Equal(t, kv.OK, run(t, c, exists).RC)
}

func TestAGrandchildDoesNotOutliveTheWorker(t *testing.T) {
	c := open(t, fakeOptions(t, "grandchild"))
	var pid string
	eventually(t, "it printed its number", func() bool {
		for _, line := range c.Status().LastLines {
			if len(line) > 19 && line[:19] == "stdout: grandchild " {
				pid = line[19:]
			}
		}
		return pid != ""
	})
	kill(t, c.Status().Pid)
	eventually(t, "the next worker serves", restarted(c, 1))
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err == nil {
		require.Contains(t, string(stat), ") Z ", "dead before its memory is anybody's")
	}
}

func TestReplaceFailsNoRequest(t *testing.T) {
	opts := fakeOptions(t, "good")
	c := open(t, opts)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	accepted, drained := 0, 0
	exists := batch(t, c.Arena(), kv.OpExists, 0, 2, 0, "k")
	wg.Go(func() {
		for {
			if err := c.Submit(exists); err != nil {
				t.Error(err)
			}
			accepted++
			if next(t, c).RC != kv.OK {
				t.Error("a request failed")
			}
			drained++
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	for i := range 5 {
		pid := c.Status().Pid
		require.NoError(t, c.Replace(t.Context(), worker.Replacement{}))
		require.NotEqual(t, pid, c.Status().Pid)
		require.EqualValues(t, i+1, c.Status().Replaces)
	}
	close(stop)
	wg.Wait()
	require.Equal(t, accepted, drained)
	require.Zero(t, c.Status().Restarts)
	require.Zero(t, c.Status().FailedBatches)
	eventually(t, "the old workers are gone", func() bool { return len(children()) == 1 })
}

func TestReplaceThatFailsLeavesTheOldOneServing(t *testing.T) {
	opts := fakeOptions(t, "good")
	c := open(t, opts)
	pid := c.Status().Pid
	err := c.Replace(t.Context(), worker.Replacement{Params: []byte(`{"size":"x"}`)})
	require.ErrorIs(t, err, kv.Config)
	err = c.Replace(t.Context(), worker.Replacement{Library: "/nowhere/lib.so"})
	require.ErrorIs(t, err, kv.Config)
	err = c.Replace(t.Context(), worker.Replacement{Library: "lib.so"})
	require.ErrorContains(t, err, "want an absolute path")
	require.Equal(t, pid, c.Status().Pid)
	exists := batch(t, c.Arena(), kv.OpExists, 3, 2, 0, "k")
	require.Equal(t, kv.OK, run(t, c, exists).RC)
}

func TestReplaceFinishesTheBatchesOfTheOldWorker(t *testing.T) {
	c := open(t, fakeOptions(t, "hold"))
	old := batch(t, c.Arena(), kv.OpExists, 1, 1, 0, "k")
	require.NoError(t, c.Submit(old))
	require.NoError(t, c.Replace(t.Context(), worker.Replacement{}))
	young := batch(t, c.Arena(), kv.OpExists, 2, 1, 0, "k")
	require.NoError(t, c.Submit(young))
	require.Equal(t, 2, c.Status().InFlight)
	require.NoError(t, c.Cancel(1))
	require.EqualValues(t, 1, next(t, c).Ticket, "from the old one")
	require.NoError(t, c.Cancel(2))
	require.EqualValues(t, 2, next(t, c).Ticket)
	eventually(t, "the old worker is gone", func() bool { return len(children()) == 1 })
}

func kill(t testing.TB, pid int) {
	t.Helper()
	require.Positive(t, pid)
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
}
