package config

import (
	"encoding/json"
	"fmt"
	"strings"
)

// l2AdapterJSON is the form of an L2Adapter in JSON.
type l2AdapterJSON struct {
	Type           string          `json:"type"`
	AffinityTag    string          `json:"affinity_tag"`
	Shared         bool            `json:"shared"`
	PersistEnabled bool            `json:"persist_enabled"`
	Eviction       *evictionJSON   `json:"eviction,omitempty"`
	Serde          json.RawMessage `json:"serde,omitempty"`
}

type pluginJSON struct {
	ModulePath      string `json:"module_path"`
	ClassName       string `json:"class_name"`
	AdapterParams   Params `json:"adapter_params"`
	ConfigClassName string `json:"config_class_name,omitempty"`
	Python          string `json:"python,omitempty"`
}

// hostedPluginJSON is a plugin with settings of connectors.
type hostedPluginJSON struct {
	nativePluginJSON
	ConfigClassName string `json:"config_class_name,omitempty"`
	Python          string `json:"python,omitempty"`
}

type mockJSON struct {
	MaxSizeGB   float64 `json:"max_size_gb"`
	BandwidthGB float64 `json:"mock_bandwidth_gb"`
}

type faultInjectJSON struct {
	Inner         *L2Adapter `json:"inner"`
	Rate          float64    `json:"rate"`
	Seed          int64      `json:"seed"`
	GapIndices    []int      `json:"gap_indices,omitempty"`
	GapTailRatios []float64  `json:"gap_tail_ratios,omitempty"`
}

type evictionJSON struct {
	Policy           string  `json:"eviction_policy"`
	TriggerWatermark float64 `json:"trigger_watermark"`
	Ratio            float64 `json:"eviction_ratio"`
}

type nativePluginJSON struct {
	ModulePath    string        `json:"module_path"`
	ClassName     string        `json:"class_name"`
	AdapterParams Params        `json:"adapter_params"`
	MaxCapacityGB float64       `json:"max_capacity_gb"`
	Isolation     Isolation     `json:"isolation"`
	Worker        workerJSON    `json:"worker"`
	Deadlines     deadlinesJSON `json:"deadlines"`
	Limits        limitsJSON    `json:"limits"`
	Buffers       Buffers       `json:"buffers"`
	Breaker       breakerJSON   `json:"breaker"`
	Integrity     Integrity     `json:"integrity"`
	SHA256        string        `json:"sha256,omitempty"`
	RequireCheck  int           `json:"require_check,omitempty"`
	OpenTimeoutMS int64         `json:"open_timeout_ms"`
}

type workerJSON struct {
	Program           string   `json:"program,omitempty"`
	Wrapper           []string `json:"wrapper,omitempty"`
	User              uint32   `json:"user,omitempty"`
	Group             uint32   `json:"group,omitempty"`
	MemoryLimitGB     float64  `json:"memory_limit_gb"`
	CoreDumps         bool     `json:"core_dumps"`
	AllowExec         bool     `json:"allow_exec"`
	StartTimeoutMS    int64    `json:"start_timeout_ms"`
	HangTimeoutMS     int64    `json:"hang_timeout_ms"`
	RestartInitialMS  int64    `json:"restart_initial_ms"`
	RestartMaxMS      int64    `json:"restart_max_ms"`
	RestartsPerMinute int      `json:"restarts_per_minute"`
}

type deadlinesJSON struct {
	LookupMS int64 `json:"lookup_ms"`
	LoadMS   int64 `json:"load_ms"`
	StoreMS  int64 `json:"store_ms"`
	DeleteMS int64 `json:"delete_ms"`
}

type breakerJSON struct {
	Failures      int   `json:"failures"`
	CooldownMS    int64 `json:"cooldown_ms"`
	MaxCooldownMS int64 `json:"max_cooldown_ms"`
}

type limitsJSON struct {
	MaxInFlight int `json:"max_inflight"`
	MaxBatch    int `json:"max_batch"`
}

// MarshalJSON writes the configuration with its defaults filled in. Secrets are
// masked, so the text is for people and logs and cannot be parsed back whole.
func (a L2Adapter) MarshalJSON() ([]byte, error) {
	out := l2AdapterJSON{Type: a.Type, AffinityTag: a.AffinityTag, Shared: a.Shared, PersistEnabled: a.PersistEnabled}
	if e := a.Eviction; e != nil {
		out.Eviction = &evictionJSON{Policy: e.Policy, TriggerWatermark: e.TriggerWatermark, Ratio: e.Ratio}
	}
	if s := a.Serde; s != nil {
		text, err := s.MarshalJSON()
		if err != nil {
			return nil, err
		}
		out.Serde = text
	}
	common, err := json.Marshal(out)
	if err != nil {
		return nil, err
	}
	settings, err := json.Marshal(a.settingsJSON())
	if err != nil || len(settings) <= len("{}") {
		return common, err
	}
	// One object of both: the keys of the type follow the common ones.
	return append(append(common[:len(common)-1], ','), settings[1:]...), nil
}

// settingsJSON returns the settings of the adapter's type in their JSON form.
func (a L2Adapter) settingsJSON() any {
	switch {
	case a.NativePlugin != nil:
		return a.NativePlugin.json()
	case a.Plugin != nil:
		p := a.Plugin
		if p.Hosting != nil {
			return hostedPluginJSON{p.hosting().json(), p.ConfigClassName, p.Python}
		}
		return pluginJSON{p.ModulePath, p.ClassName, p.AdapterParams, p.ConfigClassName, p.Python}
	case a.Mock != nil:
		return mockJSON(*a.Mock)
	case a.FaultInject != nil:
		return faultInjectJSON(*a.FaultInject)
	}
	return struct{}{}
}

func (p *NativePlugin) json() nativePluginJSON {
	return nativePluginJSON{
		ModulePath:    p.ModulePath,
		ClassName:     p.ClassName,
		AdapterParams: p.AdapterParams,
		MaxCapacityGB: p.MaxCapacityGB,
		Isolation:     p.Isolation,
		Worker: workerJSON{
			Program: p.Worker.Program, Wrapper: p.Worker.Wrapper, User: p.Worker.User, Group: p.Worker.Group,
			MemoryLimitGB: p.Worker.MemoryLimitGB, CoreDumps: p.Worker.CoreDumps, AllowExec: p.Worker.AllowExec,
			StartTimeoutMS:    p.Worker.StartTimeout.Milliseconds(),
			HangTimeoutMS:     p.Worker.HangTimeout.Milliseconds(),
			RestartInitialMS:  p.Worker.RestartInitial.Milliseconds(),
			RestartMaxMS:      p.Worker.RestartMax.Milliseconds(),
			RestartsPerMinute: p.Worker.RestartsPerMinute,
		},
		Deadlines: deadlinesJSON{
			LookupMS: p.Deadlines.Lookup.Milliseconds(),
			LoadMS:   p.Deadlines.Load.Milliseconds(),
			StoreMS:  p.Deadlines.Store.Milliseconds(),
			DeleteMS: p.Deadlines.Delete.Milliseconds(),
		},
		Limits:  limitsJSON{MaxInFlight: p.Limits.MaxInFlight, MaxBatch: p.Limits.MaxBatch},
		Buffers: p.Buffers,
		Breaker: breakerJSON{
			Failures:      p.Breaker.Failures,
			CooldownMS:    p.Breaker.Cooldown.Milliseconds(),
			MaxCooldownMS: p.Breaker.MaxCooldown.Milliseconds(),
		},
		Integrity:     p.Integrity,
		SHA256:        p.SHA256,
		RequireCheck:  p.RequireCheck,
		OpenTimeoutMS: p.OpenTimeout.Milliseconds(),
	}
}

// MarshalJSON writes the serde as one object, secrets masked.
func (s Serde) MarshalJSON() ([]byte, error) {
	name, err := json.Marshal(s.Type)
	if err != nil {
		return nil, err
	}
	rest := strings.TrimSpace(s.Params.String())
	if rest == "{}" || rest == "" {
		return fmt.Appendf(nil, `{"type":%s}`, name), nil
	}
	return fmt.Appendf(nil, `{"type":%s,%s`, name, strings.TrimPrefix(rest, "{")), nil
}

// String returns the JSON form, secrets masked.
func (a L2Adapter) String() string {
	text, err := a.MarshalJSON()
	if err != nil {
		return fmt.Sprintf("L2Adapter(%s: %v)", a.Type, err)
	}
	return string(text)
}

// GoString is String, so that %#v does not show secrets either.
func (a L2Adapter) GoString() string { return "config.L2Adapter" + a.String() }
