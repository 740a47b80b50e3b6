package bridge

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// The states of a bridge, in [Health].
const (
	stateReady    = "ready"    // all is well
	stateDegraded = "degraded" // the last task of a class failed
	stateOpen     = "open"     // a breaker is open: tasks of its class are answered at once
	stateDead     = "dead"     // completions cannot be drained
	stateClosed   = "closed"
)

// Health is the state of a bridge.
type Health struct {
	State  string // "ready", "degraded", "open", "dead" or "closed"
	Reason string // why it is not ready
	Since  time.Time
}

// Healthy reports whether tasks of every class reach the connector.
func (h Health) Healthy() bool { return h.State == stateReady || h.State == stateDegraded }

// health holds the states that no breaker knows. Safe for concurrent use; the
// zero value is ready.
type health struct {
	dead atomic.Bool
	mu   sync.Mutex // guards what follows
	now  Health     // ready, dead or closed
	seen Health     // what was last reported
}

func (h *health) set(state, reason string, log *zap.Logger) {
	h.mu.Lock()
	if h.now.State == stateClosed || h.now.State == state {
		h.mu.Unlock()
		return
	}
	h.now = Health{State: state, Reason: reason, Since: time.Now()}
	h.dead.Store(state == stateDead)
	h.mu.Unlock()
	log.Info("connector is "+state, zap.String("reason", reason))
}

// get is cheap while the connector is alive.
func (h *health) get() (state, reason string) {
	if !h.dead.Load() {
		return stateReady, ""
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now.State, h.now.Reason
}

// Health returns the present state: the worst that is known. Since is when that
// state was first seen by a call of Health or, for dead and closed, when it began.
func (b *Bridge) Health() Health {
	h := &b.health
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.now.State == stateDead || h.now.State == stateClosed {
		return h.now
	}
	state, reason := b.worstClass()
	switch {
	case h.seen.State == "" && state == stateReady:
		h.seen = Health{State: state, Since: b.epoch}
	case h.seen.State != state:
		h.seen = Health{State: state, Since: time.Now()}
	}
	h.seen.Reason = reason
	return h.seen
}

// worstClass looks through the breakers.
func (b *Bridge) worstClass() (state, reason string) {
	state = stateReady
	for k := range kinds {
		br := &b.breakers[k]
		if open, why := br.why(); open {
			return stateOpen, fmt.Sprintf("%s: %s", k, why)
		}
		if n := br.row.Load(); n > 0 && state == stateReady {
			state, reason = stateDegraded, fmt.Sprintf("%s: %d failed in a row", k, n)
			if _, text := b.errors.snapshot(); text != "" {
				reason += ": " + text
			}
		}
	}
	return state, reason
}
