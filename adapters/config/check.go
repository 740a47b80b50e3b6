package config

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"time"
)

const (
	// unbounded is the upper end of integers that have no natural one. It keeps
	// every product with a unit in range.
	unbounded     = math.MaxInt32
	maxCapacityGB = 1 << 32 // 4 EiB
	bytesPerGB    = 1 << 30 // LMCache's "gb" is a GiB
)

// Validate reports every problem at once, in the words of the configuration.
func (a L2Adapter) Validate() error {
	c := &checker{}
	a.check(c)
	return errors.Join(c.problems...)
}

// check adds the problems of a to c. Fields that c already complains about are
// left out.
func (a L2Adapter) check(c *checker) {
	if strings.TrimSpace(a.AffinityTag) == "" {
		c.fail("affinity_tag", "is %q, want a name that is not blank", a.AffinityTag)
	}
	if e := a.Eviction; e != nil {
		c.oneOf("eviction.eviction_policy", e.Policy, EvictionPolicies[:]...)
		if !(e.TriggerWatermark > 0 && e.TriggerWatermark <= 1) {
			c.fail("eviction.trigger_watermark", "is %v, want more than 0 and at most 1", e.TriggerWatermark)
		}
		if !(e.Ratio >= 0 && e.Ratio <= 1) {
			c.fail("eviction.eviction_ratio", "is %v, want 0 to 1", e.Ratio)
		}
	}
	if a.Serde != nil && a.Serde.Type == "" {
		c.fail("serde.type", "is empty, want the name of a serde")
	}
	switch {
	case !contains(builtinTypes, a.Type):
		c.fail("type", "%s", unknownType(a.Type))
	case a.NativePlugin != nil && isConnector(a.Type):
		a.NativePlugin.check(c)
	case a.Plugin != nil && a.Type == TypePlugin:
		a.Plugin.check(c)
	case a.Mock != nil && a.Type == TypeMock:
		a.Mock.check(c)
	case a.FaultInject != nil && a.Type == TypeFaultInject:
		a.FaultInject.check(c)
	default:
		c.fail("type", "is %q, but the settings of that type are nil", a.Type)
	}
}

func (p *NativePlugin) check(c *checker) {
	checkNames(c, p.ModulePath, p.ClassName, "the path or name of a connector library", "the name that the connector declares")
	checkParams(c, p.AdapterParams)
	switch gb := p.MaxCapacityGB; {
	case math.IsNaN(gb) || math.IsInf(gb, 0):
		c.fail("max_capacity_gb", "is %v, want a finite number", gb)
	case gb < 0:
		c.fail("max_capacity_gb", "is %v, want 0 or more", gb)
	case gb > maxCapacityGB:
		c.fail("max_capacity_gb", "is %v, want at most %d", gb, maxCapacityGB)
	}
	c.oneOf("isolation", string(p.Isolation), string(IsolationAuto), string(IsolationProcess), string(IsolationNone))
	p.Worker.check(c)
	c.oneOf("buffers", string(p.Buffers), string(BuffersCopy), string(BuffersDirect))
	c.millis("deadlines.lookup_ms", p.Deadlines.Lookup, 0)
	c.millis("deadlines.load_ms", p.Deadlines.Load, 0)
	c.millis("deadlines.store_ms", p.Deadlines.Store, 0)
	c.millis("deadlines.delete_ms", p.Deadlines.Delete, 0)
	c.millis("open_timeout_ms", p.OpenTimeout, 1)
	if n := p.Limits.MaxInFlight; n < 1 || n > 65536 {
		c.fail("limits.max_inflight", "is %d, want 1 to 65536", n)
	}
	if n := p.Limits.MaxBatch; n < 0 {
		c.fail("limits.max_batch", "is %d, want 0 or more", n)
	} else if n > unbounded {
		c.fail("limits.max_batch", "is %d, want at most %d", n, unbounded)
	}
	if n := p.Breaker.Failures; n < 0 || n > unbounded {
		c.fail("breaker.failures", "is %d, want 0 or more", n)
	}
	c.millis("breaker.cooldown_ms", p.Breaker.Cooldown, 1)
	c.millis("breaker.max_cooldown_ms", p.Breaker.MaxCooldown, 1)
	c.oneOf("integrity", string(p.Integrity), string(IntegrityOff), string(IntegrityXXH3))
	if n := p.RequireCheck; n < 0 || n > 4 {
		c.fail("require_check", "is %d, want 0 to 4", n)
	}
	if s := p.SHA256; s != "" && !isSHA256(s) {
		c.fail("sha256", "is %q, want 64 hex digits", s)
	}
}

func (w *Worker) check(c *checker) {
	if w.Program != "" && !filepath.IsAbs(w.Program) {
		c.fail("worker.program", "is %q, want an absolute path", w.Program)
	}
	if (w.User == 0) != (w.Group == 0) {
		c.fail("worker.group", "is %d and worker.user is %d, want both or none", w.Group, w.User)
	}
	if gb := w.MemoryLimitGB; !(gb >= 0 && gb <= maxCapacityGB) {
		c.fail("worker.memory_limit_gb", "is %v, want 0 to %d", gb, maxCapacityGB)
	}
	c.millis("worker.start_timeout_ms", w.StartTimeout, 1)
	c.millis("worker.hang_timeout_ms", w.HangTimeout, 1)
	c.millis("worker.restart_initial_ms", w.RestartInitial, 1)
	c.millis("worker.restart_max_ms", w.RestartMax, 1)
	if w.RestartMax < w.RestartInitial {
		c.fail("worker.restart_max_ms", "is %d, want at least restart_initial_ms, %d", w.RestartMax.Milliseconds(), w.RestartInitial.Milliseconds())
	}
	if n := w.RestartsPerMinute; n < 1 {
		c.fail("worker.restarts_per_minute", "is %d, want 1 or more", n)
	}
}

func isSHA256(s string) bool {
	return len(s) == 64 && strings.Trim(strings.ToLower(s), "0123456789abcdef") == ""
}

// Supported reports, all at once, which of the settings this version does not
// carry out yet. They are never ignored silently: [Build] fails with this error.
func (a L2Adapter) Supported() error {
	var errs []error
	if a.Serde != nil {
		errs = append(errs, fmt.Errorf("serde is not supported in this version: serde.type is %q, leave serde out", a.Serde.Type))
	}
	if f := a.FaultInject; f != nil && f.Inner != nil {
		if err := f.Inner.Supported(); err != nil {
			errs = append(errs, fmt.Errorf("inner: %w", oneLine(err)))
		}
	}
	return errors.Join(errs...)
}

// checker collects problems.
type checker struct {
	problems []error
	bad      map[string]bool // paths of the fields that have a problem
}

// fail records a problem of the field at path, unless it has one already.
func (c *checker) fail(path, format string, args ...any) {
	if !c.bad[path] {
		c.add(path, format, args...)
	}
}

// add records a problem whatever is known of the field.
func (c *checker) add(path, format string, args ...any) {
	if c.bad == nil {
		c.bad = map[string]bool{}
	}
	c.bad[path] = true
	msg := fmt.Sprintf(format, args...)
	if path != "" {
		msg = path + " " + msg
	}
	c.problems = append(c.problems, errors.New(msg))
}

func (c *checker) oneOf(path, got string, accepted ...string) {
	for _, a := range accepted {
		if got == a {
			return
		}
	}
	c.fail(path, "is %q, want one of %s", got, strings.Join(accepted, ", "))
}

func (c *checker) millis(path string, d time.Duration, least int64) {
	switch ms := d.Milliseconds(); {
	case ms < least || d < 0:
		c.fail(path, "is %d, want %d or more", ms, least)
	case ms > unbounded:
		c.fail(path, "is %d, want at most %d", ms, unbounded)
	}
}
