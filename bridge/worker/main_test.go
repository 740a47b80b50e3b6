//go:build linux && (amd64 || arm64)

package worker_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/eventfd"
	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/bridge/worker"
)

// TestMain fails the package when tests leave processes, descriptors or goroutines
// behind.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv(worker.FakeEnv) != "":
		worker.FakeMain()
	case os.Getenv(hostEnv) != "":
		hostMain()
	}
	warmUpPoller()
	fds := openFDs()
	code := m.Run()
	for i := 0; i < 10_000 && (runtime.NumGoroutine() > 2 || openFDs() > fds); i++ {
		time.Sleep(time.Millisecond)
	}
	if code == 0 {
		if left := openFDs(); left > fds {
			fmt.Printf("FAIL: %d descriptors before the tests, %d after\n", fds, left)
			code = 1
		}
		if n := runtime.NumGoroutine(); n > 2 {
			buf := make([]byte, 1<<16)
			fmt.Printf("FAIL: %d goroutines are left\n%s\n", n, buf[:runtime.Stack(buf, true)])
			code = 1
		}
		if kids := children(); len(kids) > 0 {
			fmt.Printf("FAIL: children are left: %v\n", kids)
			code = 1
		}
	}
	os.Exit(code)
}

// warmUpPoller makes the runtime open its epoll descriptors.
func warmUpPoller() {
	r, w, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	_ = r.SetReadDeadline(time.Now())
	_ = r.Close()
	_ = w.Close()
}

func openFDs() int {
	links, _ := filepath.Glob("/proc/self/fd/*")
	return len(links)
}

// children lists the processes that this one has.
func children() []string {
	lists, _ := filepath.Glob("/proc/self/task/*/children")
	var out []string
	for _, path := range lists {
		text, _ := os.ReadFile(path)
		out = append(out, strings.Fields(string(text))...)
	}
	return out
}

// fakeOptions are options for a worker that does what is listed.
func fakeOptions(t testing.TB, does string) worker.Options {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	library := filepath.Join(t.TempDir(), "libsixcall_fake.so")
	require.NoError(t, os.WriteFile(library, []byte("not looked at"), 0o644))
	return worker.Options{
		Program: self, Env: []string{worker.FakeEnv + "=" + does}, Library: library,
		Restart: worker.Restart{Initial: time.Millisecond, Max: 50 * time.Millisecond, MaxPerMinute: 100_000},
	}
}

// open opens a connector and closes it with the test.
func open(t testing.TB, opts worker.Options) *worker.Connector {
	t.Helper()
	c, err := worker.Open(t.Context(), opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close(5*time.Second)) })
	return c
}

// limit is how long tests wait for what must happen: far more than it takes.
func limit() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("SIXCALL_TEST_LIMIT")); err == nil {
		return d
	}
	return time.Minute
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit()); !cond(); time.Sleep(200 * time.Microsecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", limit(), what)
		}
	}
}

// batch makes a batch for n keys "prefix-0"... with values of size bytes, all of it
// in one block of the arena.
func batch(t testing.TB, a *arena.Arena, op kv.Op, ticket uint64, n, size int, prefix string) *kv.Batch {
	t.Helper()
	var text []byte
	b := &kv.Batch{Ticket: ticket, Op: op}
	for i := range n {
		text = fmt.Appendf(text, "%s-%d", prefix, i)
		b.Ends = append(b.Ends, uint32(len(text)))
	}
	round := func(n int) int { return (n + 63) &^ 63 }
	scratch := kv.ScratchBase + n*kv.ScratchPerKey
	moves := op == kv.OpGet || op == kv.OpSet
	need := kv.ErrBlockSize + round(scratch) + round(n) + round(len(text))
	if moves {
		need += n * round(size)
	}
	block, err := a.Alloc(need)
	require.NoError(t, err)
	t.Cleanup(block.Release)
	mem := block.Bytes()
	cut := func(n int) []byte {
		p := mem[:n:n]
		mem = mem[min(round(n), len(mem)):]
		return p
	}
	b.Err, b.Scratch, b.Status, b.Keys = cut(kv.ErrBlockSize), cut(scratch), cut(n), cut(len(text))
	copy(b.Keys, text)
	if moves {
		for range n {
			b.Bufs = append(b.Bufs, cut(size))
		}
	}
	reset(b)
	return b
}

func reset(b *kv.Batch) {
	for i := range b.Status {
		b.Status[i] = kv.StatusUnset
	}
	b.Err.Reset()
}

// next waits for one completion.
func next(t testing.TB, c *worker.Connector) kv.Completion {
	t.Helper()
	var done [1]kv.Completion
	for deadline := time.Now().Add(limit()); time.Now().Before(deadline); {
		n, err := c.Drain(done[:])
		require.NoError(t, err)
		if n == 1 {
			return done[0]
		}
		fds := []unix.PollFd{{Fd: int32(c.EventFD()), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, 1000); err != nil && err != unix.EINTR {
			require.NoError(t, err)
		}
	}
	t.Fatalf("no completion within %v", limit())
	return kv.Completion{}
}

// run submits a batch and waits for its completion.
func run(t testing.TB, c *worker.Connector, b *kv.Batch) kv.Completion {
	t.Helper()
	require.NoError(t, c.Submit(b))
	done := next(t, c)
	require.Equal(t, b.Ticket, done.Ticket)
	return done
}

func fill(bufs []kv.Buffer, seed byte) {
	for i, buf := range bufs {
		for j := range buf {
			buf[j] = seed + byte(i) + byte(j>>3)
		}
	}
}

func statuses(n int, status byte) []byte {
	out := make([]byte, n)
	for i := range out {
		out[i] = status
	}
	return out
}

func monotonic() uint64 { return eventfd.MonotonicNS() }

// soak returns how often to repeat: SIXCALL_SOAK times, or n.
func soak(t testing.TB, n int) int {
	if text := os.Getenv("SIXCALL_SOAK"); text != "" {
		var err error
		n, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	return n
}

func itoa(n int) string { return strconv.Itoa(n) }
