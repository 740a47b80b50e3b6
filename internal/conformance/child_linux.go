package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// child is one run of a program that reports on file descriptor 3 and says what it
// does in the file on 4.
type child struct {
	args  []string
	env   []string // added to ours
	dir   string
	limit time.Duration
	// during, if set, is called in its own goroutine while the child runs; its
	// context ends with the child.
	during func(ctx context.Context)
	stdout io.Writer // default: kept with stderr
}

// outcome is how a child ended.
type outcome struct {
	lines   []reportLine
	state   string // the last call it announced
	output  string // the end of stdout and stderr
	status  syscall.WaitStatus
	expired bool // killed after the limit
	took    time.Duration
	err     error // it could not be started
}

// reportLine is one line of the probe.
type reportLine struct {
	Verdict Verdict            `json:"verdict"`
	Text    string             `json:"text"`
	Figures map[string]float64 `json:"figures"`
	Fault   string             `json:"fault"`
	Signal  int                `json:"signal"`
	Address string             `json:"address"`
	Table   *Table             `json:"table"`
	Step    uint64             `json:"step"` // of a random walk
	What    string             `json:"what"`
}

// stateBytes is the size of the file in which the probe says what it does.
const stateBytes = 4096

// run starts the child in a process group of its own and returns when it was reaped;
// nothing of its group is left then.
func (c child) run(ctx context.Context) outcome {
	started := time.Now()
	fail := func(err error) outcome { return outcome{err: err, took: time.Since(started)} }
	memfd, err := unix.MemfdCreate("sixcall-state", unix.MFD_CLOEXEC)
	if err != nil {
		return fail(fmt.Errorf("memfd: %w", err))
	}
	state := os.NewFile(uintptr(memfd), "state")
	defer state.Close()
	if err := state.Truncate(stateBytes); err != nil {
		return fail(err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		return fail(err)
	}
	defer read.Close()

	cmd := exec.Command(c.args[0], c.args[1:]...)
	cmd.Env = append(os.Environ(), c.env...)
	cmd.Dir = c.dir
	cmd.ExtraFiles = []*os.File{write, state} // 3 and 4
	var output tail
	cmd.Stdout, cmd.Stderr = &output, &output
	if c.stdout != nil {
		cmd.Stdout = c.stdout
	}
	cmd.WaitDelay = time.Second // a grandchild may hold the pipe
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}

	ready := make(chan error)
	ended := make(chan struct{})
	go func() {
		// The death signal is sent when the thread that started the child ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		ready <- err
		if err == nil {
			_ = cmd.Wait()
		}
		close(ended)
	}()
	err = <-ready
	write.Close()
	if err != nil {
		return fail(err)
	}
	kill := func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	during, stop := context.WithCancel(ctx)
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		if c.during != nil {
			c.during(during)
		}
	}()
	var report bytes.Buffer
	copied := make(chan struct{})
	go func() {
		_, _ = io.Copy(&report, io.LimitReader(read, 16<<20))
		close(copied)
	}()

	out := outcome{}
	timer := time.NewTimer(c.limit)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
		out.expired = true
		kill()
		<-ended
	case <-ctx.Done():
		kill()
		<-ended
		out.err = ctx.Err()
	}
	kill() // what it may have started; the group has our child's number until all are gone
	stop()
	<-finished
	_ = read.SetReadDeadline(time.Now().Add(time.Second))
	<-copied
	out.took = time.Since(started)
	out.output = output.String()
	if s, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok {
		out.status = s
	}
	var text [stateBytes]byte
	if _, err := state.ReadAt(text[:], 0); err == nil {
		out.state, _, _ = strings.Cut(string(text[:]), "\x00")
	}
	for line := range strings.Lines(report.String()) {
		var r reportLine
		if json.Unmarshal([]byte(line), &r) == nil {
			out.lines = append(out.lines, r)
		}
	}
	return out
}

// verdict turns the end of a child into a result.
func (o outcome) verdict(limit time.Duration) Result {
	r := Result{DurationMS: o.took.Milliseconds()}
	set := func(v Verdict, format string, args ...any) Result {
		r.Verdict, r.Text = v, fmt.Sprintf(format, args...)
		if v.Bad() || v == ToolError {
			r.Output = strings.TrimSpace(o.output)
		}
		return r
	}
	at := ""
	if o.state != "" {
		at = ", in: " + o.state
	}
	if o.err != nil {
		if errors.Is(o.err, context.Canceled) {
			return set(ToolError, "the run was interrupted")
		}
		return set(ToolError, "%v", o.err)
	}
	for _, line := range o.lines {
		if line.Fault != "" {
			return set(Fail, "the library %s%s", line.Fault, at)
		}
	}
	if report := sanitizerReport(o.output); report != "" {
		if strings.Contains(report, "LeakSanitizer") {
			return set(Leak, "%s", report)
		}
		return set(Fail, "%s", report)
	}
	for _, line := range o.lines {
		if line.Verdict != "" {
			r.Figures = line.Figures
			return set(line.Verdict, "%s", line.Text)
		}
	}
	switch {
	case o.expired:
		return set(Timeout, "no end after %v%s", limit.Round(time.Second), at)
	case o.status.Signaled():
		address := ""
		for _, line := range o.lines {
			if line.Signal != 0 && line.Address != "" {
				address = " at address " + line.Address
			}
		}
		return set(Crash, "killed by %s (signal %d)%s%s", unix.SignalName(o.status.Signal()), o.status.Signal(), address, at)
	case o.status.Exited():
		return set(Crash, "the process ended with exit status %d and no verdict%s", o.status.ExitStatus(), at)
	}
	return set(ToolError, "the process ended in an unknown way")
}

// sanitizerReport returns the first line of a sanitizer's report, or "".
func sanitizerReport(output string) string {
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if strings.Contains(line, "ERROR: AddressSanitizer") || strings.Contains(line, "ERROR: LeakSanitizer") ||
			strings.Contains(line, "WARNING: ThreadSanitizer") || strings.Contains(line, "runtime error: ") {
			_, text, found := strings.Cut(line, "==")
			if found {
				if _, rest, ok := strings.Cut(text, "=="); ok {
					text = rest
				}
				return text
			}
			return line
		}
	}
	return ""
}

// tail keeps the last bytes that were written.
type tail struct {
	buf   []byte
	first []byte
}

const tailBytes = 16 << 10

func (t *tail) Write(p []byte) (int, error) {
	if room := tailBytes/2 - len(t.first); room > 0 { // a sanitizer's first lines say most
		t.first = append(t.first, p[:min(room, len(p))]...)
		if len(p) <= room {
			return len(p), nil
		}
		t.buf = append(t.buf, p[room:]...)
	} else {
		t.buf = append(t.buf, p...)
	}
	if extra := len(t.buf) - tailBytes; extra > 0 {
		t.buf = append(t.buf[:0], t.buf[extra:]...)
	}
	return len(p), nil
}

func (t *tail) String() string { return string(t.first) + string(t.buf) }
