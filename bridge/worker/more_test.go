//go:build linux && (amd64 || arm64)

package worker_test

import (
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/bridge/worker"
)

func readable(t *testing.T, c *worker.Connector) bool {
	t.Helper()
	fds := []unix.PollFd{{Fd: int32(c.EventFD()), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	require.NoError(t, err)
	return n == 1
}

// TestTheEventFdIsReadableWhileSomethingIsUndrained, from a worker that lives and
// from one that is dead.
func TestTheEventFdIsReadableWhileSomethingIsUndrained(t *testing.T) {
	for _, does := range []string{"good", "hold"} {
		t.Run(does, func(t *testing.T) {
			c := open(t, fakeOptions(t, does))
			fd := c.EventFD()
			flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
			require.NoError(t, err)
			require.NotZero(t, flags&unix.O_NONBLOCK)
			const n = 7
			for i := range uint64(n) {
				require.NoError(t, c.Submit(batch(t, c.Arena(), kv.OpExists, i, 1, 0, "k")))
			}
			if does == "hold" {
				kill(t, c.Status().Pid)
			}
			var one [1]kv.Completion
			for left := n; left > 0; left-- {
				eventually(t, "readable", func() bool { return readable(t, c) })
				eventually(t, "drained", func() bool {
					got, err := c.Drain(one[:])
					require.NoError(t, err)
					return got == 1
				})
			}
			eventually(t, "silent", func() bool {
				got, err := c.Drain(one[:])
				require.NoError(t, err)
				require.Zero(t, got)
				return !readable(t, c)
			})
			if does == "hold" {
				eventually(t, "the next worker serves", restarted(c, 1))
			}
			require.Equal(t, fd, c.EventFD())
		})
	}
}

func TestManySubmittersAndOneDrain(t *testing.T) {
	opts := fakeOptions(t, "good")
	opts.MaxInFlight = 20
	c := open(t, opts)
	const each, submitters = 300, 6
	var left atomic.Int64
	left.Store(each * submitters)
	var seen [submitters]atomic.Int64
	var wg sync.WaitGroup
	for g := range uint64(submitters) {
		b := make([]*kv.Batch, 2)
		for i := range b {
			b[i] = batch(t, c.Arena(), kv.OpExists, g<<32|uint64(i), 3, 0, "k")
		}
		wg.Go(func() {
			for i := range each {
				// Each batch is in flight once at a time: two rounds back it is done.
				for seen[g].Load() < int64(i-1) {
					time.Sleep(10 * time.Microsecond)
				}
				for {
					err := c.Submit(b[i%2])
					if err == nil {
						break
					}
					if code, ok := err.(*kv.Error); !ok || code.Code != kv.Busy {
						t.Error(err)
						return
					}
					time.Sleep(10 * time.Microsecond)
				}
			}
		})
	}
	for left.Load() > 0 && !t.Failed() {
		done := next(t, c)
		seen[done.Ticket>>32].Add(1)
		left.Add(-1)
	}
	wg.Wait()
	require.Zero(t, c.Status().InFlight)
	require.Zero(t, c.Status().UnknownTickets)
}

func TestAStoppedWorkerCountsAsHung(t *testing.T) {
	opts := mem(t, "{}")
	opts.PingInterval, opts.HangTimeout = 10*time.Millisecond, time.Second
	c := open(t, opts)
	pid := c.Status().Pid
	require.Positive(t, pid)
	require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
	get := batch(t, c.Arena(), kv.OpExists, 1, 1, 0, "k")
	eventually(t, "a batch is taken", func() bool { return c.Submit(get) == nil })
	next(t, c)
	eventually(t, "the next worker serves", restarted(c, 1))
	require.Equal(t, worker.ReasonHang, c.Status().LastReason)
	require.Contains(t, c.Status().LastText, "it did not answer for 1s")
}

func TestAChangedLibraryIsLoadedWhenTheCheckSaysSo(t *testing.T) {
	opts := fakeOptions(t, "good")
	var checks atomic.Int32
	opts.Check = func(path string) error {
		require.Equal(t, opts.Library, path)
		if checks.Add(1) == 1 {
			return os.ErrPermission
		}
		return nil
	}
	c := open(t, opts)
	require.NoError(t, os.WriteFile(opts.Library, []byte("another version"), 0o644))
	kill(t, c.Status().Pid)
	eventually(t, "the next worker serves", restarted(c, 1))
	require.EqualValues(t, 2, checks.Load())
	kill(t, c.Status().Pid)
	eventually(t, "the next worker serves", restarted(c, 2))
	require.EqualValues(t, 2, checks.Load(), "it was checked already")
}

func TestTheWorkerRunsBehindAWrapperAndAsAnotherUser(t *testing.T) {
	opts := mem(t, "{}")
	opts.Wrapper = []string{"/usr/bin/env", "SIXCALL_TEST_WRAPPED=1"}
	if os.Geteuid() == 0 {
		opts.User, opts.Group = 65534, 65534
	}
	c := open(t, opts)
	require.EqualValues(t, 1, run(t, c, batch(t, c.Arena(), kv.OpSet, 1, 1, 10, "k")).NOK)
	var st unix.Stat_t
	require.NoError(t, unix.Stat("/proc/"+itoa(c.Status().Pid), &st))
	require.EqualValues(t, opts.User, st.Uid)
}

// TestReplaceUnderLoadFailsNoRequest replaces the real worker while several
// goroutines submit.
func TestReplaceUnderLoadFailsNoRequest(t *testing.T) {
	c := open(t, mem(t, `{"read_latency_us":300}`))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var submitted, drained atomic.Int64
	for g := range uint64(4) {
		var all []*kv.Batch
		for i := range uint64(64) {
			all = append(all, batch(t, c.Arena(), kv.OpGet, g<<32|i, 2, 4096, "k"))
		}
		wg.Go(func() {
			for _, b := range all {
				select {
				case <-stop:
					return
				default:
				}
				if err := c.Submit(b); err != nil {
					t.Error(err)
				}
				submitted.Add(1)
				time.Sleep(time.Millisecond)
			}
		})
	}
	replaced := make(chan struct{})
	go func() {
		defer close(replaced)
		for range 4 {
			if err := c.Replace(t.Context(), worker.Replacement{}); err != nil {
				t.Error(err)
			}
		}
	}()
	submitting := make(chan struct{})
	go func() { wg.Wait(); close(submitting) }()
	done := make([]kv.Completion, 16)
	finished := func() bool {
		select {
		case <-submitting:
			return drained.Load() == submitted.Load()
		default:
			return false
		}
	}
	eventually(t, "all is drained", func() bool {
		n, err := c.Drain(done)
		require.NoError(t, err)
		for _, d := range done[:n] {
			require.Equal(t, kv.OK, d.RC)
		}
		drained.Add(int64(n))
		return finished()
	})
	<-replaced
	close(stop)
	require.EqualValues(t, 4*64, drained.Load())
	require.EqualValues(t, 4, c.Status().Replaces)
	require.Zero(t, c.Status().FailedBatches)
}
