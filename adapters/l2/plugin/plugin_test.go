package plugin_test

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/adapters/l2/mock"
	"github.com/sixcall/sixcall/adapters/l2/plugin"
	"github.com/sixcall/sixcall/bridge/kv"
)

const (
	module = "my_plugin.adapter"
	class  = "MyL2Adapter"
)

// recorder is a factory that remembers what it got.
type recorder struct {
	config any
	host   plugin.HostInfo
	made   *mock.Adapter
}

func (r *recorder) make(config any, host plugin.HostInfo) (l2.Adapter, error) {
	r.config, r.host = config, host
	a, err := mock.New(mock.Options{MaxSizeBytes: 1000, BandwidthBytesPerSecond: 1})
	r.made = a
	return a, err
}

func newMock(t testing.TB) *mock.Adapter {
	t.Helper()
	a, err := mock.New(mock.Options{MaxSizeBytes: 1000, BandwidthBytesPerSecond: 1})
	require.NoError(t, err)
	t.Cleanup(func() { _ = a.Close() })
	return a
}

// registryOf has one class.
func registryOf(t testing.TB, f plugin.Factory, opts ...plugin.Option) *plugin.Registry {
	t.Helper()
	r := plugin.NewRegistry()
	require.NoError(t, r.Register(module, class, f, append(opts, plugin.SafeForConcurrentUse())...))
	return r
}

// create makes an adapter and closes it at the end of the test.
func create(t testing.TB, r *plugin.Registry, cfg plugin.Config, host plugin.HostInfo) error {
	t.Helper()
	if cfg.ModulePath == "" {
		cfg.ModulePath, cfg.ClassName = module, class
	}
	a, err := plugin.New(r, cfg, host)
	if err != nil {
		require.Nil(t, a)
		return err
	}
	require.NoError(t, a.Close())
	return nil
}

type explicitConfig struct {
	Host string `json:"host"`
}

type conventionConfig struct {
	Host string `json:"host"`
}

type attributeConfig struct {
	Host string `json:"host"`
}

// Row 76, a class that lacks a method, cannot happen here: a Factory returns an
// l2.Adapter, and a type without one of its methods does not compile. What it can
// still return is nothing; see row 79.
func TestRow77ConfigurationTypeIsFound(t *testing.T) {
	explicit := plugin.ConfigType("Explicit", func() *explicitConfig { return &explicitConfig{} })
	convention := plugin.ConfigType(class+"Config", func() *conventionConfig { return &conventionConfig{} })
	attribute := plugin.ConfigType("Attribute", func() *attributeConfig { return &attributeConfig{} })
	declared := plugin.ConfigClassName("Attribute")
	for _, tc := range []struct {
		name     string
		opts     []plugin.Option
		explicit string
		want     any
		err      string
	}{
		{"row 77: explicit wins", []plugin.Option{explicit, convention, attribute, declared}, "Explicit", &explicitConfig{"h"}, ""},
		{"row 77: then convention", []plugin.Option{explicit, convention, attribute, declared}, "", &conventionConfig{"h"}, ""},
		{"row 77: then attribute", []plugin.Option{explicit, attribute, declared}, "", &attributeConfig{"h"}, ""},
		{"row 78: none gives the raw map", []plugin.Option{explicit, attribute}, "", map[string]any{"host": "h"}, ""},
		{"explicit but wrong is an error", []plugin.Option{explicit, convention}, "Explizit", nil, `config_class_name is "Explizit"; module "my_plugin.adapter" has: Explicit, MyL2AdapterConfig`},
		{"explicit without any type is an error", nil, "Explicit", nil, "has: none"},
		{"declared but missing is an error", []plugin.Option{explicit, declared}, "", nil, `config_class_name is "Attribute"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := &recorder{}
			err := create(t, registryOf(t, r.make, tc.opts...), plugin.Config{
				ModulePath: module, ClassName: class, ConfigClassName: tc.explicit, AdapterParams: json.RawMessage(`{"host": "h"}`),
			}, plugin.HostInfo{})
			if tc.err != "" {
				require.ErrorIs(t, err, plugin.ErrConfigNotFound)
				require.ErrorIs(t, err, kv.Config)
				require.ErrorContains(t, err, tc.err)
				require.Nil(t, r.made, "the factory is not called")
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.want, r.config)
		})
	}
	t.Run("types of another class of the module are found, of another module not", func(t *testing.T) {
		r := &recorder{}
		registry := registryOf(t, r.make)
		safe := plugin.SafeForConcurrentUse()
		require.NoError(t, registry.Register(module, "Other", r.make, safe, explicit))
		require.NoError(t, registry.Register("elsewhere", class, r.make, safe, convention))
		require.NoError(t, create(t, registry, plugin.Config{ModulePath: module, ClassName: class, ConfigClassName: "Explicit"}, plugin.HostInfo{}))
		require.IsType(t, &explicitConfig{}, r.config)
		require.NoError(t, create(t, registry, plugin.Config{}, plugin.HostInfo{}))
		require.IsType(t, map[string]any{}, r.config)
	})
}

// broken is an adapter with event fds of choice.
type broken struct {
	l2.Adapter
	store, lookup, load func() int
}

func (b broken) StoreEventFD() int         { return b.store() }
func (b broken) LookupAndLockEventFD() int { return b.lookup() }
func (b broken) LoadEventFD() int          { return b.load() }

func fixed(fd int) func() int { return func() int { return fd } }

func TestRow79Errors(t *testing.T) {
	good := &recorder{}
	registry := registryOf(t, good.make)
	require.NoError(t, registry.Register("b_module", "B", good.make, plugin.SafeForConcurrentUse()))
	require.NoError(t, registry.Register(module, "Another", good.make, plugin.SafeForConcurrentUse()))

	t.Run("row 79: unknown module names the registered ones", func(t *testing.T) {
		err := create(t, registry, plugin.Config{ModulePath: "my_plugin.adaptor", ClassName: class}, plugin.HostInfo{})
		require.ErrorIs(t, err, plugin.ErrModuleNotFound)
		require.ErrorIs(t, err, kv.Config)
		require.ErrorContains(t, err, `module_path is "my_plugin.adaptor"; registered: b_module, my_plugin.adapter`)
		require.ErrorContains(t, create(t, plugin.NewRegistry(), plugin.Config{}, plugin.HostInfo{}), "registered: none")
	})
	t.Run("row 79: unknown class names those of the module", func(t *testing.T) {
		err := create(t, registry, plugin.Config{ModulePath: module, ClassName: "B"}, plugin.HostInfo{})
		require.ErrorIs(t, err, plugin.ErrClassNotFound)
		require.ErrorIs(t, err, kv.Config)
		require.NotErrorIs(t, err, plugin.ErrModuleNotFound)
		require.ErrorContains(t, err, `class_name is "B"; module "my_plugin.adapter" has: Another, MyL2Adapter`)
	})
	for name, f := range map[string]plugin.Factory{
		"nil":           func(any, plugin.HostInfo) (l2.Adapter, error) { return nil, nil },
		"a nil pointer": func(any, plugin.HostInfo) (l2.Adapter, error) { return (*mock.Adapter)(nil), nil },
		"a panic":       func(any, plugin.HostInfo) (l2.Adapter, error) { panic("on purpose") },
	} {
		t.Run("row 79: a factory that makes "+name, func(t *testing.T) {
			err := create(t, registryOf(t, f), plugin.Config{}, plugin.HostInfo{})
			require.ErrorIs(t, err, plugin.ErrNotAnAdapter)
			require.ErrorIs(t, err, kv.Internal)
		})
	}
	t.Run("row 79: an adapter that breaks the contract is closed", func(t *testing.T) {
		a := newMock(t)
		shared := func(any, plugin.HostInfo) (l2.Adapter, error) {
			return broken{a, a.StoreEventFD, a.StoreEventFD, a.LoadEventFD}, nil
		}
		err := create(t, registryOf(t, shared), plugin.Config{}, plugin.HostInfo{})
		require.ErrorIs(t, err, plugin.ErrNotAnAdapter)
		require.ErrorContains(t, err, "LookupAndLockEventFD")
		require.Equal(t, -1, a.StoreEventFD(), "closed")
	})
	t.Run("an error of the factory keeps its code, and what came with it is closed", func(t *testing.T) {
		a, cause := newMock(t), errors.New("no route to host")
		failing := func(any, plugin.HostInfo) (l2.Adapter, error) {
			return a, &kv.Error{Op: "connect", Code: kv.Unavailable, Err: cause}
		}
		err := create(t, registryOf(t, failing), plugin.Config{}, plugin.HostInfo{})
		require.ErrorIs(t, err, kv.Unavailable)
		require.ErrorIs(t, err, cause)
		require.Equal(t, -1, a.StoreEventFD())
	})
}

func TestRow80HostInfo(t *testing.T) {
	r := &recorder{}
	registry := registryOf(t, r.make)
	require.NoError(t, create(t, registry, plugin.Config{}, plugin.HostInfo{}))
	require.Nil(t, r.host.L1, "the host did not say")
	require.NotNil(t, r.host.Logger, "there is always a logger")
	desc := &plugin.L1MemoryDesc{Memory: kv.Memory{Bytes: make([]byte, 4096), FD: -1}, AlignBytes: 4096}
	require.NoError(t, create(t, registry, plugin.Config{}, plugin.HostInfo{L1: desc}))
	require.Same(t, desc, r.host.L1, "row 80")
}

func TestRegisterReportsEverything(t *testing.T) {
	r := &recorder{}
	registry := plugin.NewRegistry()
	config := plugin.ConfigType("C", func() *explicitConfig { return &explicitConfig{} })
	require.NoError(t, registry.Register(module, class, r.make, plugin.SafeForConcurrentUse(), config))
	for want, register := range map[string]func() error{
		"module path is empty":   func() error { return registry.Register("", "A", r.make, plugin.SafeForConcurrentUse()) },
		"class name is empty":    func() error { return registry.Register("m", "", r.make, plugin.SafeForConcurrentUse()) },
		"factory is nil":         func() error { return registry.Register("m", "A", nil, plugin.SafeForConcurrentUse()) },
		"SafeForConcurrentUse":   func() error { return registry.Register("m", "A", r.make) },
		"is registered already":  func() error { return registry.Register(module, class, r.make, plugin.SafeForConcurrentUse()) },
		`"C" of module "my_plug`: func() error { return registry.Register(module, "A", r.make, plugin.SafeForConcurrentUse(), config) },
		"given twice": func() error {
			return registry.Register("m", "A", r.make, plugin.SafeForConcurrentUse(), config, config)
		},
		"has no name": func() error {
			return registry.Register("m", "A", r.make, plugin.SafeForConcurrentUse(), plugin.ConfigType("", func() *explicitConfig { return nil }))
		},
		"want a struct": func() error {
			return registry.Register("m", "A", r.make, plugin.SafeForConcurrentUse(), plugin.ConfigType("N", func() *int { return new(int) }))
		},
	} {
		err := register()
		require.ErrorIs(t, err, kv.Invalid, want)
		require.ErrorContains(t, err, want)
	}
	err := registry.Register("", "", nil)
	require.Equal(t, 3, strings.Count(err.Error(), "; "), "all at once, in one line: %v", err)
	require.Equal(t, []string{module}, registry.Modules(), "a refused registration changes nothing")
	require.Equal(t, []string{class}, registry.Classes(module))
	require.Empty(t, registry.Classes("m"))
	require.True(t, registry.Has(module, class))
	require.False(t, registry.Has(module, "A"))
}

func TestCheck(t *testing.T) {
	a, other := newMock(t), newMock(t)
	require.NoError(t, plugin.Check(a))
	require.NoError(t, plugin.Check(a, other))
	dir, err := filepath.Abs(".")
	require.NoError(t, err)
	n := 0
	for want, bad := range map[string]broken{
		"LoadEventFD is -1":                             {a, a.StoreEventFD, a.LookupAndLockEventFD, fixed(-1)},
		"which is LookupAndLockEventFD; each needs":     {a, a.StoreEventFD, a.LookupAndLockEventFD, a.LookupAndLockEventFD},
		"which is LoadEventFD of adapter 0":             {a, other.LoadEventFD, a.LookupAndLockEventFD, a.LoadEventFD},
		"must stay the same until Close":                {a, func() int { n++; return []int{a.StoreEventFD(), other.StoreEventFD()}[n%2] }, a.LookupAndLockEventFD, a.LoadEventFD},
		"StoreEventFD: event fd 1000000: bad file":      {a, fixed(1_000_000), a.LookupAndLockEventFD, a.LoadEventFD},
		"cannot be polled; want an eventfd, a pipe or ": {a, fixed(openDir(t, dir)), a.LookupAndLockEventFD, a.LoadEventFD},
	} {
		t.Run(want, func(t *testing.T) { require.ErrorContains(t, plugin.Check(bad, other), want) })
	}
	err = plugin.Check(broken{a, fixed(-1), fixed(-1), fixed(-1)})
	require.Equal(t, 2, strings.Count(err.Error(), "; "), "all at once: %v", err)
	require.NoError(t, a.Close())
	require.Error(t, plugin.Check(a))
	require.NoError(t, plugin.Check(other, a), "a closed adapter shares nothing")
}

func TestCloseReleasesEverything(t *testing.T) {
	r := &recorder{}
	registry := registryOf(t, r.make)
	require.NoError(t, create(t, registry, plugin.Config{}, plugin.HostInfo{})) // warms the poller up
	fds, goroutines := openFDs(), runtime.NumGoroutine()
	for range 10 {
		require.NoError(t, create(t, registry, plugin.Config{}, plugin.HostInfo{}))
	}
	// A goroutine that was waited for may take a moment to be gone. (Eventually has
	// one of its own, so it cannot count them.)
	for i := 0; i < 10_000 && runtime.NumGoroutine() > goroutines; i++ {
		time.Sleep(time.Millisecond)
	}
	require.LessOrEqual(t, runtime.NumGoroutine(), goroutines)
	require.LessOrEqual(t, openFDs(), fds)
}

func openFDs() int {
	links, _ := filepath.Glob("/proc/self/fd/*")
	return len(links)
}
