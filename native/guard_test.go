//go:build linux && (amd64 || arm64)

package native_test

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/native"
)

// What a child process learns from its parent.
const (
	childEnv   = "SIXCALL_TEST_CHILD"
	libraryEnv = "SIXCALL_TEST_LIBRARY"
)

// inChild runs the rest of the calling test in a process of its own and reports
// whether this is that process. The caller returns when it is not.
func inChild(t *testing.T) bool {
	t.Helper()
	if os.Getenv(childEnv) == t.Name() {
		return true
	}
	out, err := child(t, "")
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "--- PASS: "+t.Name())
	return false
}

// child runs the calling test again in a process of its own, and tells it of a library.
func child(t *testing.T, library string) ([]byte, error) {
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), childEnv+"="+t.Name(), buildsEnv+"="+buildCache.dir, libraryEnv+"="+library)
	return cmd.CombinedOutput()
}

var disturbances = []string{
	"the signal mask of the calling thread (SIGUSR2 blocked)",
	"the handler of SIGPIPE",
	"the handler of SIGURG",
}

// requireRuntimeWorks makes the runtime use its signals: it preempts a loop.
func requireRuntimeWorks(t *testing.T) {
	t.Helper()
	old := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(old)
	var stop atomic.Bool
	go func() {
		for !stop.Load() { // no call in it: only SIGURG ends its turn
		}
	}()
	start := time.Now()
	for range 5 {
		runtime.Gosched()
	}
	stop.Store(true)
	require.Less(t, time.Since(start), 5*time.Second, "without SIGURG it was 7 s")
}

func TestAHandlerThatAConstructorChangedIsPutBackAndNamed(t *testing.T) {
	if !inChild(t) {
		return
	}
	path := compile(t, "HANDLER_IN_CONSTRUCTOR")
	c := open(t, native.Options{Connector: path})
	require.Equal(t, disturbances, c.Report().Changed)
	require.Contains(t, c.Report().Warnings(), fmt.Sprintf("%q changed %s when it was loaded; all of it was put back", path, strings.Join(disturbances, ", ")))
	requireRuntimeWorks(t)

	report, err := native.Inspect(path, true)
	require.NoError(t, err)
	require.Equal(t, native.VerdictWarnings, report.Verdict)
	require.Equal(t, disturbances, report.Changed)
}

func TestAHandlerThatOpenChangedIsPutBackAndNamed(t *testing.T) {
	if !inChild(t) {
		return
	}
	for range 2 { // the second time it is already loaded
		c := open(t, native.Options{Connector: compile(t, "HANDLER_IN_OPEN")})
		require.Equal(t, disturbances, c.Report().Changed)
		require.Contains(t, strings.Join(c.Report().Warnings(), "; "), " when it was opened; all of it was put back")
	}
	requireRuntimeWorks(t)
}

func TestAHandlerThatAFailedOpenChangedIsInItsError(t *testing.T) {
	if !inChild(t) {
		return
	}
	_, err := native.Open(native.Options{Connector: compile(t, "HANDLER_IN_OPEN", "OPEN_FAILS=-5", `OPEN_TEXT="no disk"`)})
	require.ErrorContains(t, err, "no disk")
	require.ErrorContains(t, err, "changed "+strings.Join(disturbances, ", "))
	requireRuntimeWorks(t)
}

func TestSignalsThatTheProgramItselfHandlesStay(t *testing.T) {
	if !inChild(t) {
		return
	}
	got := make(chan os.Signal, 1)
	signal.Notify(got, syscall.SIGUSR1)
	c := open(t, native.Options{Connector: compile(t, "HANDLER_IN_OPEN")})
	require.Equal(t, disturbances, c.Report().Changed)
	require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGUSR1))
	select {
	case <-got:
	case <-time.After(5 * time.Second):
		t.Fatal("the handler of os/signal is gone")
	}
}

func TestACrashInACallNamesTheCall(t *testing.T) {
	if os.Getenv(childEnv) == t.Name() {
		c := open(t, native.Options{Connector: os.Getenv(libraryEnv)})
		_ = c.Submit(newBatch(t, kv.OpExists, 1, 1, 0))
		return
	}
	out, err := child(t, compile(t, "CRASH_IN_SUBMIT"))
	require.Error(t, err)
	require.Contains(t, string(out), "SIGSEGV")
	require.Contains(t, string(out), "native.(*Connector).Submit")
}
