//go:build linux && (amd64 || arm64)

package worker

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is a running worker program and its process group.
type process struct {
	cmd *exec.Cmd
	pid int // and process group

	mu     sync.Mutex // guards reaped
	reaped bool       // the pid may be somebody else's

	// ended is closed when the program has ended; exit is set by then.
	ended chan struct{}
	exit  exit
	// buried is closed when no member of its group lives and it was reaped: its
	// memory is nobody's but ours.
	buried chan struct{}
}

// exit is how a process ended.
type exit struct {
	signal unix.Signal // 0 = it exited
	code   int         // -1 with a signal
	core   bool
}

// startProcess starts cmd in a process group of its own. The kernel kills it when
// this program dies.
func startProcess(cmd *exec.Cmd, user, group uint32) (*process, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if user != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: user, Gid: group}
	}
	p := &process{cmd: cmd, ended: make(chan struct{}), buried: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The death signal is sent when the thread that started the process ends:
		// this one stays as long as the process.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err == nil {
			p.pid = cmd.Process.Pid
		}
		started <- err
		if err == nil {
			p.bury()
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// bury waits for the end of the process and of its group. While the process is not
// reaped its number, and so that of the group, is nobody else's.
func (p *process) bury() {
	var info unix.Siginfo
	for {
		err := unix.Waitid(unix.P_PID, p.pid, &info, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	p.exit = exitOf(&info)
	close(p.ended)
	for pause := 100 * time.Microsecond; ; pause = min(2*pause, 100*time.Millisecond) {
		p.kill()
		if !groupLives(p.pid) {
			break
		}
		time.Sleep(pause) // nothing reports the end of a process that is not ours
	}
	p.mu.Lock()
	p.reaped = true
	_ = p.cmd.Wait() // reaps; how it ended is known
	p.mu.Unlock()
	close(p.buried)
}

// exitOf reads what waitid reported.
func exitOf(info *unix.Siginfo) exit {
	const exited, dumped = 1, 3 // CLD_
	status := childStatus(info)
	if info.Code == exited {
		return exit{code: status}
	}
	return exit{signal: unix.Signal(status), code: -1, core: info.Code == dumped}
}

// kill ends the whole group at once. It does nothing when the process was reaped.
func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reaped {
		_ = unix.Kill(-p.pid, unix.SIGKILL)
	}
}

// groupLives reports whether a process of the group runs; zombies do not.
func groupLives(group int) bool {
	proc, err := os.Open("/proc")
	if err != nil {
		return false // no /proc: the group was killed, and that is all we can do
	}
	defer proc.Close()
	want := []byte(strconv.Itoa(group))
	for {
		names, err := proc.Readdirnames(256)
		for _, name := range names {
			if name[0] < '1' || name[0] > '9' {
				continue
			}
			stat, err := os.ReadFile("/proc/" + name + "/stat")
			if err != nil {
				continue
			}
			// "pid (comm) state ppid pgrp ...": comm may hold anything.
			i := bytes.LastIndexByte(stat, ')')
			if i < 0 {
				continue
			}
			fields := bytes.Fields(stat[i+1:])
			if len(fields) > 2 && bytes.Equal(fields[2], want) && fields[0][0] != 'Z' && fields[0][0] != 'X' {
				return true
			}
		}
		if err != nil {
			return false
		}
	}
}

// privateMemory returns the RssAnon of a process in bytes, 0 when it is not known.
func privateMemory(pid int) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, found := bytes.Cut(status, []byte("\nRssAnon:"))
	if !found {
		return 0
	}
	line, _, _ := bytes.Cut(rest, []byte("kB"))
	kib, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 10, 64)
	if err != nil {
		return 0
	}
	return kib << 10
}

func (e exit) String() string {
	switch {
	case e.signal != 0 && e.core:
		return "was ended by " + signalName(e.signal) + " (core dumped)"
	case e.signal != 0:
		return "was ended by " + signalName(e.signal)
	}
	if why := exitCodes[e.code]; why != "" {
		return fmt.Sprintf("exited with code %d (%s)", e.code, why)
	}
	return fmt.Sprintf("exited with code %d", e.code)
}

// exitCodes are those of sixcall-worker.
var exitCodes = map[int]string{
	2: "wrong arguments",
	3: "it could not make sense of what this program sent",
	4: "it thinks that this program is gone",
	5: "the library broke its contract",
	6: "the library called exit",
}

func signalName(s unix.Signal) string {
	if name := unix.SignalName(s); name != "" {
		return name
	}
	return fmt.Sprintf("signal %d", int(s))
}
