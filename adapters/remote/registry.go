package remote

import (
	"fmt"

	"github.com/sixcall/sixcall/bridge/engine"
)

// AdapterFactory makes an adapter; it gets no arguments, as in LMCache.
type AdapterFactory func() ConnectorAdapter

// ConnectorFactory makes a connector without an adapter. What it returns has to
// implement [Connector]; the loader says which methods are missing.
type ConnectorFactory func(*ConnectorContext) (any, error)

// Registry knows the connectors and adapters of a program by module path and class
// name. Safe for concurrent use.
type Registry struct{ classes engine.Classes[any] }

// NewRegistry returns an empty registry.
func NewRegistry() *Registry { return &Registry{} }

// Register adds a class: an [AdapterFactory], a [ConnectorFactory], or anything else
// that a configuration may name by mistake and is told so.
func (r *Registry) Register(modulePath, className string, class any) error {
	given := class != nil
	switch f := class.(type) {
	case func() ConnectorAdapter:
		class = AdapterFactory(f)
	case func(*ConnectorContext) (any, error):
		class = ConnectorFactory(f)
	case func(*ConnectorContext) (Connector, error):
		class = ConnectorFactory(func(c *ConnectorContext) (any, error) { return f(c) })
	}
	return r.classes.Add(modulePath, className, "class", class, given)
}

// find returns a class. The error matches [ErrModule] or [ErrClass].
func (r *Registry) find(modulePath, className string) (any, error) {
	if r == nil {
		r = NewRegistry()
	}
	class, others, found := r.classes.Find(modulePath, className)
	switch found {
	case engine.NoModule:
		return nil, fmt.Errorf("%w: %q; registered: %s", ErrModule, modulePath, others)
	case engine.NoClass:
		return nil, fmt.Errorf("%w: %q in module %q, which has: %s", ErrClass, className, modulePath, others)
	}
	return class, nil
}
