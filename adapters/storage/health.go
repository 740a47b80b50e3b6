package storage

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Fallback says what happens while a backend is out of order.
type Fallback string

// The policies, LMCache's.
const (
	// FallbackRecompute reports the engine as unhealthy: all is computed anew.
	FallbackRecompute Fallback = "recompute"
	// FallbackLocalCPU leaves the backend out and switches the CPU cache on.
	FallbackLocalCPU Fallback = "local_cpu"
)

// Monitor asks backends for their health in turns. Safe for concurrent use.
type Monitor struct {
	m        *Manager
	policy   Fallback
	interval time.Duration
	log      *zap.Logger
	hot      bool // what the CPU cache is without a fallback
	stop     context.CancelFunc
	done     sync.WaitGroup

	mu   sync.Mutex       // guards sick, and keeps rounds apart
	sick map[string]error // by backend
}

// NewMonitor starts a monitor; an interval of 0 leaves the rounds to the caller. An
// unknown policy is the first one.
func NewMonitor(m *Manager, policy Fallback, interval time.Duration) *Monitor {
	if policy != FallbackLocalCPU {
		if policy != FallbackRecompute && policy != "" {
			m.opts.Logger.Warn(fmt.Sprintf("fallback_policy is %q, want %q or %q; taking the first", policy, FallbackRecompute, FallbackLocalCPU))
		}
		policy = FallbackRecompute
	}
	ctx, stop := context.WithCancel(context.Background())
	h := &Monitor{m: m, policy: policy, interval: interval, log: m.opts.Logger, stop: stop, sick: map[string]error{}}
	if m.opts.CPU != nil {
		h.hot = m.opts.CPU.Hot()
	}
	if interval > 0 {
		h.done.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case <-time.After(interval):
					h.Round(ctx)
				}
			}
		})
	}
	return h
}

// Round asks every backend once.
func (h *Monitor) Round(ctx context.Context) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, name := range h.m.Names() {
		checker, ok := h.m.Backend(name).(HealthChecker)
		if !ok {
			continue
		}
		err := checker.CheckHealth(ctx)
		was := h.sick[name]
		switch {
		case err != nil:
			h.sick[name] = err
		default:
			delete(h.sick, name)
		}
		if (err == nil) == (was == nil) {
			continue
		}
		h.log.Warn("health of a storage backend changed", zap.String("backend", name), zap.Error(err))
		if h.policy == FallbackLocalCPU {
			h.m.Bypass(name, err != nil)
		}
	}
	if cpu := h.m.opts.CPU; cpu != nil && h.policy == FallbackLocalCPU {
		if want := h.hot || len(h.sick) > 0; want != cpu.Hot() {
			cpu.SetHot(want) // switched off, it is emptied
		}
	}
}

// Healthy reports whether the engine should use its storage.
func (h *Monitor) Healthy() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.policy == FallbackLocalCPU || len(h.sick) == 0 {
		return nil
	}
	var parts []string
	for name, err := range h.sick {
		parts = append(parts, name+": "+err.Error())
	}
	return fmt.Errorf("storage is out of order: %s", strings.Join(parts, "; "))
}

// Close ends the monitor.
func (h *Monitor) Close() {
	h.stop()
	h.done.Wait()
}
