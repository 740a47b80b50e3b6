package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ParseL2Adapters parses the values of the repeatable --l2-adapter flag, each
// one JSON object, in their order. No values give an empty list.
//
// The error lists every problem of every value, one a line, each with the
// position of its value: `--l2-adapter #2 ('native_plugin'): ...`.
func ParseL2Adapters(values []string) ([]L2Adapter, error) {
	adapters := make([]L2Adapter, 0, len(values))
	var errs []error
	for i, text := range values {
		a, problems := parseL2Adapter(text)
		where := fmt.Sprintf("--l2-adapter #%d", i+1)
		if a.Type != "" {
			where += fmt.Sprintf(" ('%s')", a.Type)
		}
		for _, p := range problems {
			errs = append(errs, fmt.Errorf("%s: %w", where, p))
		}
		adapters = append(adapters, a)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return adapters, nil
}

// parseL2Adapter returns the adapter and its problems. Its Type is set only if
// it is one of this build's, whatever else is wrong.
func parseL2Adapter(text string) (L2Adapter, []error) {
	root, err := parseJSON([]byte(text))
	if err != nil {
		return L2Adapter{}, []error{err}
	}
	if root.kind != kindObject {
		return L2Adapter{}, []error{fmt.Errorf("want a JSON object such as {\"type\":\"native_plugin\",...}, got %s", root.kind)}
	}
	return parseL2AdapterValue(root)
}

// parseL2AdapterValue is parseL2Adapter for an object that was read already.
func parseL2AdapterValue(root *value) (L2Adapter, []error) {
	c := &checker{}
	o := newObject(c, "", root)

	var typ string
	switch v, ok := o.take("type"); {
	case !ok:
		c.fail("type", "is missing, want one of: %s", strings.Join(builtinTypes, ", "))
	case v.kind == kindNull:
		c.fail("type", "is null, want one of: %s", strings.Join(builtinTypes, ", "))
	case v.kind != kindString:
		c.fail("type", "is %s, want a string: one of %s", v, strings.Join(builtinTypes, ", "))
	case !slices.Contains(builtinTypes, v.text):
		c.fail("type", "%s", unknownType(v.text))
	default:
		typ = v.text
	}

	a := defaults(typ)
	parseCommon(o, &a)
	if parseSettings(o, &a); typ != "" {
		o.finish()
	} else {
		o.duplicates() // which keys there may be is known only with the type
	}
	a.check(c)
	return a, c.problems
}

func unknownType(name string) string {
	known := strings.Join(builtinTypes, ", ")
	if slices.Contains(lmcacheTypes, name) {
		return fmt.Sprintf("%q is an LMCache type that this build does not include; known types: %s", name, known)
	}
	if near, ok := nearest(name, builtinTypes); ok {
		return fmt.Sprintf("%q is unknown, did you mean %q? known types: %s", name, near, known)
	}
	return fmt.Sprintf("%q is unknown; known types: %s", name, known)
}

// parseCommon reads the fields that every type has.
func parseCommon(o *object, a *L2Adapter) {
	o.text("affinity_tag", &a.AffinityTag)
	o.boolean("shared", &a.Shared)
	o.boolean("persist_enabled", &a.PersistEnabled)

	// As in LMCache, null means that the feature is off.
	if v, ok := o.take("eviction"); ok && v.kind != kindNull {
		e := &Eviction{TriggerWatermark: 0.8, Ratio: 0.2}
		if sub := o.sub("eviction", v, "an object"); sub != nil {
			if !sub.text("eviction_policy", &e.Policy) {
				sub.fail("eviction_policy", "is missing, want one of %s", strings.Join(EvictionPolicies[:], ", "))
			}
			sub.number("trigger_watermark", &e.TriggerWatermark)
			sub.number("eviction_ratio", &e.Ratio)
			sub.finish()
			a.Eviction = e
		}
	}
	if v, ok := o.take("serde"); ok && v.kind != kindNull {
		if sub := o.sub("serde", v, `an object (it must be a dict) with a string "type"`); sub != nil {
			s := &Serde{}
			if !sub.text("type", &s.Type) {
				sub.fail("type", "is missing, want the name of a serde")
			}
			sub.duplicates()
			s.Params = sub.rest()
			a.Serde = s
		}
	}
}

func parseNativePlugin(o *object, p *NativePlugin) {
	if !o.text("module_path", &p.ModulePath) {
		o.fail("module_path", "is missing, want the path or name of a connector library")
	}
	if !o.text("class_name", &p.ClassName) {
		o.fail("class_name", "is missing, want the name that the connector declares")
	}
	parseParams(o, &p.AdapterParams)
	o.number("max_capacity_gb", &p.MaxCapacityGB)
	parseHosting(o, p)
}

// parseHosting reads how a connector is run: the keys that LMCache does not have.
func parseHosting(o *object, p *NativePlugin) {
	o.textAs("isolation", func(s string) { p.Isolation = Isolation(s) })
	if v, ok := o.take("worker"); ok {
		if sub := o.sub("worker", v, "an object"); sub != nil {
			parseWorker(sub, &p.Worker)
			sub.finish()
		}
	}
	o.textAs("buffers", func(s string) { p.Buffers = Buffers(s) })
	o.textAs("sha256", func(s string) {
		if s == "" {
			o.fail("sha256", "is empty, want 64 hex digits")
		}
		p.SHA256 = strings.ToLower(s)
	})
	o.integer("require_check", 0, 4, func(n int64) { p.RequireCheck = int(n) })
	o.millis("open_timeout_ms", &p.OpenTimeout, 1)
	if v, ok := o.take("deadlines"); ok {
		if sub := o.sub("deadlines", v, "an object"); sub != nil {
			sub.millis("lookup_ms", &p.Deadlines.Lookup, 0)
			sub.millis("load_ms", &p.Deadlines.Load, 0)
			sub.millis("store_ms", &p.Deadlines.Store, 0)
			sub.millis("delete_ms", &p.Deadlines.Delete, 0)
			sub.finish()
		}
	}
	o.textAs("integrity", func(s string) { p.Integrity = Integrity(s) })
	if v, ok := o.take("breaker"); ok {
		if sub := o.sub("breaker", v, "an object"); sub != nil {
			sub.integer("failures", 0, unbounded, func(n int64) { p.Breaker.Failures = int(n) })
			sub.millis("cooldown_ms", &p.Breaker.Cooldown, 1)
			sub.millis("max_cooldown_ms", &p.Breaker.MaxCooldown, 1)
			sub.finish()
		}
	}
	if v, ok := o.take("limits"); ok {
		if sub := o.sub("limits", v, "an object"); sub != nil {
			sub.integer("max_inflight", 1, 65536, func(n int64) { p.Limits.MaxInFlight = int(n) })
			sub.integer("max_batch", 0, unbounded, func(n int64) { p.Limits.MaxBatch = int(n) })
			sub.finish()
		}
	}
}

func parseWorker(o *object, w *Worker) {
	o.text("program", &w.Program)
	o.list("wrapper", "strings", func(v *value) bool {
		w.Wrapper = append(w.Wrapper, v.text)
		return v.kind == kindString && v.text != ""
	})
	o.integer("user", 0, unbounded, func(n int64) { w.User = uint32(n) })
	o.integer("group", 0, unbounded, func(n int64) { w.Group = uint32(n) })
	o.number("memory_limit_gb", &w.MemoryLimitGB)
	o.boolean("core_dumps", &w.CoreDumps)
	o.boolean("allow_exec", &w.AllowExec)
	o.millis("start_timeout_ms", &w.StartTimeout, 1)
	o.millis("hang_timeout_ms", &w.HangTimeout, 1)
	o.millis("restart_initial_ms", &w.RestartInitial, 1)
	o.millis("restart_max_ms", &w.RestartMax, 1)
	o.integer("restarts_per_minute", 1, unbounded, func(n int64) { w.RestartsPerMinute = int(n) })
}

func (o *object) millis(key string, dst *time.Duration, least int64) {
	o.integer(key, least, unbounded, func(n int64) { *dst = time.Duration(n) * time.Millisecond })
}
