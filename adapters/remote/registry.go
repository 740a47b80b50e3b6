package remote

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// AdapterFactory makes an adapter; it gets no arguments, as in LMCache.
type AdapterFactory func() ConnectorAdapter

// ConnectorFactory makes a connector without an adapter. What it returns has to
// implement [Connector]; the loader says which methods are missing.
type ConnectorFactory func(*ConnectorContext) (any, error)

// Registry knows the connectors and adapters of a program by module path and class
// name. Safe for concurrent use.
type Registry struct {
	mu      sync.RWMutex // guards modules
	modules map[string]map[string]any
}

// NewRegistry returns an empty registry.
func NewRegistry() *Registry { return &Registry{modules: map[string]map[string]any{}} }

// Register adds a class: an [AdapterFactory], a [ConnectorFactory], or anything else
// that a configuration may name by mistake and is told so.
func (r *Registry) Register(modulePath, className string, class any) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case modulePath == "" || className == "" || class == nil:
		return fmt.Errorf("register %q.%q: module path, class name and class must be given", modulePath, className)
	case r.modules[modulePath][className] != nil:
		return fmt.Errorf("class %q of module %q is registered already", className, modulePath)
	}
	switch f := class.(type) {
	case func() ConnectorAdapter:
		class = AdapterFactory(f)
	case func(*ConnectorContext) (any, error):
		class = ConnectorFactory(f)
	case func(*ConnectorContext) (Connector, error):
		class = ConnectorFactory(func(c *ConnectorContext) (any, error) { return f(c) })
	}
	if r.modules[modulePath] == nil {
		r.modules[modulePath] = map[string]any{}
	}
	r.modules[modulePath][className] = class
	return nil
}

// find returns a class. The error matches [ErrModule] or [ErrClass].
func (r *Registry) find(modulePath, className string) (any, error) {
	if r == nil {
		r = NewRegistry()
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	module, ok := r.modules[modulePath]
	if !ok {
		return nil, fmt.Errorf("%w: %q; registered: %s", ErrModule, modulePath, names(r.modules))
	}
	class, ok := module[className]
	if !ok {
		return nil, fmt.Errorf("%w: %q in module %q, which has: %s", ErrClass, className, modulePath, names(module))
	}
	return class, nil
}

func names[V any](m map[string]V) string {
	if len(m) == 0 {
		return "none"
	}
	return strings.Join(slices.Sorted(maps.Keys(m)), ", ")
}
