// Package servers starts real storage servers for tests.
//
// Every server listens on loopback, on a free port, in a process group of its own
// that dies with the test program and is gone, reaped, when the test ends.
//
// A machine without a server's package skips the test with the reason. With
// SIXCALL_REQUIRE=1, as in `make test`, it fails instead.
package servers

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Require ends the test because something that it needs is not there: skipped, or
// failed when the run must be complete.
func Require(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("SIXCALL_REQUIRE") != "" {
		t.Fatalf("SIXCALL_REQUIRE is set and "+format, args...)
	}
	t.Skipf(format, args...)
}

// Connector returns the path of a bundled connector's library, or ends the test as
// [Require] does.
func Connector(t testing.TB, name string) string {
	t.Helper()
	for _, dir := range filepath.SplitList(os.Getenv("SIXCALL_CONNECTOR_PATH")) {
		path := filepath.Join(dir, "libsixcall_"+name+".so")
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	Require(t, "libsixcall_%s.so is not in $SIXCALL_CONNECTOR_PATH; `make cpp` builds it", name)
	return ""
}

// Program returns the path of a program, or ends the test as [Require] does.
func Program(t testing.TB, name, debianPackage string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Require(t, "%s is not installed (Debian: %s)", name, debianPackage)
	}
	return path
}

// Deps returns the folder with the packages of scripts/deps.d/name.txt, installing
// them at the first call, or ends the test as [Require] does.
func Deps(t testing.TB, name string) string {
	t.Helper()
	cmd := exec.Command(filepath.Join(root(), "scripts", "deps"), name)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		Require(t, "the packages of scripts/deps.d/%s.txt cannot be installed: %v\n%s", name, err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// root is the folder of the source tree.
func root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// FreePort returns a TCP port on 127.0.0.1 that nobody listened on a moment ago.
// Another process may take it first: starters try again with another one.
func FreePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// Process is a running program.
type Process struct {
	name string
	cmd  *exec.Cmd
	out  tail
	done chan struct{} // closed when it was reaped
}

// Start starts cmd in a process group of its own. The group is killed and reaped
// when the test ends, and killed by the kernel when the test program dies.
// What it prints is shown when the test fails.
func Start(t testing.TB, name string, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{name: name, cmd: cmd, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.out, &p.out
	cmd.WaitDelay = time.Second // a grandchild may hold the pipe
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL

	started := make(chan error)
	go func() {
		// The death signal is sent when the thread that started the child ends:
		// this one stays until the child has.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("%s printed:\n%s", name, p.out.String())
		}
	})
	return p
}

// Kill ends the whole group at once and returns when the process was reaped.
func (p *Process) Kill() { p.signal(syscall.SIGKILL) }

// Terminate asks the process to end and returns when it was reaped. One that has
// not ended after ten seconds is killed.
func (p *Process) Terminate() {
	select {
	case <-p.done:
		return
	default:
		_ = syscall.Kill(p.cmd.Process.Pid, syscall.SIGTERM)
	}
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
	}
	p.Kill()
}

// Stop freezes the process, Continue lets it go on.
func (p *Process) Stop()     { _ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGSTOP) }
func (p *Process) Continue() { _ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGCONT) }

// Done is closed when the process has ended and was reaped.
func (p *Process) Done() <-chan struct{} { return p.done }

// Pid returns the process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Output returns the end of what the process printed.
func (p *Process) Output() string { return p.out.String() }

func (p *Process) signal(sig syscall.Signal) {
	select {
	case <-p.done: // its id may be somebody else's by now
		return
	default:
		_ = syscall.Kill(-p.cmd.Process.Pid, sig)
		<-p.done
	}
}

// Await calls ready until it returns nil. The test fails when the process ends
// first, or when that takes more than a minute.
func (p *Process) Await(t testing.TB, ready func() error) {
	t.Helper()
	if err := p.TryAwait(ready); err != nil {
		t.Fatalf("%v; it printed:\n%s", err, p.out.String())
	}
}

// TryAwait is Await for a starter that tries again with another port.
func (p *Process) TryAwait(ready func() error) error {
	err := fmt.Errorf("was not asked")
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if err = ready(); err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended before it was ready: %v", p.name, p.cmd.ProcessState)
		case <-time.After(10 * time.Millisecond):
		}
	}
	return fmt.Errorf("%s is not ready after a minute: %w", p.name, err)
}

// Eventually calls f until it returns nil; the test fails when that takes longer
// than limit, which should be far more than it ever takes.
func Eventually(t testing.TB, limit time.Duration, f func() error) {
	t.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(5 * time.Millisecond) {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not after %v: %v", limit, err)
		}
	}
}

// tail keeps the last bytes that were written.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailBytes = 64 << 10

func (w *tail) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf = append(w.buf, p...)
	if extra := len(w.buf) - tailBytes; extra > 0 {
		w.buf = append(w.buf[:0], w.buf[extra:]...)
	}
	return len(p), nil
}

func (w *tail) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.buf)
}
