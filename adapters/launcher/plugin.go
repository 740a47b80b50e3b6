package launcher

import (
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// plugin is one script and its present run.
type plugin struct {
	l       *Launcher
	path    string
	log     *zap.Logger
	dropped atomic.Int64
	quit    chan struct{} // closed by stop
	ended   chan struct{} // closed when run has returned

	mu       sync.Mutex // guards what follows
	state    State
	pid      int
	restarts int
	exitCode int
	err      error
}

func newPlugin(l *Launcher, path string) *plugin {
	return &plugin{
		l: l, path: path, exitCode: -1, quit: make(chan struct{}), ended: make(chan struct{}),
		log: l.opts.Logger.With(zap.String("plugin", filepath.Base(path))),
	}
}

func (p *plugin) snapshot() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Status{Path: p.path, State: p.state, Pid: p.pid, Restarts: p.restarts, ExitCode: p.exitCode, Dropped: p.dropped.Load()}
	if p.err != nil {
		s.Err = p.err.Error()
	}
	return s
}

func (p *plugin) set(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

// launch starts the first run and returns when it is under way, or has failed.
func (p *plugin) launch() {
	r, err := p.start()
	if err != nil {
		close(p.ended)
		return
	}
	go func() {
		defer close(p.ended)
		p.run(r)
	}()
}

// start begins one run.
func (p *plugin) start() (*process, error) {
	command, err := Command(p.path)
	var r *process
	if err == nil {
		r, err = startProcess(command, p.l.env, p.l.guard, p.output)
	}
	if err != nil {
		p.log.Error("the plugin cannot be started", zap.String("path", p.path), zap.Error(err))
		p.set(func() { p.state, p.pid, p.err = StateFailed, 0, err })
		return nil, err
	}
	p.log.Info("plugin started", zap.String("path", p.path), zap.Int("pid", r.pid))
	p.set(func() { p.state, p.pid, p.err = StateRunning, r.pid, nil })
	return r, nil
}

// run waits for runs to end and starts new ones, until stop or the last one.
func (p *plugin) run(r *process) {
	policy := p.l.opts.Restart
	pause := policy.Initial
	for {
		began := time.Now()
		select {
		case <-r.exited:
		case <-p.quit:
			r.end(p.l.opts.Grace)
			p.set(func() { p.state, p.pid, p.exitCode = StateStopped, 0, r.code() })
			return
		}
		code := r.code()
		p.log.Info("plugin exited", zap.Int("code", code))
		again := policy.Mode == RestartAlways || policy.Mode == RestartOnFailure && code != 0
		if policy.Limit > 0 && p.snapshot().Restarts >= policy.Limit {
			again = false
		}
		if !again {
			p.set(func() { p.state, p.pid, p.exitCode = StateExited, 0, code })
			// What it started may go on. It ends with the host at the latest.
			if r.alone() {
				r.end(0)
				return
			}
			<-p.quit
			r.end(p.l.opts.Grace)
			return
		}
		r.end(p.l.opts.Grace)
		if time.Since(began) > policy.Max {
			pause = policy.Initial
		}
		p.set(func() { p.state, p.pid, p.exitCode = StateRestarting, 0, code })
		for {
			select {
			case <-time.After(pause):
			case <-p.quit:
				p.set(func() { p.state = StateStopped })
				return
			}
			pause = min(2*pause, policy.Max)
			p.set(func() { p.restarts++ })
			var err error
			if r, err = p.start(); err == nil {
				break
			}
			if policy.Limit > 0 && p.snapshot().Restarts >= policy.Limit {
				return
			}
		}
	}
}

// output returns what takes the lines of a run. It is used by one goroutine.
func (p *plugin) output() *splitter {
	limit := newLimiter(p.l.opts.LinesPerSecond)
	return &splitter{line: func(text string) {
		ok, dropped := limit.pass(time.Now())
		if !ok {
			p.dropped.Add(1)
			return
		}
		if dropped > 0 {
			p.log.Warn("lines of the plugin were dropped", zap.Int("lines", dropped))
		}
		p.log.Info(fmt.Sprintf("[%s] %s", filepath.Base(p.path), text))
	}}
}

// stop ends the plugin.
func (p *plugin) stop() error {
	close(p.quit)
	<-p.ended
	return nil
}
