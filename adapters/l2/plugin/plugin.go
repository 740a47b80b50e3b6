package plugin

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/bridge/kv"
)

// What can be wrong with the names of a plugin or with what its factory makes.
// Errors of [New] match one of these beside their [kv.Code].
var (
	ErrModuleNotFound = errors.New("module not found")
	ErrClassNotFound  = errors.New("class not found")
	ErrConfigNotFound = errors.New("configuration type not found")
	ErrNotAnAdapter   = errors.New("not an adapter")
)

// Config is the configuration of a plugin adapter.
type Config struct {
	ModulePath string
	ClassName  string
	// AdapterParams is a JSON object; empty means {}.
	AdapterParams json.RawMessage
	// ConfigClassName names the configuration type, "" = find it.
	ConfigClassName string
}

// HostInfo is what the host tells a plugin. Fields are only ever added: a factory
// uses those it knows.
type HostInfo struct {
	// L1 describes the host's memory tier, from which all buffers of store and
	// load tasks come; nil if the host does not say.
	L1 *L1MemoryDesc
	// Logger is never nil in a factory.
	Logger *zap.Logger
}

// L1MemoryDesc describes the memory of a host's L1. It is mapped for as long as
// the adapter is open.
type L1MemoryDesc struct {
	kv.Memory
	AlignBytes int // of each buffer
	// StableRegistrationBytes is how much of Bytes, from its start, never moves;
	// 0 = the host does not say.
	StableRegistrationBytes int64
}

// New makes the adapter that cfg names. The caller closes it. others are the
// host's other adapters, whose event fds the new one must not share.
//
// The configuration type is, in this order: ConfigClassName; <ClassName>Config;
// what the factory declared with [ConfigClassName]. With none of them the factory
// gets the parameters as a map[string]any. Unknown parameters are errors that
// name the nearest known one.
//
// Errors match [kv.Config] and one of [ErrModuleNotFound], [ErrClassNotFound] and
// [ErrConfigNotFound], which name what exists; [kv.Config] alone for bad
// parameters; [ErrNotAnAdapter] when the factory panics or makes something that
// [Check] refuses; or what the factory returned. Whatever was made is closed then.
func New(r *Registry, cfg Config, host HostInfo, others ...l2.Adapter) (l2.Adapter, error) {
	fail := func(code kv.Code, err error) (l2.Adapter, error) {
		return nil, &kv.Error{Op: "create", Connector: cfg.ClassName, Code: code, Err: err}
	}
	class, newConfig, err := r.find(cfg)
	if err != nil {
		return fail(kv.Config, err)
	}
	params, err := decode(cfg.AdapterParams, newConfig)
	if err != nil {
		return fail(kv.Config, err)
	}
	if host.Logger == nil {
		host.Logger = zap.NewNop()
	}
	a, err := call(class.make, params, host)
	if err != nil {
		if !isNil(a) {
			_ = a.Close()
		}
		return fail(codeOf(err), err)
	}
	if isNil(a) {
		return fail(kv.Internal, fmt.Errorf("%w: the factory of %s.%s returned nil", ErrNotAnAdapter, cfg.ModulePath, cfg.ClassName))
	}
	if err := Check(a, others...); err != nil {
		_ = a.Close()
		return fail(kv.Internal, fmt.Errorf("%w: %s.%s: %w", ErrNotAnAdapter, cfg.ModulePath, cfg.ClassName, err))
	}
	return a, nil
}

// find returns the class that cfg names and what makes its configuration, nil if
// it has no type.
func (r *Registry) find(cfg Config) (class, func() any, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	m, ok := r.modules[cfg.ModulePath]
	if !ok {
		return class{}, nil, fmt.Errorf("%w: module_path is %q; registered: %s", ErrModuleNotFound, cfg.ModulePath, names(r.modules))
	}
	c, ok := m.classes[cfg.ClassName]
	if !ok {
		return class{}, nil, fmt.Errorf("%w: class_name is %q; module %q has: %s", ErrClassNotFound, cfg.ClassName, cfg.ModulePath, names(m.classes))
	}
	for _, candidate := range []struct {
		name  string
		named bool // somebody wrote it: it has to exist
	}{{cfg.ConfigClassName, true}, {cfg.ClassName + "Config", false}, {c.config, true}} {
		if newConfig := m.configs[candidate.name]; newConfig != nil {
			return c, newConfig, nil
		}
		if candidate.named && candidate.name != "" {
			return class{}, nil, fmt.Errorf("%w: config_class_name is %q; module %q has: %s",
				ErrConfigNotFound, candidate.name, cfg.ModulePath, names(m.configs))
		}
	}
	return c, nil, nil
}

// names lists the keys of a map for a message.
func names[V any](m map[string]V) string {
	if len(m) == 0 {
		return "none"
	}
	return strings.Join(slices.Sorted(maps.Keys(m)), ", ")
}

// call runs a factory and makes an error of its panic.
func call(f Factory, config any, host HostInfo) (a l2.Adapter, err error) {
	defer func() {
		if p := recover(); p != nil {
			host.Logger.Error("plugin factory panicked", zap.Any("panic", p), zap.Stack("stack"))
			a, err = nil, fmt.Errorf("%w: the factory panicked: %v", ErrNotAnAdapter, p)
		}
	}()
	return f(config, host)
}

// codeOf returns the code of an error of a factory.
func codeOf(err error) kv.Code {
	var known *kv.Error
	var code kv.Code
	switch {
	case errors.As(err, &known):
		return known.Code
	case errors.As(err, &code):
		return code
	}
	return kv.Internal
}

// isNil reports whether there is no adapter: nil, or a nil pointer as an adapter.
func isNil(a l2.Adapter) bool {
	if a == nil {
		return true
	}
	v := reflect.ValueOf(a)
	return v.Kind() == reflect.Pointer && v.IsNil()
}
