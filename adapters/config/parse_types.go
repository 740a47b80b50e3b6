package config

import (
	"errors"
	"math"
	"reflect"
	"strconv"
	"strings"
)

// parseSettings reads the keys of the adapter's type.
func parseSettings(o *object, a *L2Adapter) {
	switch a.Type {
	case TypeNativePlugin:
		parseNativePlugin(o, a.NativePlugin)
	case TypePlugin:
		parsePlugin(o, a.Plugin)
	case TypeMock:
		parseMock(o, a.Mock)
	case TypeFaultInject:
		parseFaultInject(o, a.FaultInject)
	default:
		if b, ok := bundledTypes[a.Type]; ok {
			parseBundled(o, b, a.NativePlugin)
		}
	}
}

func parsePlugin(o *object, p *Plugin) {
	if !o.text("module_path", &p.ModulePath) {
		o.fail("module_path", "is missing, want what the adapter is registered under, a connector library, a program or a Python module")
	}
	if !o.text("class_name", &p.ClassName) {
		o.fail("class_name", "is missing, want the name of the class")
	}
	parseParams(o, &p.AdapterParams)
	o.text("config_class_name", &p.ConfigClassName)
	o.text("python", &p.Python)
	h := defaultHosting()
	o.number("max_capacity_gb", &h.MaxCapacityGB)
	parseHosting(o, h)
	if !reflect.DeepEqual(h, defaultHosting()) {
		p.Hosting = h
	}
}

func parseMock(o *object, m *Mock) {
	for _, f := range []struct {
		key, want string
		dst       *float64
	}{
		{"max_size_gb", "the capacity in GiB", &m.MaxSizeGB},
		{"mock_bandwidth_gb", "the bandwidth in GiB per second", &m.BandwidthGB},
	} {
		if _, ok := o.take(f.key); !ok {
			o.fail(f.key, "is missing, want %s", f.want)
			continue
		}
		o.number(f.key, f.dst)
	}
}

func parseFaultInject(o *object, f *FaultInject) {
	if v, ok := o.take("inner"); !ok {
		o.fail("inner", "is missing, want the adapter whose keys are lost")
	} else if v.kind != kindObject {
		o.fail("inner", "is %s, want an adapter: an object with a type", v)
	} else {
		inner, problems := parseL2AdapterValue(v)
		for _, p := range problems {
			o.c.add(join(o.path, "inner"), "is wrong: %s", p)
		}
		f.Inner = &inner
	}
	o.number("rate", &f.Rate)
	o.integer("seed", math.MinInt64, math.MaxInt64, func(n int64) { f.Seed = n })
	o.list("gap_indices", "integers of 0 or more", func(v *value) bool {
		n, err := strconv.Atoi(v.raw)
		f.GapIndices = append(f.GapIndices, n)
		return v.kind == kindNumber && err == nil && n >= 0
	})
	o.list("gap_tail_ratios", "numbers from 0 to 1", func(v *value) bool {
		r, err := strconv.ParseFloat(v.raw, 64)
		f.GapTailRatios = append(f.GapTailRatios, r)
		return v.kind == kindNumber && err == nil && r >= 0 && r <= 1
	})
}

// parseParams reads adapter_params, an object that stays text.
func parseParams(o *object, dst *Params) {
	v, ok := o.take("adapter_params")
	switch {
	case !ok:
	case v.kind != kindObject:
		o.fail("adapter_params", "is %s, want an object", v.kind)
	default:
		v.eachDuplicate("adapter_params", func(path string) { o.c.add(path, "is given more than once") })
		checkReferences(o.c, "adapter_params", v)
		*dst = Params(v.raw)
	}
}

// list reads an array of scalars; each takes one and says whether it is right.
func (o *object) list(key, want string, each func(*value) bool) {
	v, ok := o.take(key)
	if !ok {
		return
	}
	if v.kind != kindArray {
		o.fail(key, "is %s, want an array of %s", v, want)
		return
	}
	for i := range v.elems {
		if !each(v.elems[i]) {
			o.fail(key, "has %s at position %d, want %s", v.elems[i], i, want)
			return
		}
	}
}

func checkNames(c *checker, modulePath, className, wantModule, wantClass string) {
	if modulePath == "" {
		c.fail("module_path", "is empty, want %s", wantModule)
	}
	if className == "" {
		c.fail("class_name", "is empty, want %s", wantClass)
	}
}

func checkParams(c *checker, p Params) {
	if root, err := parseJSON([]byte(p)); err != nil {
		c.fail("adapter_params", "is not JSON: %v", err)
	} else if root.kind != kindObject {
		c.fail("adapter_params", "is %s, want an object", root.kind)
	}
}

// oneLine joins problems for a message of one line.
func oneLine(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(strings.ReplaceAll(err.Error(), "\n", "; "))
}
