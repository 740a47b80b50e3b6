//go:build linux && (amd64 || arm64)

package worker

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sixcall/sixcall/bridge/kv"
)

// What a worker may take to open when Options.OpenTimeout is not set, and how much
// longer than that when it is.
const (
	openDefault = time.Minute
	openExtra   = 5 * time.Second
)

// launch is what a worker is started with.
type launch struct {
	library   string // absolute, symbolic links resolved
	identity  fileIdentity
	params    []byte
	className string
}

// start starts a worker, and has it load and open the library. The error is a
// kv.Error; nothing is left of a worker that failed.
func (c *Connector) start(ctx context.Context, with launch) (*life, error) {
	l, err := c.spawn(with)
	if err != nil {
		return nil, &kv.Error{Op: "start", Connector: c.name(), Code: kv.Unavailable, Err: err}
	}
	stop := context.AfterFunc(ctx, func() { l.kill(ReasonHost, "its start was cancelled") })
	err = l.begin(with)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err == nil {
		go l.watch()
		return l, nil
	}
	var known *kv.Error
	if !errors.As(err, &known) { // how it ended says more than what that broke here
		select {
		case <-l.down:
			err = &l.ending
		case <-time.After(time.Second):
		}
	}
	l.kill(ReasonHost, "it did not start")
	if !l.await(buryLimit) {
		err = fmt.Errorf("%w; its process %d cannot be killed", err, l.proc.pid)
	} else {
		l.free()
	}
	if cause := context.Cause(ctx); cause != nil {
		return nil, &kv.Error{Op: "open", Connector: c.name(), Code: kv.Cancelled, Err: cause}
	}
	return nil, l.explain(err)
}

// buryLimit is how long a killed worker may take to be gone before that is taken
// for impossible.
const buryLimit = 5 * time.Second

// explain makes a kv.Error of what ended a start.
func (l *life) explain(err error) error {
	var known *kv.Error
	if errors.As(err, &known) {
		return err
	}
	var end *ending
	if errors.As(err, &end) {
		err = end
		if lines := l.c.output.last(3); len(lines) > 0 {
			err = fmt.Errorf("%w; its last lines: %s", end, strings.Join(lines, " | "))
		}
	}
	return &kv.Error{Op: "open", Connector: l.c.name(), Code: kv.IO, Err: err}
}

// spawn starts the program.
func (c *Connector) spawn(with launch) (l *life, err error) {
	entries := 1 << bits.Len(uint(c.opts.MaxInFlight-1))
	fd, mem, err := newRingMemory(ringBytes(entries))
	if err != nil {
		return nil, err
	}
	l = &life{
		c: c, library: with.library, ringFD: fd, rings: newRing(mem, entries),
		slots: make([]slot, c.opts.MaxInFlight), unused: make([]uint32, c.opts.MaxInFlight),
		greeted: make(chan struct{}), down: make(chan struct{}), gone: make(chan struct{}),
	}
	for i := range l.unused {
		l.unused[i] = uint32(len(l.unused) - 1 - i)
	}
	l.space.Store(&space{})
	l.handles.Store(&[]handlePair{})
	l.setPhase("before it said hello")
	if l.wakeup, err = newSignal(); err == nil {
		err = l.run()
	}
	if err != nil {
		l.wakeup.close()
		_ = unix.Close(fd)
		_ = unix.Munmap(mem)
		return nil, err
	}
	return l, nil
}

// newRingMemory maps shared memory that nobody can shrink under us.
func newRingMemory(size int) (fd int, mem []byte, err error) {
	if fd, err = unix.MemfdCreate("sixcall-rings", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING); err != nil {
		return -1, nil, fmt.Errorf("memfd: %w", err)
	}
	if err = unix.Ftruncate(fd, int64(size)); err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL)
	}
	if err == nil {
		mem, err = unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, nil, fmt.Errorf("%d bytes of shared memory: %w", size, err)
	}
	return fd, mem, nil
}

// run starts the process and what reads from it.
func (l *life) run() error {
	c := l.c
	ctl, theirs, err := newControl()
	if err != nil {
		return err
	}
	ends := []*os.File{theirs} // the worker's
	defer func() {
		for _, f := range ends {
			_ = f.Close()
		}
	}()
	fail := func(err error) error {
		ctl.close()
		for _, p := range l.pipes {
			_ = p.Close()
		}
		return err
	}
	for range 2 {
		r, w, err := os.Pipe()
		if err != nil {
			return fail(err)
		}
		l.pipes, ends = append(l.pipes, r), append(ends, w)
	}
	args := append(append([]string{}, c.opts.Wrapper...), c.program)
	args = append(append(args, c.opts.Args...), "--control-fd", "3")
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), c.opts.Env...)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = ends[1], ends[2], append(ends[:1:1], c.opts.Files...)
	l.control = ctl
	if l.proc, err = startProcess(cmd, c.opts.User, c.opts.Group); err != nil {
		return fail(err)
	}
	for i, label := range []string{"stdout: ", "stderr: "} {
		level := []int{logInfoLevel, logWarnLevel}[i]
		l.readers.Go(func() { c.output.read(l.pipes[i], level, label, l.mask) })
	}
	go l.listen()
	go l.attend()
	return nil
}

// begin goes through the start of PROTOCOL.md.
func (l *life) begin(with launch) error {
	c := l.c
	defer func() { _ = unix.Close(l.ringFD) }()
	if err := l.awaitHello(); err != nil {
		return err
	}
	l.setPhase("while it loaded the library")
	level := int32(-1)
	if c.opts.Log != nil {
		level = logInfoLevel
	}
	if c.opts.LogDebug {
		level = logDebugLevel
	}
	reply, err := l.control.ask(c.opts.StartTimeout, request{
		kind: loadRequest{
			hostVersion: hostVersion(), library: with.library, identity: with.identity, logLevel: level,
			spinNS: uint32(c.opts.Spin), coreDumps: c.opts.CoreDumps, memoryLimit: uint64(c.opts.MemoryLimit), allowExec: c.opts.AllowExec,
			keepHandlers: c.opts.KeepHandlers,
		},
		fds: []int{l.ringFD, l.wakeup.num(), c.event.num()},
	})
	if err != nil {
		return l.refused("load", with.library, err, c.opts.StartTimeout)
	}
	library := reply.(loaded)
	if with.className != "" && with.className != library.name {
		return c.fail("open", kv.Config, "class_name is %q, but the library %q declares %q", with.className, with.library, library.name)
	}
	c.named(library.name)
	config, err := l.configure(with, library)
	if err != nil {
		return err
	}
	return l.open(config, library)
}

// awaitHello waits for the first message and compares versions.
func (l *life) awaitHello() error {
	c := l.c
	timer := time.NewTimer(c.opts.StartTimeout)
	defer timer.Stop()
	select {
	case <-l.greeted:
	case <-l.down:
		return &l.ending
	case <-timer.C:
		l.kill(ReasonHang, "it did not say hello within %v", c.opts.StartTimeout)
		return c.fail("start", kv.Timeout, "%q did not say hello within %v; is it sixcall-worker?", c.program, c.opts.StartTimeout)
	}
	if h := l.hello; h.major != protocolMajor {
		return c.fail("start", kv.Version, "%q (version %s) speaks protocol %d.%d, this program (version %s) speaks %d.%d; install the worker of the same release",
			c.program, h.version, h.major, h.minor, hostVersion(), protocolMajor, protocolMinor)
	}
	return nil
}
