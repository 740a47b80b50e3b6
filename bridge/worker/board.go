//go:build linux && (amd64 || arm64)

package worker

import (
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"
)

// statusBoard holds what Status shows of the past.
type statusBoard struct {
	telling sync.Mutex // held across OnState, so that calls come one at a time

	mu     sync.Mutex // guards what follows
	state  State
	reason string
	since  time.Time
	last   ending
	some   bool // last is set
}

func (b *statusBoard) ended(e *ending) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last, b.some = *e, true
}

// startFailed notes a worker that did not come up.
func (b *statusBoard) startFailed(err error) {
	e := ending{reason: ReasonStart, exit: exit{code: -1}}
	var ended *ending
	if errors.As(err, &ended) {
		e = *ended
	}
	e.text = err.Error()
	b.ended(&e)
}

// setState changes the state and tells who wants to know.
func (c *Connector) setState(state State, reason string) {
	b := &c.status
	b.telling.Lock()
	defer b.telling.Unlock()
	b.mu.Lock()
	b.state, b.reason, b.since = state, reason, time.Now()
	b.mu.Unlock()
	log := c.opts.Logger.With(zap.String("connector", c.name()), zap.String("state", string(state)))
	switch state {
	case Restarting, Dead:
		log.Warn("worker: "+string(state), zap.String("reason", reason))
	case Ready:
		log.Info("worker: ready", zap.Int64("restarts", c.restarts.Load()))
	default:
		log.Debug("worker: " + string(state))
	}
	if c.opts.OnState != nil {
		c.opts.OnState(c.Status())
	}
}

// Status returns a snapshot. It does not block.
func (c *Connector) Status() Status {
	b := &c.status
	b.mu.Lock()
	s := Status{State: b.state, Reason: b.reason, Since: b.since}
	if b.some {
		s.LastReason, s.LastExitCode, s.LastText = b.last.reason, b.last.exit.code, b.last.text
		if b.last.exit.signal != 0 {
			s.LastSignal = signalName(b.last.exit.signal)
		}
	}
	b.mu.Unlock()
	s.Program, s.Library = c.program, c.opts.Library
	s.Restarts, s.Replaces = c.restarts.Load(), c.replaces.Load()
	s.LastLines, s.LostLines = c.output.last(keptLines), c.output.lost.Load()
	s.BouncedBatches, s.BouncedBytes, s.FailedBatches = c.bouncedBatches.Load(), c.bouncedBytes.Load(), c.failedBatches.Load()
	s.UnknownTickets, s.WrongOps = c.unknownTickets.Load(), c.wrongOps.Load()
	for _, l := range *c.lives.Load() {
		l.mu.Lock()
		s.InFlight += l.out
		l.mu.Unlock()
	}
	if l := c.current.Load(); l != nil {
		s.Pid, s.Version, s.Library = l.proc.pid, l.hello.version, l.library
		s.MappedBytes, s.RSSAnon = l.mapped.Load(), l.rss.Load()
		s.Changed, s.Warnings = l.changed, l.warnings
	}
	return s
}
