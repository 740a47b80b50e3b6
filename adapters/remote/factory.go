package remote

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/sixcall/sixcall/bridge/engine"
)

// Options configures a [Factory]. Config and Metadata are required.
type Options struct {
	Config   *engine.Config
	Metadata *engine.Metadata
	// LocalCPU makes what is read; nil on a scheduler.
	LocalCPU Allocator
	Registry *Registry // default: nothing is registered
	// Open opens connector libraries, Find says where one is.
	Open OpenFunc
	Find func(modulePath string) (path string, err error)
	// Foreign runs classes that are not written in Go. Default: there are none.
	Foreign Foreign
	Logger  *zap.Logger // default: discard
}

// Factory makes connectors from URLs and from the plugins of a configuration. Safe
// for concurrent use.
type Factory struct {
	opts     Options
	plugins  []plugin // in the order of the configuration
	external []plugin // external_connector.<scheme>
}

// plugin is an adapter that a configuration names.
type plugin struct {
	name    string // in remote_storage_plugins
	adapter ConnectorAdapter
	// byName is set for classes that are connectors, or are built in: they serve
	// their name and no URL.
	byName bool
}

// NewFactory loads the plugins of the configuration. problems are those that did
// not load; the others and all built-in schemes work.
func NewFactory(o Options) (f *Factory, problems []error) {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.LocalCPU == nil {
		o.LocalCPU = noMemory{}
	}
	f = &Factory{opts: o}
	seen := map[string]bool{}
	for _, name := range o.Config.RemoteStoragePlugins {
		if seen[name] {
			continue
		}
		seen[name] = true
		p, err := f.load(name)
		if err != nil {
			problems = append(problems, fmt.Errorf("remote storage plugin %q: %w", name, err))
			continue
		}
		f.plugins = append(f.plugins, p)
	}
	problems = append(problems, f.loadExternal()...)
	return f, problems
}

// load makes the adapter of one plugin.
func (f *Factory) load(name string) (plugin, error) {
	prefix := "remote_storage_plugin." + name + "."
	module, class := f.opts.Config.ExtraString(prefix+"module_path"), f.opts.Config.ExtraString(prefix+"class_name")
	if module == "" || class == "" {
		typ, _, _ := strings.Cut(name, ".")
		if a := builtinPlugin(typ); a != nil && module == "" && class == "" {
			return plugin{name: name, adapter: a, byName: true}, nil
		}
		return plugin{}, fmt.Errorf("%w: extra_config needs %smodule_path and %sclass_name, both", ErrConfig, prefix, prefix)
	}
	a, byName, err := f.resolve(module, class, prefix)
	return plugin{name: name, adapter: a, byName: byName}, err
}

// loadExternal binds external_connector.<scheme>.* to schemes.
func (f *Factory) loadExternal() (problems []error) {
	schemes := map[string]bool{}
	for key := range f.opts.Config.Extra {
		rest, ok := strings.CutPrefix(key, "external_connector.")
		if !ok {
			continue
		}
		for _, end := range []string{".module_path", ".class_name"} {
			if scheme, ok := strings.CutSuffix(rest, end); ok && scheme != "" {
				schemes[scheme] = true
			}
		}
	}
	for _, scheme := range slices.Sorted(mapKeys(schemes)) {
		prefix := "external_connector." + scheme + "."
		module, class := f.opts.Config.ExtraString(prefix+"module_path"), f.opts.Config.ExtraString(prefix+"class_name")
		if module == "" || class == "" {
			problems = append(problems, fmt.Errorf("external connector %q: %w: extra_config needs %smodule_path and %sclass_name, both", scheme, ErrConfig, prefix, prefix))
			continue
		}
		if builtin(scheme+"://") != nil {
			problems = append(problems, fmt.Errorf("external connector %q: %w: the scheme is built in, and stays so", scheme, ErrConfig))
			continue
		}
		a, byName, err := f.resolve(module, class, prefix)
		if err == nil && !byName {
			err = fmt.Errorf("%w: %q of %q is a ConnectorAdapter; name it in remote_storage_plugins", ErrType, class, module)
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("external connector %q: %w", scheme, err))
			continue
		}
		f.external = append(f.external, plugin{name: scheme, adapter: schemeOf{Scheme(scheme + "://"), a}})
	}
	return problems
}

func mapKeys(m map[string]bool) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// schemeOf is an adapter under another scheme.
type schemeOf struct {
	Scheme
	inner ConnectorAdapter
}

func (s schemeOf) CreateConnector(c *ConnectorContext) (Connector, error) {
	return s.inner.CreateConnector(c)
}

// classAdapter makes the connectors of a class that is no adapter.
type classAdapter struct {
	Scheme
	make ConnectorFactory
}

func (a classAdapter) CreateConnector(c *ConnectorContext) (Connector, error) {
	made, err := a.make(c)
	if err != nil {
		return nil, err
	}
	return asConnector(made)
}

// resolve finds what module path and class name mean: a class that the program
// registered, a connector library, or one that is not written in Go, for which prefix
// begins keys of extra_config. direct says that it makes connectors and has no scheme of
// its own.
func (f *Factory) resolve(module, class, prefix string) (a ConnectorAdapter, direct bool, err error) {
	found, err := f.opts.Registry.find(module, class)
	if err == nil {
		switch v := found.(type) {
		case AdapterFactory:
			if a = v(); a == nil {
				return nil, false, fmt.Errorf("%w: %q of %q made no adapter", ErrType, class, module)
			}
			return a, false, nil
		case ConnectorFactory:
			return classAdapter{make: v}, true, nil
		default:
			return nil, false, fmt.Errorf("%w: %q of module %q is a %T, want a ConnectorAdapter or a RemoteConnector", ErrType, class, module, found)
		}
	}
	if !errors.Is(err, ErrModule) || f.opts.Find == nil || f.opts.Open == nil {
		return nil, false, err
	}
	if _, findErr := f.opts.Find(module); findErr != nil {
		if f.opts.Foreign == nil {
			return nil, false, fmt.Errorf("%w; and it is no connector library: %w", err, findErr)
		}
		a, direct, foreignErr := f.foreign(module, class, prefix)
		if foreignErr != nil {
			return nil, false, fmt.Errorf("%w; and as no class of this program: %w", foreignErr, err)
		}
		return a, direct, nil
	}
	return classAdapter{make: func(c *ConnectorContext) (any, error) {
		return openLibrary(c, module, class, libraryParams(c))
	}}, true, nil
}

// Remote is one remote of a configuration.
type Remote struct {
	// Backend is the name of the storage backend, Plugin that of the plugin, "" for
	// remote_url.
	Backend, Plugin, URL string
}

// Remotes lists what a configuration asks for: its plugins, in order, then
// remote_url. A plugin whose adapter serves remote_url is that remote, and no other
// beside it.
func (f *Factory) Remotes() (out []Remote) {
	url := f.opts.Config.RemoteURL
	serves := -1
	if url != "" && builtin(url) == nil {
		serves = slices.IndexFunc(f.plugins, func(p plugin) bool { return !p.byName && p.adapter.CanParse(url) })
	}
	for i, p := range f.plugins {
		if i != serves {
			out = append(out, Remote{Backend: "RemoteBackend-" + p.name, Plugin: p.name, URL: pluginScheme + p.name})
		}
	}
	if url != "" {
		out = append(out, Remote{Backend: "RemoteBackend", URL: url})
	}
	return out
}

const pluginScheme = "plugin://"

// Create makes the connector of a remote.
func (f *Factory) Create(ctx context.Context, r Remote) (Connector, error) {
	c := &ConnectorContext{
		URL: r.URL, Context: ctx, LocalCPU: f.opts.LocalCPU, Config: f.opts.Config, Metadata: f.opts.Metadata,
		PluginName: r.Plugin, Logger: f.opts.Logger, Open: f.opts.Open, Factory: f,
	}
	a, err := f.adapter(r)
	if err != nil {
		return nil, err
	}
	conn, err := create(a, c)
	if err != nil {
		return nil, err
	}
	return Instrument(conn), nil
}

// create calls an adapter; a panic is an error.
func create(a ConnectorAdapter, c *ConnectorContext) (conn Connector, err error) {
	defer func() {
		if p := recover(); p != nil {
			conn, err = nil, fmt.Errorf("the connector adapter panicked: %v", p)
		}
	}()
	if conn, err = a.CreateConnector(c); err != nil {
		return nil, err
	}
	return asConnector(conn)
}

// adapter returns who serves a remote: by its name if it is a plugin, else built-in
// schemes, then plugins in their order, then external connectors.
func (f *Factory) adapter(r Remote) (ConnectorAdapter, error) {
	if r.Plugin != "" {
		for _, p := range f.plugins {
			if p.name == r.Plugin {
				return p.adapter, nil
			}
		}
		return nil, fmt.Errorf("%w: no plugin %q was loaded", ErrNoAdapter, r.Plugin)
	}
	if !strings.Contains(r.URL, "://") {
		return nil, fmt.Errorf("%w %q: it has no scheme, want scheme://host:port", ErrURL, r.URL)
	}
	if a := builtin(r.URL); a != nil {
		return a, nil
	}
	for _, p := range slices.Concat(f.plugins, f.external) {
		if p.adapter.CanParse(r.URL) {
			return p.adapter, nil
		}
	}
	return nil, fmt.Errorf("%w: %q; built in: %s", ErrNoAdapter, masked(r.URL), strings.Join(builtinSchemes(), ", "))
}
