package plugin

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/bridge/kv"
)

// Factory makes an adapter. config is a pointer to one of the registered
// configuration types, filled and valid, or a map[string]any when none was
// found. The adapter belongs to the caller.
type Factory func(config any, host HostInfo) (l2.Adapter, error)

// Registry knows the plugins of a program by module path and class name. The
// zero value is not usable. Safe for concurrent use.
type Registry struct {
	mu      sync.RWMutex // guards modules and what is below
	modules map[string]*module
}

// module is what is registered under one module path.
type module struct {
	classes map[string]class
	configs map[string]func() any // makes a configuration with defaults, by the name of its type
}

// class is one registered factory.
type class struct {
	make Factory
	// config is the configuration type that the factory declares, "" = none.
	config string
}

// NewRegistry returns an empty registry.
func NewRegistry() *Registry { return &Registry{modules: map[string]*module{}} }

// Option says more about a registered factory.
type Option func(*registration)

type registration struct {
	class
	safe    bool
	configs map[string]func() any
	errs    []error
}

// SafeForConcurrentUse states that all methods of the adapters may be called at
// the same time. It is required: a host calls from several goroutines. Package
// plugintest tries it under the race detector.
func SafeForConcurrentUse() Option { return func(r *registration) { r.safe = true } }

// ConfigType adds a configuration type to the module, under the name that
// configurations use. T is a struct whose fields have json tags; newConfig
// returns one with the defaults, which is then filled from adapter_params. If *T
// has a method Validate() error, that is called last.
func ConfigType[T any](name string, newConfig func() *T) Option {
	return func(r *registration) {
		switch t := reflect.TypeFor[T](); {
		case name == "":
			r.errs = append(r.errs, fmt.Errorf("configuration type %s has no name", t))
		case t.Kind() != reflect.Struct || newConfig == nil:
			r.errs = append(r.errs, fmt.Errorf("configuration type %q is a %s, want a struct and a function that makes one", name, t.Kind()))
		case r.configs[name] != nil:
			r.errs = append(r.errs, fmt.Errorf("configuration type %q is given twice", name))
		default:
			r.configs[name] = func() any { return newConfig() }
		}
	}
}

// ConfigClassName declares the configuration type of this class, for when its
// name is not <class>Config. It is LMCache's attribute config_class_name.
func ConfigClassName(name string) Option { return func(r *registration) { r.config = name } }

// Register adds a factory. It fails, and changes nothing, when a name is empty or
// taken, or when the statement [SafeForConcurrentUse] is missing. All problems
// are reported at once.
func (r *Registry) Register(modulePath, className string, f Factory, opts ...Option) error {
	reg := registration{class: class{make: f}, configs: map[string]func() any{}}
	for _, opt := range opts {
		opt(&reg)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.modules[modulePath]
	if m == nil {
		m = &module{classes: map[string]class{}, configs: map[string]func() any{}}
	}
	if err := errors.Join(append(reg.errs, reg.problems(m, modulePath, className)...)...); err != nil {
		return &kv.Error{Op: "register", Connector: className, Code: kv.Invalid, Err: oneLine(err)}
	}
	m.classes[className] = reg.class
	maps.Copy(m.configs, reg.configs)
	r.modules[modulePath] = m
	return nil
}

// problems returns what is wrong with adding a class to m.
func (reg *registration) problems(m *module, modulePath, className string) (errs []error) {
	if modulePath == "" {
		errs = append(errs, errors.New("the module path is empty"))
	}
	if className == "" {
		errs = append(errs, errors.New("the class name is empty"))
	}
	if reg.make == nil {
		errs = append(errs, errors.New("the factory is nil"))
	}
	if !reg.safe {
		errs = append(errs, errors.New("the statement SafeForConcurrentUse is missing: a host calls an adapter from several goroutines"))
	}
	if _, taken := m.classes[className]; taken {
		errs = append(errs, fmt.Errorf("class %q of module %q is registered already", className, modulePath))
	}
	for _, name := range slices.Sorted(maps.Keys(reg.configs)) {
		if _, taken := m.configs[name]; taken {
			errs = append(errs, fmt.Errorf("configuration type %q of module %q is registered already", name, modulePath))
		}
	}
	return errs
}

// Modules returns the registered module paths, sorted.
func (r *Registry) Modules() []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Sorted(maps.Keys(r.modules))
}

// Classes returns the class names of a module, sorted.
func (r *Registry) Classes(modulePath string) []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if m := r.modules[modulePath]; m != nil {
		return slices.Sorted(maps.Keys(m.classes))
	}
	return nil
}

// Has reports whether a factory is registered under the two names.
func (r *Registry) Has(modulePath, className string) bool {
	return slices.Contains(r.Classes(modulePath), className)
}

// oneLine joins the lines of an error.
func oneLine(err error) error {
	if !strings.Contains(err.Error(), "\n") {
		return err
	}
	return errors.New(strings.ReplaceAll(err.Error(), "\n", "; "))
}
