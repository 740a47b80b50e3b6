package storage

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"go.uber.org/zap"

	"github.com/sixcall/sixcall/bridge/engine"
)

// PluginContext is what a storage plugin is made with: the keywords of LMCache's
// StoragePluginInterface. Fields are only ever added.
type PluginContext struct {
	// Name is the configured name.
	Name      string
	DstDevice string // cpu, cuda, cuda:N ...
	Config    *engine.Config
	Metadata  *engine.Metadata
	// LocalCPU makes the objects that the plugin reads; nil on a scheduler.
	LocalCPU *CPU
	// Context ends with the engine: LMCache's event loop, for work in the
	// background.
	Context context.Context
	Logger  *zap.Logger // never nil
}

// PluginFactory makes a backend. What it returns has to implement [Backend]; the
// loader says which methods are missing.
type PluginFactory func(PluginContext) (any, error)

// What can be wrong with a plugin. Errors of loading match one of these.
var (
	ErrNotFound   = errors.New("not found")
	ErrNotBackend = errors.New("not a storage backend")
	ErrReserved   = errors.New("the name is reserved")
)

// Registry knows the plugins of a program by module path and class name. Safe for
// concurrent use.
type Registry struct{ factories engine.Classes[PluginFactory] }

// NewRegistry returns an empty registry.
func NewRegistry() *Registry { return &Registry{} }

// Register adds a factory under a module path and a class name.
func (r *Registry) Register(modulePath, className string, f PluginFactory) error {
	return r.factories.Add(modulePath, className, "factory", f, f != nil)
}

// Find returns the factory of that name.
func (r *Registry) Find(modulePath, className string) (PluginFactory, error) {
	if r == nil {
		r = NewRegistry()
	}
	f, others, found := r.factories.Find(modulePath, className)
	switch found {
	case engine.NoModule:
		return nil, fmt.Errorf("%w: module_path is %q; registered: %s", ErrNotFound, modulePath, others)
	case engine.NoClass:
		return nil, fmt.Errorf("%w: class_name is %q; module %q has: %s", ErrNotFound, className, modulePath, others)
	}
	return f, nil
}

// HasModule reports whether there are classes under a module path.
func (r *Registry) HasModule(modulePath string) bool {
	if r == nil {
		return false
	}
	_, _, found := r.factories.Find(modulePath, "")
	return found != engine.NoModule
}

// Make calls the factory and checks what it made. A panic is an error.
func Make(f PluginFactory, pc PluginContext) (b Backend, err error) {
	if pc.Logger == nil {
		pc.Logger = zap.NewNop()
	}
	var made any
	func() {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("the factory panicked: %v", p)
			}
		}()
		made, err = f(pc)
	}()
	if err != nil {
		return nil, err
	}
	if b, ok := made.(Backend); ok && !isNil(made) {
		return b, nil
	}
	return nil, fmt.Errorf("%w: %T %s", ErrNotBackend, made, lacks(made, reflect.TypeFor[Backend]()))
}

func isNil(v any) bool {
	r := reflect.ValueOf(v)
	return !r.IsValid() || r.Kind() == reflect.Pointer && r.IsNil()
}

// lacks says which methods of an interface a value has not, or not so.
func lacks(v any, want reflect.Type) string {
	if isNil(v) {
		return "is nil"
	}
	var missing, other []string
	t := reflect.TypeOf(v)
	for i := range want.NumMethod() {
		w := want.Method(i)
		m, ok := t.MethodByName(w.Name)
		if !ok {
			missing = append(missing, w.Name)
			continue
		}
		if !reflect.ValueOf(v).Method(m.Index).Type().AssignableTo(w.Type) {
			other = append(other, fmt.Sprintf("%s is not %s", w.Name, strings.TrimPrefix(w.Type.String(), "func")))
		}
	}
	var parts []string
	if len(missing) > 0 {
		parts = append(parts, "lacks "+strings.Join(missing, ", "))
	}
	return strings.Join(append(parts, other...), "; ")
}

// PluginSpec names one plugin of a configuration.
type PluginSpec struct {
	Name, ModulePath, ClassName string
}

// PluginSpecs returns the storage plugins that a configuration lists, in its order
// and each once. Keys are storage_plugin.<name>.*, or the older
// external_backend.<name>.*. problems are the plugins that cannot be meant.
func PluginSpecs(c *engine.Config) (specs []PluginSpec, problems []error) {
	if len(c.StoragePlugins) > 0 && len(c.Extra) == 0 {
		return nil, []error{fmt.Errorf("storage_plugins lists %s, but there is no extra_config that says what they are", strings.Join(c.StoragePlugins, ", "))}
	}
	seen := map[string]bool{}
	for _, name := range c.StoragePlugins {
		if seen[name] {
			continue
		}
		seen[name] = true
		if reserved[name] || strings.HasPrefix(name, NameRemote+"-") {
			problems = append(problems, fmt.Errorf("storage plugin %q: %w for a built-in backend", name, ErrReserved))
			continue
		}
		spec := PluginSpec{Name: name}
		for _, prefix := range []string{"storage_plugin.", "external_backend."} {
			if spec.ModulePath == "" {
				spec.ModulePath = c.ExtraString(prefix + name + ".module_path")
			}
			if spec.ClassName == "" {
				spec.ClassName = c.ExtraString(prefix + name + ".class_name")
			}
		}
		if spec.ModulePath == "" || spec.ClassName == "" {
			problems = append(problems, fmt.Errorf("storage plugin %q: extra_config needs storage_plugin.%s.module_path and storage_plugin.%s.class_name, both", name, name, name))
			continue
		}
		specs = append(specs, spec)
	}
	return specs, problems
}
