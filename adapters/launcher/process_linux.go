package launcher

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ownGroup puts a child into a process group of its own.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// process is one run of a plugin. Its first process is kept as a zombie until end:
// so long nobody else can get the number of its group.
type process struct {
	pid    int
	guard  *guard
	exited chan struct{} // closed when the first process has exited
	reap   chan struct{} // closed to have it reaped
	reaped chan struct{}
	exit   int // as a shell shows it; valid once exited
	pipe   *os.File
	drain  chan struct{} // closed when the pipe was read to its end
}

// startProcess starts command in a group of its own. output makes what takes its
// output and runs on the reader's goroutine.
func startProcess(command, env []string, g *guard, output func() *splitter) (*process, error) {
	cmd, open, err := gated(command)
	if err != nil {
		return nil, err
	}
	defer open.Close()
	defer cmd.ExtraFiles[0].Close()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.Stdin = env, w, w, os.Stdin
	cmd.SysProcAttr = ownGroup()
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	p := &process{
		guard: g, pipe: r, exited: make(chan struct{}), reap: make(chan struct{}), reaped: make(chan struct{}), drain: make(chan struct{}),
	}
	started := make(chan error)
	go func() {
		// The death signal is sent when the thread that started the child ends: this
		// one stays until the child has.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		w.Close()
		if err == nil {
			p.pid = cmd.Process.Pid
		}
		started <- err
		if err != nil {
			return
		}
		p.watch(cmd.Process)
	}()
	if err := <-started; err != nil {
		r.Close()
		return nil, err
	}
	g.tell("add", p.pid)
	_, _ = open.WriteString("go\n")
	go func() {
		defer close(p.drain)
		lines := output()
		_, _ = io.Copy(lines, r)
		lines.end()
	}()
	return p, nil
}

// watch waits for the exit without reaping, then reaps when it may.
func (p *process) watch(first *os.Process) {
	var info unix.Siginfo
	for {
		err := unix.Waitid(unix.P_PID, p.pid, &info, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	p.exit = exitCode(&info)
	close(p.exited)
	<-p.reap
	_, _ = first.Wait()
	close(p.reaped)
}

// exitCode reads the kernel's answer: code, or 128 plus the signal.
func exitCode(info *unix.Siginfo) int {
	// Package unix has no names for what follows the padding: pid, uid, status,
	// 32 bits each.
	const statusAt, exitedNormally = 8, 1 // bytes; CLD_EXITED
	rest := reflect.ValueOf(info).Elem().Field(4)
	status := 0
	for i := range 4 {
		status |= int(rest.Index(statusAt+i).Uint()) << (8 * i)
	}
	if info.Code != exitedNormally {
		status += 128
	}
	return status
}

// code is valid once exited is closed.
func (p *process) code() int {
	select {
	case <-p.exited:
		return p.exit
	default:
		return -1
	}
}

// alone reports whether nothing of the group runs any more.
func (p *process) alone() bool { return len(members(p.pid)) == 0 }

// end terminates what is left of the group, kills it after grace, and returns when
// all of it is gone.
func (p *process) end(grace time.Duration) {
	if !p.gone() && grace > 0 {
		_ = syscall.Kill(-p.pid, syscall.SIGTERM)
		p.wait(grace)
	}
	for limit := time.Now().Add(10 * time.Second); !p.gone() && time.Now().Before(limit); {
		_ = syscall.Kill(-p.pid, syscall.SIGKILL)
		p.wait(time.Second)
	}
	close(p.reap)
	select {
	case <-p.reaped:
	case <-time.After(time.Second): // it hangs in the kernel; the watcher waits on
	}
	p.guard.tell("del", p.pid)
	// Somebody who left the group may hold the pipe open: the rest is not waited for.
	_ = p.pipe.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	<-p.drain
	_ = p.pipe.Close()
}

// gone reports whether the whole group has ended, the first process included.
func (p *process) gone() bool {
	select {
	case <-p.exited:
		return p.alone()
	default:
		return false
	}
}

// wait returns when the group has ended, or after limit.
func (p *process) wait(limit time.Duration) {
	for end := time.Now().Add(limit); time.Now().Before(end) && !p.gone(); {
		select {
		case <-p.exited:
			time.Sleep(5 * time.Millisecond) // the others tell nobody
		case <-time.After(time.Until(end)):
		}
	}
}

// members lists the processes of a group that have not ended.
func members(group int) (pids []int) {
	entries, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil
	}
	for _, path := range entries {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has just ended
		}
		// The second field is a name in parentheses that may hold anything.
		fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
		if len(fields) < 3 || fields[0][0] == 'Z' || fields[0][0] == 'X' {
			continue
		}
		if pgrp, err := strconv.Atoi(string(fields[2])); err == nil && pgrp == group {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			pids = append(pids, pid)
		}
	}
	return pids
}
