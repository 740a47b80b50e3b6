package bridge

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// BreakerOptions configures the circuit breakers, one per class of task. After
// Failures tasks in a row that failed or got no answer, a class is open: its
// tasks are answered at once, as a miss or a dropped store, and nothing waits.
// After a cooldown one task is let through; its end closes the breaker, or
// opens it again for twice as long.
type BreakerOptions struct {
	// Failures in a row that open a breaker. Default 5; negative turns the
	// breakers off.
	Failures int
	// Cooldown is the first pause. Default 1s.
	Cooldown time.Duration
	// MaxCooldown bounds the doubling. Default 60s.
	MaxCooldown time.Duration
}

func (o BreakerOptions) validate() error {
	var errs []error
	if o.Cooldown < 0 {
		errs = append(errs, fmt.Errorf("Breaker.Cooldown is %v, want more than 0, or 0 for the default", o.Cooldown))
	}
	if o.MaxCooldown < 0 {
		errs = append(errs, fmt.Errorf("Breaker.MaxCooldown is %v, want more than 0, or 0 for the default", o.MaxCooldown))
	}
	return errors.Join(errs...)
}

func (o BreakerOptions) withDefaults() BreakerOptions {
	if o.Failures == 0 {
		o.Failures = 5
	}
	if o.Cooldown == 0 {
		o.Cooldown = time.Second
	}
	if o.MaxCooldown == 0 {
		o.MaxCooldown = time.Minute
	}
	o.MaxCooldown = max(o.MaxCooldown, o.Cooldown)
	return o
}

// The states of a breaker.
const (
	breakerClosed   int32 = iota // all tasks pass
	breakerOpen                  // none does until retryAt
	breakerHalfOpen              // one is on its way to find out
)

// breaker guards one class of task. A task that passes a closed breaker costs
// one atomic load; its good end costs another.
type breaker struct {
	opts  BreakerOptions
	state atomic.Int32
	row   atomic.Int32 // failures in a row

	mu       sync.Mutex // guards what follows, and every change of state
	retryAt  int64      // on the bridge's clock
	cooldown time.Duration
	reason   string
}

// allow reports whether a task may pass, and whether it is the one that tries.
func (k *breaker) allow(now int64) (pass, trial bool) {
	if k.state.Load() == breakerClosed {
		return true, false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.state.Load() == breakerClosed:
		return true, false
	case k.state.Load() == breakerOpen && now >= k.retryAt:
		k.state.Store(breakerHalfOpen)
		return true, true
	}
	return false, false
}

// due reports whether an open breaker waits for a trial.
func (k *breaker) due(now int64) bool {
	if k.state.Load() != breakerOpen {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state.Load() == breakerOpen && now >= k.retryAt
}

// success notes a good end and returns whether it closed the breaker.
func (k *breaker) success(trial bool) bool {
	if k.row.Load() != 0 {
		k.row.Store(0)
	}
	if !trial {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cooldown, k.reason = 0, ""
	return k.state.Swap(breakerClosed) != breakerClosed
}

// failure notes a bad end and returns whether it opened the breaker.
func (k *breaker) failure(trial bool, now int64, reason string) bool {
	if k.opts.Failures < 0 {
		return false
	}
	row := k.row.Add(1)
	if !trial && int(row) < k.opts.Failures {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.state.Load() == breakerOpen || k.state.Load() == breakerHalfOpen && !trial {
		return false
	}
	k.cooldown = min(max(2*k.cooldown, k.opts.Cooldown), k.opts.MaxCooldown)
	k.retryAt = now + int64(k.cooldown)
	k.reason = reason
	k.state.Store(breakerOpen)
	return true
}

// giveUp undoes allow for a trial that was never submitted.
func (k *breaker) giveUp(now int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.state.Load() == breakerHalfOpen {
		k.retryAt = now
		k.state.Store(breakerOpen)
	}
}

func (k *breaker) why() (open bool, reason string) {
	if k.state.Load() == breakerClosed {
		return false, ""
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return true, k.reason
}
