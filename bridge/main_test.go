package bridge_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge"
	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
)

// TestMain fails the package when tests leave descriptors or goroutines behind.
func TestMain(m *testing.M) {
	warmUpPoller()
	fds := openFDs()
	code := m.Run()
	// A goroutine that was waited for may take a moment to be gone.
	for i := 0; i < 10_000 && runtime.NumGoroutine() > 2; i++ {
		time.Sleep(time.Millisecond)
	}
	if code == 0 {
		if left := openFDs(); left > fds+int(leaked.Load()) {
			fmt.Printf("FAIL: %d descriptors before the tests, %d after\n", fds, left)
			code = 1
		}
		if n := runtime.NumGoroutine(); n > 2 {
			buf := make([]byte, 1<<16)
			fmt.Printf("FAIL: %d goroutines are left\n%s\n", n, buf[:runtime.Stack(buf, true)])
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

// leaked counts the arenas that tests of stuck connectors leave behind, which is
// their point; each has a descriptor.
var leaked atomic.Int32

func openFDs() int {
	links, _ := filepath.Glob("/proc/self/fd/*")
	return len(links)
}

// fixture is a bridge over a scripted connector.
type fixture struct {
	*bridge.Bridge
	conn *bridgetest.Connector
}

func newFixture(t *testing.T, opts bridge.Options, setup ...func(*bridgetest.Connector)) fixture {
	t.Helper()
	conn := bridgetest.NewConnector(t)
	for _, f := range setup {
		f(conn)
	}
	if opts.CloseGrace == 0 {
		opts.CloseGrace = 50 * time.Millisecond
	}
	b, err := bridge.New(conn, opts)
	require.NoError(t, err)
	t.Cleanup(func() { _ = b.Close() })
	return fixture{b, conn}
}

// collector is a sink that keeps every answer.
type collector struct{ results chan bridge.Result }

func newCollector() *collector { return &collector{make(chan bridge.Result, 1024)} }

func (c *collector) Done(r *bridge.Result) { c.results <- *r }

// next waits for the next answer.
func (c *collector) next(t *testing.T) bridge.Result {
	t.Helper()
	select {
	case r := <-c.results:
		return r
	case <-time.After(30 * time.Second):
		t.Fatal("no answer within 30 s")
		return bridge.Result{}
	}
}

// none asserts that no further answer is there.
func (c *collector) none(t *testing.T) {
	t.Helper()
	select {
	case r := <-c.results:
		t.Fatalf("a second answer: %+v", r)
	default:
	}
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	require.Eventually(t, cond, 30*time.Second, time.Millisecond, what)
}

func text(bits kv.Bitmap) string { return bits.String() }

func newArena(t *testing.T, opts arena.Options) *arena.Arena {
	t.Helper()
	a, err := arena.New(opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, a.Close()) })
	return a
}
