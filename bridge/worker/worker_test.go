//go:build linux && (amd64 || arm64)

package worker_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/bridge/worker"
)

func TestValuesComeBackWithoutACopy(t *testing.T) {
	c := open(t, fakeOptions(t, "good"))
	require.Equal(t, "fake", c.Info().Name)
	set := batch(t, c.Arena(), kv.OpSet, 7, 5, 5000, "k")
	fill(set.Bufs, 3)
	done := run(t, c, set)
	require.Equal(t, kv.OK, done.RC)
	require.EqualValues(t, 5, done.NOK)
	require.Equal(t, statuses(5, kv.StatusHit), set.Status)

	get := batch(t, c.Arena(), kv.OpGet, 8, 6, 5000, "k")
	require.EqualValues(t, 5, run(t, c, get).NOK)
	require.Equal(t, append(statuses(5, kv.StatusHit), kv.StatusMiss), get.Status)
	for i := range set.Bufs {
		require.Equal(t, set.Bufs[i], get.Bufs[i])
	}
	exists := batch(t, c.Arena(), kv.OpExists, 9, 6, 0, "k")
	require.EqualValues(t, 5, run(t, c, exists).NOK)
	del := batch(t, c.Arena(), kv.OpDelete, 10, 6, 0, "k")
	require.EqualValues(t, 5, run(t, c, del).NOK)
	require.EqualValues(t, 0, run(t, c, exists).NOK)
	ping := batch(t, c.Arena(), kv.OpPing, 11, 0, 0, "")
	require.Equal(t, kv.OpPing, run(t, c, ping).Op)

	s := c.Status()
	require.Equal(t, worker.Ready, s.State)
	require.Zero(t, s.BouncedBatches)
	require.Zero(t, s.InFlight)
	require.Positive(t, s.MappedBytes)
}

func TestForeignMemoryIsCopied(t *testing.T) {
	c := open(t, fakeOptions(t, "good"))
	foreign := func(op kv.Op, ticket uint64, n, size int) *kv.Batch {
		b := batch(t, c.Arena(), op, ticket, n, size, "heap")
		h := &kv.Batch{Ticket: ticket, Op: op, Ends: b.Ends, Keys: append([]byte(nil), b.Keys...), Status: make([]byte, n), Err: make([]byte, kv.ErrBlockSize), Scratch: make([]byte, len(b.Scratch)), ValueLens: make([]uint64, n)}
		for range b.Bufs {
			h.Bufs = append(h.Bufs, make([]byte, size))
		}
		reset(h)
		return h
	}
	set := foreign(kv.OpSet, 1, 3, 777)
	fill(set.Bufs, 9)
	require.EqualValues(t, 3, run(t, c, set).NOK)
	require.Equal(t, statuses(3, kv.StatusHit), set.Status)
	get := foreign(kv.OpGet, 2, 4, 777)
	require.EqualValues(t, 3, run(t, c, get).NOK)
	require.Equal(t, append(statuses(3, kv.StatusHit), kv.StatusMiss), get.Status)
	require.Equal(t, set.Bufs, get.Bufs[:3])
	require.Equal(t, make([]byte, 777), get.Bufs[3], "a miss changes nothing")

	// Values on the heap, the rest in the arena.
	mixed := batch(t, c.Arena(), kv.OpGet, 3, 3, 777, "heap")
	for i := range mixed.Bufs {
		mixed.Bufs[i] = make([]byte, 777)
	}
	require.EqualValues(t, 3, run(t, c, mixed).NOK)
	require.Equal(t, set.Bufs, mixed.Bufs)
	s := c.Status()
	require.EqualValues(t, 3, s.BouncedBatches)
	require.EqualValues(t, 3*777+4*777+3*777, s.BouncedBytes)
}

func TestNewSegmentsAreMappedWhenTheyAreFirstUsed(t *testing.T) {
	opts := fakeOptions(t, "good")
	own, err := arena.New(arena.Options{SegmentBytes: 1 << 20})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, own.Close()) })
	opts.Arena = own
	c := open(t, opts)
	require.Zero(t, c.Status().MappedBytes)
	for i := range 5 {
		set := batch(t, own, kv.OpSet, uint64(i), 1, 900<<10, "k")
		require.EqualValues(t, 1, run(t, c, set).NOK)
	}
	require.EqualValues(t, 5<<20, c.Status().MappedBytes)
	require.Zero(t, c.Status().BouncedBatches)
	require.Same(t, own, c.Arena())
}

func TestAFullQueueIsBusyAndEmptiesAgain(t *testing.T) {
	opts := fakeOptions(t, "hold")
	opts.MaxInFlight = 5
	c := open(t, opts)
	var all []*kv.Batch
	for i := range 5 {
		b := batch(t, c.Arena(), kv.OpGet, uint64(100+i), 1, 64, "k")
		require.NoError(t, c.Submit(b))
		all = append(all, b)
	}
	extra := batch(t, c.Arena(), kv.OpGet, 200, 1, 64, "k")
	require.ErrorIs(t, c.Submit(extra), kv.Busy)
	require.ErrorIs(t, c.Cancel(999), kv.Invalid)
	require.Equal(t, 5, c.Status().InFlight)
	require.NoError(t, c.Cancel(102))
	done := next(t, c)
	require.EqualValues(t, 102, done.Ticket)
	require.Equal(t, kv.Cancelled, done.RC)
	require.Equal(t, statuses(1, kv.StatusCancelled), all[2].Status)
	require.NoError(t, c.Submit(extra))
}

func TestBadBatchesAreRefused(t *testing.T) {
	c := open(t, fakeOptions(t, "less"))
	good := func() *kv.Batch { return batch(t, c.Arena(), kv.OpGet, 1, 2, 8, "k") }
	for name, tc := range map[string]struct {
		break_ func(b *kv.Batch)
		want   string
		code   kv.Code
	}{
		"no keys":             {func(b *kv.Batch) { b.Ends = nil }, "at least one key", kv.Invalid},
		"ends that fall":      {func(b *kv.Batch) { b.Ends[1] = b.Ends[0] }, "does not ascend", kv.Invalid},
		"ends past the keys":  {func(b *kv.Batch) { b.Ends[1] = 1000 }, "does not ascend", kv.Invalid},
		"too few status":      {func(b *kv.Batch) { b.Status = b.Status[:1] }, "Status has 1 bytes for 2 keys", kv.Invalid},
		"too few buffers":     {func(b *kv.Batch) { b.Bufs = b.Bufs[:1] }, "Bufs has 1 entries for 2 keys", kv.Invalid},
		"too few lengths":     {func(b *kv.Batch) { b.ValueLens = make([]uint64, 1) }, "ValueLens has 1 entries", kv.Invalid},
		"a short error block": {func(b *kv.Batch) { b.Err = b.Err[:100] }, "Err has 100 bytes", kv.Invalid},
		"a short scratch":     {func(b *kv.Batch) { b.Scratch = b.Scratch[:100] }, "Scratch has 100 bytes", kv.Invalid},
		"an odd scratch":      {func(b *kv.Batch) { b.Scratch = b.Scratch[1:] }, "8-byte aligned", kv.Invalid},
		"an unknown handle":   {func(b *kv.Batch) { b.MemHandle = 5 }, "MemHandle is 5", kv.Invalid},
		"no such operation":   {func(b *kv.Batch) { b.Op = 6 }, "does not implement", kv.Unsupported},
		"no ping":             {func(b *kv.Batch) { b.Op = kv.OpPing }, `"fake" does not implement ping`, kv.Unsupported},
	} {
		b := good()
		tc.break_(b)
		err := c.Submit(b)
		require.ErrorIs(t, err, tc.code, name)
		require.ErrorContains(t, err, tc.want, name)
	}
	require.EqualValues(t, 0, run(t, c, good()).NOK)
	_, err := c.Register(kv.Memory{})
	require.ErrorIs(t, err, kv.Unsupported)
	_, _, _, err = c.Usage()
	require.ErrorContains(t, err, "does not have the capability usage")
}

func TestOptionsAreCheckedAllAtOnce(t *testing.T) {
	_, err := worker.Open(t.Context(), worker.Options{
		Library: "lib.so", Program: "worker", Wrapper: []string{""}, Env: []string{"=x"}, User: 5, MaxInFlight: -1,
		MaxBatch: -1, ValueLenHint: -1, MemoryLimit: -1, Spin: time.Minute, StartTimeout: -1, OpenTimeout: -1,
		PingInterval: -1, HangTimeout: -1, Instance: "a\x00", Restart: worker.Restart{Initial: -1, Max: -1, Jitter: 2, MaxPerMinute: -1},
	})
	require.ErrorIs(t, err, kv.Config)
	require.NotContains(t, err.Error(), "\n")
	for _, part := range []string{
		`Library is "lib.so"`, `Program is "worker"`, "Wrapper begins", `Env has "=x"`, "User is 5", "MaxInFlight is -1", "MaxBatch is -1",
		"ValueLenHint is -1", "MemoryLimit is -1", "Spin is 1m0s", "StartTimeout is -1ns", "OpenTimeout is -1ns", "PingInterval is -1ns",
		"HangTimeout is -1ns", `Instance is "a\x00"`, "Restart.Initial is -1ns", "Restart.Max is -1ns", "Restart.Jitter is 2", "Restart.MaxPerMinute is -1",
	} {
		require.ErrorContains(t, err, part)
	}
}

func TestAProgramThatIsMissingNamesEveryPlace(t *testing.T) {
	t.Setenv(worker.ProgramEnv, "")
	_, err := worker.FindProgram("")
	require.ErrorIs(t, err, kv.Config)
	for _, part := range []string{"SIXCALL_WORKER is not set", "/usr/local/libexec/sixcall/sixcall-worker", "/usr/libexec/sixcall/sixcall-worker", "libexec", "setting Program"} {
		require.ErrorContains(t, err, part)
	}
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	require.NoError(t, os.WriteFile(plain, nil, 0o644))
	for path, want := range map[string]string{plain: "not executable", dir: "a folder", dir + "/none": "no such file", "/dev/null": "not a regular file"} {
		_, err = worker.FindProgram(path)
		require.ErrorContains(t, err, want)
		t.Setenv(worker.ProgramEnv, path)
		_, err = worker.FindProgram("")
		require.ErrorContains(t, err, want)
	}
	t.Setenv(worker.ProgramEnv, "relative/worker")
	_, err = worker.FindProgram("")
	require.ErrorContains(t, err, "want an absolute path")
}

func TestOpenSaysWhatWentWrong(t *testing.T) {
	short := 300 * time.Millisecond
	for _, tc := range []struct {
		does string
		code kv.Code
		want []string
	}{
		{"exit", kv.IO, []string{"the worker process exited with code 7 before it said hello", "stderr: no such thing as a library"}},
		{"mute", kv.Timeout, []string{"did not say hello within 300ms; is it sixcall-worker?"}},
		{"noise", kv.IO, []string{"without the mark"}},
		{"version2", kv.Version, []string{"(version 0.0.1-fake) speaks protocol 2.0", "speaks 1.1; install the worker of the same release"}},
		{"crash-load", kv.IO, []string{"was ended by SIG", "while it loaded the library"}},
		{"refuse-open", kv.Unavailable, []string{"vendor code 111", `cannot connect with {"token":"***"}`}},
		{"hang-open", kv.Timeout, []string{"did not return within", "was killed"}},
	} {
		t.Run(tc.does, func(t *testing.T) {
			t.Setenv("SIXCALL_TEST_TOKEN", "hunter2")
			opts := fakeOptions(t, tc.does)
			opts.Instance, opts.Params = "store-1", json.RawMessage(`{"token":{"$env":"SIXCALL_TEST_TOKEN"}}`)
			if tc.does == "mute" {
				opts.StartTimeout = short
			}
			opts.OpenTimeout = time.Millisecond
			_, err := worker.Open(t.Context(), opts)
			require.ErrorIs(t, err, tc.code)
			for _, part := range tc.want {
				require.ErrorContains(t, err, part)
			}
			require.ErrorContains(t, err, `"store-1"`)
			require.NotContains(t, err.Error(), "hunter2")
			require.NotContains(t, err.Error(), "\n")
			require.Empty(t, children())
		})
	}
}

func TestTheConfigurationIsCheckedBeforeOpen(t *testing.T) {
	opts := fakeOptions(t, "refuse-open")
	opts.Params = json.RawMessage(`{"tokn": "x", "size": "y"}`)
	_, err := worker.Open(t.Context(), opts)
	require.ErrorIs(t, err, kv.Config)
	require.ErrorContains(t, err, "tokn is not a known key; did you mean token?")
	require.ErrorContains(t, err, `size is "y", want integer`)
	opts.Params, opts.ClassName = nil, "redis"
	_, err = worker.Open(t.Context(), opts)
	require.ErrorContains(t, err, `class_name is "redis", but the library "`+opts.Library+`" declares "fake"`)
}

func TestOpenEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	_, err := worker.Open(ctx, fakeOptions(t, "mute"))
	require.ErrorIs(t, err, kv.Cancelled)
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, children())
}

func TestWhatTheWorkerPrintsIsTaken(t *testing.T) {
	var mu sync.Mutex
	var lines []string
	opts := fakeOptions(t, "flood")
	opts.Log = func(_ int, text string) {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, text)
	}
	c := open(t, opts)
	eventually(t, "lines are lost", func() bool { return c.Status().LostLines > 1000 })
	set := batch(t, c.Arena(), kv.OpSet, 1, 1, 10, "k")
	require.EqualValues(t, 1, run(t, c, set).NOK, "it can print as much as it likes")
	s := c.Status()
	require.Len(t, s.LastLines, 32)
	require.Equal(t, "stderr: flood  [31m \uFFFD "+strings.Repeat("x", 100), s.LastLines[0])
	mu.Lock()
	defer mu.Unlock()
	require.NotEmpty(t, lines)
	require.LessOrEqual(t, len(lines), 100*61+1000, "100 a second, and lines about the lost")
}

func TestCloseIsFinalAndNil(t *testing.T) {
	for _, does := range []string{"good", "stay", "hold", "grandchild"} {
		t.Run(does, func(t *testing.T) {
			c, err := worker.Open(t.Context(), fakeOptions(t, does))
			require.NoError(t, err)
			b := batch(t, c.Arena(), kv.OpExists, 1, 3, 0, "k")
			require.NoError(t, c.Submit(b))
			require.NoError(t, c.Close(10*time.Millisecond))
			require.NoError(t, c.Close(time.Second))
			require.ErrorIs(t, c.Submit(b), kv.Closed)
			_, err = c.Drain(make([]kv.Completion, 1))
			require.ErrorIs(t, err, kv.Closed)
			require.ErrorIs(t, c.Cancel(1), kv.Closed)
			require.Equal(t, worker.Closed, c.Status().State)
			require.Empty(t, children())
		})
	}
}
