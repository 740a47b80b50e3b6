package config

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"go.uber.org/zap"

	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/adapters/l2/plugin"
	"github.com/sixcall/sixcall/adapters/python"
	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/bridge/worker"
	"github.com/sixcall/sixcall/native"
)

// makePlugin makes the adapter that module path and class name mean: a class that the
// program registered, a connector library, a program, or a class in Python.
func (b Builder) makePlugin(ctx context.Context, cfg L2Adapter) (l2.Adapter, error) {
	p := cfg.Plugin
	adapter, err := plugin.New(b.Plugins, plugin.Config{
		ModulePath: p.ModulePath, ClassName: p.ClassName,
		AdapterParams: []byte(p.AdapterParams), ConfigClassName: p.ConfigClassName,
	}, plugin.HostInfo{Logger: b.Logger})
	if !errors.Is(err, plugin.ErrModuleNotFound) {
		if names := p.given(); err == nil && names != "" {
			_ = adapter.Close()
			return nil, &kv.Error{Op: "create", Connector: b.Instance, Code: kv.Config,
				Err: fmt.Errorf("%s: given, but %q is a module of this program in Go; leave it out", names, p.ModulePath)}
		}
		return adapter, err
	}
	if what, _ := b.Kind(p.ModulePath); what == Library {
		return b.makeNative(ctx, L2Adapter{Type: TypeNativePlugin, NativePlugin: p.hosting()})
	}
	conn, openErr := b.openForeign(ctx, p.hosting(), python.Options{Kind: python.L2, Python: p.Python, ConfigClass: p.ConfigClassName}, b.Instance)
	if openErr != nil {
		code, cause := kv.Internal, openErr
		var known *kv.Error
		if errors.As(openErr, &known) && known.Err != nil {
			code, cause = known.Code, known.Err
		}
		return nil, &kv.Error{Op: "create", Connector: b.Instance, Code: code,
			Err: fmt.Errorf("%w (this program registered no class under module_path %q: %w)", cause, p.ModulePath, plugin.ErrModuleNotFound)}
	}
	return b.adapt(conn, conn.Arena(), p.hosting())
}

// ModuleKind is what a module path is when the program registered nothing under it.
type ModuleKind string

// The kinds of modules.
const (
	Library ModuleKind = "connector library"
	Program ModuleKind = "program"
	Python  ModuleKind = "python module"
)

var libraryName = regexp.MustCompile(`\.so(\.[0-9]+)*$`)

// Kind says what a module path means, by its form and by what there is: with a slash
// it is a file, a connector library (*.so) or a program; a bare name is a connector
// that is found, or else a Python module. The error says why it is none of them.
func (b Builder) Kind(modulePath string) (ModuleKind, error) {
	if !strings.Contains(modulePath, "/") {
		if _, err := native.Find(modulePath, b.SearchPath); err == nil {
			return Library, nil
		}
		if python.IsModule(modulePath) {
			return Python, nil
		}
		return "", fmt.Errorf("module_path is %q, want the name of a connector that is installed, a file, or the import path of a Python module", modulePath)
	}
	info, err := os.Stat(modulePath)
	switch {
	case libraryName.MatchString(modulePath):
		return Library, nil
	case err != nil:
		return "", fmt.Errorf("module_path: %w", err)
	case !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0:
		hint := ""
		if strings.HasSuffix(modulePath, ".py") {
			hint = "; a Python module is named by its import path, with its folder on PYTHONPATH"
		}
		return "", fmt.Errorf("module_path is %q, which is neither a library (*.so) nor executable%s", modulePath, hint)
	}
	return Program, nil
}

// openForeign opens what is neither Go nor a library: a program that speaks the
// worker's protocol, or a class in Python. how says what kind of class and with which
// interpreter.
func (b Builder) openForeign(ctx context.Context, p *NativePlugin, how python.Options, name string) (*worker.Connector, error) {
	fail := func(err error) (*worker.Connector, error) {
		return nil, &kv.Error{Op: "open", Connector: name, Code: kv.Config, Err: err}
	}
	for key, given := range map[string]bool{"sha256": p.SHA256 != "", "require_check": p.RequireCheck != 0, `isolation "none"`: p.Isolation == IsolationNone} {
		if given {
			return fail(fmt.Errorf("%s: given, but %q is no connector library; leave it out", key, p.ModulePath))
		}
	}
	kind, err := b.Kind(p.ModulePath)
	if err != nil {
		return fail(err)
	}
	if kind == Library {
		return fail(fmt.Errorf("module_path %q is a connector library", p.ModulePath))
	}
	opts := b.workerOptions(p, name)
	if kind == Program {
		if how.Python != "" {
			return fail(fmt.Errorf("python is %q, but module_path %q is a program", how.Python, p.ModulePath))
		}
		path, err := filepath.Abs(p.ModulePath)
		if err != nil {
			return fail(err)
		}
		opts.Program, opts.Library = path, path
		// What a program may do is its own business: it would have to forbid it itself.
		opts.ClassName, opts.AllowExec = p.ClassName, true
		return worker.Open(ctx, opts)
	}
	how.Module, how.Class, how.Worker = p.ModulePath, p.ClassName, opts
	conn, err := python.Open(ctx, how)
	if err != nil {
		return nil, err
	}
	for _, warning := range conn.Status().Warnings {
		b.Logger.Warn(warning, zap.String("connector", name))
	}
	return conn, nil
}

// OpenPlugin opens a program or a class in Python as a connector, with the settings of
// [Plugin] at their defaults. kind is what the class is, interpreter as
// [Plugin].Python. The caller closes it.
func (b Builder) OpenPlugin(ctx context.Context, kind python.Kind, modulePath, className, interpreter string, params json.RawMessage, instance string) (kv.Connector, error) {
	if b.Logger == nil {
		b.Logger = zap.NewNop()
	}
	p := (&Plugin{ModulePath: modulePath, ClassName: className, AdapterParams: "{}"}).hosting()
	if len(params) > 0 {
		p.AdapterParams = Params(params)
	}
	conn, err := b.openForeign(ctx, p, python.Options{Kind: kind, Python: interpreter}, instance)
	if err != nil {
		return nil, err
	}
	return conn, nil
}
