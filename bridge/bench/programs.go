package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The programs that are compared, the yardstick first.
const (
	plain    = "c++"      // sixcall-driver
	ctx      = "context"  // the bridge's context face
	events   = "events"   // its event-fd face
	isolated = "isolated" // the context face, the library in a worker
	peer     = "lmcache"  // LMCache's NativeConnectorL2Adapter
)

var programs = []string{plain, ctx, events, isolated, peer}

// roundLimit is how long one round may take, fill included.
const roundLimit = 2 * time.Minute

// round runs one round of a program.
func (s *settings) round(program string, c connector, placement string, w workload, seconds float64) (result, error) {
	params := c.params(placement)
	if program == peer {
		return s.peerRound(c, placement, params, w, seconds)
	}
	args := []string{"--lib", c.library, "--params", params, "--op", w.Op, "--batch", fmt.Sprint(w.Batch),
		"--value-bytes", fmt.Sprint(max(w.ValueBytes, 1)), "--depth", fmt.Sprint(w.Depth), "--seconds", fmt.Sprint(seconds)}
	argv := []string{s.driver}
	if program != plain {
		self, err := os.Executable()
		if err != nil {
			return result{}, err
		}
		argv = []string{self, "--face", program, "--adapters", fmt.Sprint(max(w.Adapters, 1))}
		if w.Busy {
			argv = append(argv, "--busy")
		}
	} else if w.Busy || w.Adapters > 1 {
		return result{}, errors.New("sixcall-driver has one adapter and no busy thread")
	} else if c.library == s.build+"/libsixcall_null.so" {
		argv = append(argv, "--verify", "0")
	}
	cmd := pinned(placement, append(argv, args...))
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		return result{}, err
	}
	if placement == cross {
		go crossThreads(cmd.Process.Pid)
	}
	timer := time.AfterFunc(roundLimit, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	if err := cmd.Wait(); err != nil {
		return result{}, fmt.Errorf("%w: %s", err, strings.TrimSpace(stderr.String()))
	}
	var r result
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		return result{}, fmt.Errorf("%q: %w", stdout.String(), err)
	}
	return r, nil
}

// pinned is a command on the CPUs of a placement.
func pinned(placement string, argv []string) *exec.Cmd {
	if placement == same || placement == cross {
		argv = append([]string{"taskset", "-c", "0"}, argv...)
	}
	return exec.Command(argv[0], argv[1:]...)
}

// crossThreads moves the connector's threads of a process, and a worker that it
// started, to CPU 1. They appear while the process opens its connector, which it
// does before it warms up.
func crossThreads(pid int) {
	var other unix.CPUSet
	other.Set(1)
	for range 60 {
		for _, task := range glob("/proc/%d/task/*", pid) {
			tid, _ := strconv.Atoi(filepath.Base(task))
			if name, _ := os.ReadFile(task + "/comm"); strings.HasPrefix(string(name), "sixcall:") {
				_ = unix.SchedSetaffinity(tid, &other)
			}
			children, _ := os.ReadFile(task + "/children")
			for _, child := range strings.Fields(string(children)) {
				for _, task := range glob("/proc/%s/task/*", child) {
					tid, _ := strconv.Atoi(filepath.Base(task))
					_ = unix.SchedSetaffinity(tid, &other)
				}
			}
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func glob(format string, args ...any) []string {
	found, _ := filepath.Glob(fmt.Sprintf(format, args...)) // only a bad pattern is an error
	return found
}

// lmcache is a running peer.py.
type lmcache struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// peerRound asks the peer of a placement, which is started when it is first needed
// and stays: importing LMCache takes longer than a round.
func (s *settings) peerRound(c connector, placement, params string, w workload, seconds float64) (result, error) {
	p := s.peers[placement]
	if p == nil {
		cmd := pinned(placement, []string{s.python, s.peer})
		cmd.Stderr = os.Stderr
		in, err := cmd.StdinPipe()
		if err != nil {
			return result{}, err
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			return result{}, err
		}
		if err := cmd.Start(); err != nil {
			return result{}, err
		}
		p = &lmcache{cmd, in, bufio.NewReader(out)}
		s.peers[placement] = p
	}
	request, err := json.Marshal(map[string]any{"lib": c.library, "params": params, "op": w.Op, "batch": w.Batch,
		"value-bytes": max(w.ValueBytes, 1), "depth": w.Depth, "seconds": seconds, "busy": w.Busy})
	if err != nil {
		return result{}, err
	}
	if _, err := fmt.Fprintf(p.in, "%s\n", request); err != nil {
		return result{}, err
	}
	if placement == cross {
		go crossThreads(p.cmd.Process.Pid)
	}
	timer := time.AfterFunc(roundLimit, func() { _ = p.cmd.Process.Kill() })
	defer timer.Stop()
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		return result{}, fmt.Errorf("peer.py ended: %w", err)
	}
	var r result
	if err := json.Unmarshal(line, &r); err != nil {
		return result{}, fmt.Errorf("%q: %w", line, err)
	}
	if r.Error != "" {
		return result{}, errors.New(r.Error)
	}
	return r, nil
}

// stop ends what the run has started.
func (s *settings) stop() {
	for _, p := range s.peers {
		_ = p.in.Close()
		_ = p.cmd.Wait()
	}
	for _, f := range s.atEnd {
		f()
	}
}

// folder makes a folder on tmpfs for the connector fs.
func (s *settings) folder() (string, error) {
	folder, err := os.MkdirTemp("/dev/shm", "sixcall-bench-")
	if err != nil {
		return "", err
	}
	s.atEnd = append(s.atEnd, func() { _ = os.RemoveAll(folder) })
	return folder, nil
}

// redis starts a server on a free port of the loopback.
func (s *settings) redis() (port int, err error) {
	for range 20 {
		port = 20000 + int(time.Now().UnixNano()/1000%20000)
		cmd := exec.Command("redis-server", "--bind", "127.0.0.1", "--port", fmt.Sprint(port), "--save", "", "--appendonly", "no")
		if err = cmd.Start(); err != nil {
			return 0, fmt.Errorf("%w; apt-get install redis-server", err)
		}
		ended := make(chan struct{})
		go func() { _ = cmd.Wait(); close(ended) }()
		for range 500 {
			if _, err = exec.Command("redis-cli", "-p", fmt.Sprint(port), "ping").Output(); err == nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		select {
		case <-ended: // somebody else has the port
			continue
		default:
		}
		s.atEnd = append(s.atEnd, func() { _ = cmd.Process.Kill(); <-ended })
		return port, nil
	}
	return 0, fmt.Errorf("redis-server did not start: %w", err)
}
