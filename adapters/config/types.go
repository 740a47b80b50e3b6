package config

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// The adapter types of this build.
const (
	// TypeNativePlugin loads a connector library.
	TypeNativePlugin = "native_plugin"
	// TypePlugin makes an adapter that the program registered (see package plugin), or
	// of a connector library, a program or a class in Python.
	TypePlugin = "plugin"
	// TypeMock keeps values in memory; see package mock.
	TypeMock = "mock"
	// TypeFaultInject loses keys of an inner adapter on load; see package faultinject.
	TypeFaultInject = "fault_inject"
)

// builtinTypes are the adapter types of this build, sorted.
var builtinTypes = slices.Sorted(func(yield func(string) bool) {
	for _, t := range []string{TypeFaultInject, TypeMock, TypeNativePlugin, TypePlugin} {
		if !yield(t) {
			return
		}
	}
	maps.Keys(bundledTypes)(yield)
})

// lmcacheTypes are LMCache's other adapter types, sorted.
var lmcacheTypes = []string{
	"aerospike", "bigtable", "dax", "hf3fs", "hfbucket", "nixl_store", "nixl_store_dynamic", "p2p", "raw_block",
	"sagemaker-hyperpod", "valkey",
}

// Plugin configures an adapter that the program registered in Go, or one around what
// is none: a connector library, a program that speaks the protocol of
// native/worker/PROTOCOL.md, or a class in Python. They are looked for in this order.
type Plugin struct {
	ModulePath string
	ClassName  string
	// AdapterParams goes to the adapter's configuration type.
	AdapterParams Params
	// ConfigClassName names that type, "" = find it.
	ConfigClassName string
	// Python is the interpreter of a class in Python: a program, the folder of a
	// virtual environment, or a name on PATH. Default: python3 on PATH.
	Python string
	// Hosting has the settings of connectors, of [NativePlugin] without the three above.
	// nil = the defaults. A class in Go has none of them.
	Hosting *NativePlugin
}

// defaultHosting are the settings of a plugin that is not written in Go.
func defaultHosting() *NativePlugin {
	p := defaultNativePlugin()
	p.Worker.StartTimeout = 2 * time.Minute // an interpreter imports torch
	return p
}

// Mock configures an adapter that keeps values in memory.
type Mock struct {
	MaxSizeGB   float64 // GiB, more than 0
	BandwidthGB float64 // GiB per second, more than 0
}

// FaultInject configures an adapter that loses keys of Inner on load.
type FaultInject struct {
	Inner *L2Adapter
	Rate  float64 // part of the keys that is lost, 0 to 1. Default 0
	Seed  int64   // which keys these are. Default 0
	// GapIndices are positions that are lost from every load.
	GapIndices []int
	// GapTailRatios lose one position each: ratio 0 the last one, 1 the first one.
	GapTailRatios []float64
}

// ClassName returns what the adapter is called in logs: its class name, or its
// type.
func (a L2Adapter) ClassName() string {
	switch {
	case a.Type == TypeNativePlugin && a.NativePlugin != nil:
		return a.NativePlugin.ClassName
	case a.Plugin != nil:
		return a.Plugin.ClassName
	}
	return a.Type
}

// newSettings sets the settings of the adapter's type to their defaults.
func (a *L2Adapter) newSettings() {
	switch a.Type {
	case TypeNativePlugin:
		a.NativePlugin = defaultNativePlugin()
	case TypePlugin:
		a.Plugin = &Plugin{AdapterParams: "{}"}
	case TypeMock:
		a.Mock = &Mock{}
	case TypeFaultInject:
		a.FaultInject = &FaultInject{}
	default:
		if _, ok := bundledTypes[a.Type]; ok {
			a.NativePlugin = defaultNativePlugin()
		}
	}
}

// isConnector reports whether an adapter of the type is a connector library.
func isConnector(typ string) bool {
	_, ok := bundledTypes[typ]
	return ok || typ == TypeNativePlugin
}

func (p *Plugin) check(c *checker) {
	checkNames(c, p.ModulePath, p.ClassName, "what the adapter is registered under, a connector library, a program or a Python module", "the name of the class")
	checkParams(c, p.AdapterParams)
	h := p.Hosting
	if h == nil {
		return
	}
	settings := *h
	settings.ModulePath, settings.ClassName, settings.AdapterParams = "hosting", "hosting", "{}"
	settings.check(c)
	if h.Worker.Program != "" {
		c.fail("worker.program", "is %q, but the program of a plugin is its module_path, or what python names", h.Worker.Program)
	}
}

// hosting returns the settings of a plugin that is not written in Go.
func (p *Plugin) hosting() *NativePlugin {
	h := defaultHosting()
	if p.Hosting != nil {
		*h = *p.Hosting
	}
	h.ModulePath, h.ClassName, h.AdapterParams = p.ModulePath, p.ClassName, p.AdapterParams
	return h
}

// given names the settings of connectors that a configuration has.
func (p *Plugin) given() string {
	var names []string
	if p.Python != "" {
		names = append(names, "python")
	}
	if p.Hosting != nil {
		ours, def := reflect.ValueOf(*p.Hosting), reflect.ValueOf(*defaultHosting())
		for i := range ours.NumField() {
			if !reflect.DeepEqual(ours.Field(i).Interface(), def.Field(i).Interface()) {
				names = append(names, strings.ToLower(ours.Type().Field(i).Name))
			}
		}
	}
	return strings.Join(names, ", ")
}

func (m *Mock) check(c *checker) {
	for _, f := range []struct {
		name  string
		value float64
	}{{"max_size_gb", m.MaxSizeGB}, {"mock_bandwidth_gb", m.BandwidthGB}} {
		if !(f.value > 0 && f.value <= maxCapacityGB) {
			c.fail(f.name, "is %v, want more than 0 and at most %d", f.value, maxCapacityGB)
		} else if f.value*bytesPerGB < 1 {
			c.fail(f.name, "is %v, which is less than a byte", f.value)
		}
	}
}

func (f *FaultInject) check(c *checker) {
	if f.Inner == nil {
		c.fail("inner", "is missing, want the adapter whose keys are lost")
	} else {
		inner := &checker{}
		f.Inner.check(inner)
		for _, p := range inner.problems {
			c.add("", "inner: %s", p)
		}
	}
	if !(f.Rate >= 0 && f.Rate <= 1) {
		c.fail("rate", "is %v, want 0 to 1", f.Rate)
	}
	if i := slices.IndexFunc(f.GapIndices, func(n int) bool { return n < 0 }); i >= 0 {
		c.fail("gap_indices", "has %d, want 0 or more", f.GapIndices[i])
	}
	if i := slices.IndexFunc(f.GapTailRatios, func(r float64) bool { return !(r >= 0 && r <= 1) }); i >= 0 {
		c.fail("gap_tail_ratios", "has %v, want 0 to 1", f.GapTailRatios[i])
	}
}
