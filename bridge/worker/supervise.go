//go:build linux && (amd64 || arm64)

package worker

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/sixcall/sixcall/bridge/kv"
)

// adoption asks the supervisor to take a worker over.
type adoption struct {
	l    *life
	with launch
	done chan error
}

// supervise watches the worker that serves and starts the next one. It belongs to
// one goroutine, which ends with Close.
func (c *Connector) supervise(l *life) {
	defer close(c.supervised)
	l.readyAt = time.Now()
	r := &revival{c: c}
	for {
		select {
		case <-c.ctx.Done():
			return
		case a := <-c.adopting:
			l = c.takeOver(l, a)
		case <-l.down:
			c.lost(l)
			r.ended(time.Since(l.readyAt))
			if l = r.next(l); l == nil {
				return
			}
		}
	}
}

// takeOver switches from old, which may be nil, to the worker of a Replace. It
// returns the one that serves.
func (c *Connector) takeOver(old *life, a adoption) *life {
	err := c.adopt(a.l)
	a.done <- err
	if err != nil {
		return old
	}
	c.with.Store(&a.with)
	a.l.readyAt = time.Now()
	c.replaces.Add(1)
	c.setState(Ready, "")
	if old != nil {
		c.retiring.Go(func() { c.retire(old) })
	}
	return a.l
}

// lost notes the end of the worker that served.
func (c *Connector) lost(l *life) {
	c.current.CompareAndSwap(l, nil)
	c.status.ended(&l.ending)
	c.why.Store(&kv.Error{Op: "submit", Connector: c.name(), Code: kv.Unavailable, Err: &l.ending})
}

// revival decides when the next worker is started.
type revival struct {
	c        *Connector
	failures int         // in a row
	recent   []time.Time // ends within the last minute
}

// ended notes an end after serving for a time, 0 for a start that failed.
func (r *revival) ended(served time.Duration) {
	if served > r.c.opts.Restart.Max {
		r.failures = 0
	}
	now := time.Now()
	for len(r.recent) > 0 && now.Sub(r.recent[0]) > time.Minute {
		r.recent = r.recent[1:]
	}
	r.recent = append(r.recent, now)
}

// delay returns how long to wait before the next attempt, and in which state.
func (r *revival) delay() (time.Duration, State) {
	opts := &r.c.opts.Restart
	d := opts.Initial
	for range r.failures {
		if d = 2 * d; d >= opts.Max {
			d = opts.Max
			break
		}
	}
	r.failures++
	state := Restarting
	if len(r.recent) > opts.MaxPerMinute {
		d, state = opts.Max, Dead
	}
	return time.Duration(float64(d) * (1 + opts.Jitter*(2*rand.Float64()-1))), state
}

// next starts workers until one serves, and returns it; nil after Close. old is the
// one that ended.
func (r *revival) next(old *life) *life {
	c := r.c
	reason := old.ending.text
	// Its memory is reused by the next one's batches only when it is gone. One that
	// cannot be killed keeps what it has.
	select {
	case <-old.gone:
	case <-time.After(buryLimit):
		reason += fmt.Sprintf("; its process %d cannot be killed", old.proc.pid)
	case <-c.ctx.Done():
		return nil
	}
	for {
		pause, state := r.delay()
		text := fmt.Sprintf("%s; the next attempt is in %v", reason, pause.Round(time.Millisecond))
		if state == Dead {
			text = fmt.Sprintf("%s; %d workers ended within a minute, the next attempt is in %v", reason, len(r.recent), pause.Round(time.Millisecond))
		}
		c.why.Store(&kv.Error{Op: "submit", Connector: c.name(), Code: kv.Unavailable, Err: errors.New(text)})
		c.setState(state, text)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case a := <-c.adopting:
			timer.Stop()
			if l := c.takeOver(nil, a); l != nil {
				return l
			}
			continue
		case <-c.ctx.Done():
			timer.Stop()
			return nil
		}
		c.setState(Starting, reason)
		l, err := c.again()
		if err == nil {
			c.restarts.Add(1)
			l.readyAt = time.Now()
			c.setState(Ready, "")
			return l
		}
		if c.ctx.Err() != nil {
			return nil
		}
		reason = err.Error()
		c.status.startFailed(err)
		r.ended(0)
	}
}

// again starts a worker with the same configuration as the one before.
func (c *Connector) again() (*life, error) {
	with := *c.with.Load()
	id, err := identify(with.library)
	if err != nil {
		return nil, c.fail("open", kv.Config, "%v", err)
	}
	if id != with.identity {
		if c.opts.Check == nil {
			return nil, c.fail("open", kv.Config, "%q has changed since it was checked; a replacement loads the new version", with.library)
		}
		if err := c.opts.Check(with.library); err != nil {
			return nil, c.fail("open", kv.Config, "%q has changed: %w", with.library, err)
		}
		with.identity = id
	}
	l, err := c.start(c.ctx, with)
	if err != nil {
		return nil, err
	}
	if err = c.fits(l.info); err == nil {
		err = c.adopt(l)
	}
	if err != nil {
		c.discard(l, "it cannot take over")
		return nil, err
	}
	c.with.Store(&with)
	return l, nil
}

// discard ends a worker that never served.
func (c *Connector) discard(l *life, why string) {
	l.kill(ReasonHost, "%s", why)
	if l.await(buryLimit) {
		c.draining.Lock()
		l.free()
		c.draining.Unlock()
	}
}

// fits reports whether a worker can do what Info says.
func (c *Connector) fits(info kv.Info) error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if missing := c.info.Caps &^ info.Caps; missing != 0 {
		bad("it lacks the capabilities %v", missing.Names())
	}
	if info.Name != c.info.Name {
		bad("its name is %q, want %q", info.Name, c.info.Name)
	}
	was, is := &c.info.Limits, &info.Limits
	for _, f := range []struct {
		name    string
		was, is int64
	}{
		{"max_batch", int64(was.MaxBatch), int64(is.MaxBatch)}, {"max_key_len", int64(was.MaxKeyLen), int64(is.MaxKeyLen)},
		{"max_value_len", was.MaxValueLen, is.MaxValueLen},
	} {
		if f.is != 0 && (f.was == 0 || f.is < f.was) {
			bad("its %s is %d, want %s", f.name, f.is, atLeast(f.was))
		}
	}
	if is.BufAlign > max(was.BufAlign, 1) {
		bad("its buf_align is %d, want at most %d", is.BufAlign, max(was.BufAlign, 1))
	}
	if len(errs) == 0 {
		return nil
	}
	return c.fail("open", kv.Config, "the library can do less than the one before: %w", errors.Join(errs...))
}

func atLeast(limit int64) string {
	if limit == 0 {
		return "no limit"
	}
	return fmt.Sprintf("at least %d", limit)
}
