package engine

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Classes maps module paths and class names, by which configurations name code, to
// what a program registered. The zero value is empty. Safe for concurrent use.
type Classes[T any] struct {
	mu      sync.RWMutex // guards modules
	modules map[string]map[string]T
}

// Found says how far a search came.
type Found int

// How far a search came.
const (
	NoModule Found = iota
	NoClass
	Known
)

// Add adds v, of a kind that errors name, unless it is not given or the name is
// taken.
func (c *Classes[T]) Add(modulePath, className, kind string, v T, given bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if modulePath == "" || className == "" || !given {
		return fmt.Errorf("register %q.%q: module path, class name and %s must be given", modulePath, className, kind)
	}
	if _, taken := c.modules[modulePath][className]; taken {
		return fmt.Errorf("class %q of module %q is registered already", className, modulePath)
	}
	if c.modules == nil {
		c.modules = map[string]map[string]T{}
	}
	if c.modules[modulePath] == nil {
		c.modules[modulePath] = map[string]T{}
	}
	c.modules[modulePath][className] = v
	return nil
}

// Find returns what has the name. Without it, others are the modules, or the
// classes of the module, that there are, as text.
func (c *Classes[T]) Find(modulePath, className string) (v T, others string, found Found) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	module, ok := c.modules[modulePath]
	if !ok {
		return v, names(c.modules), NoModule
	}
	if v, ok = module[className]; !ok {
		return v, names(module), NoClass
	}
	return v, "", Known
}

func names[V any](m map[string]V) string {
	if len(m) == 0 {
		return "none"
	}
	return strings.Join(slices.Sorted(maps.Keys(m)), ", ")
}
