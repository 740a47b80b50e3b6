package config

import (
	"context"
	"encoding/json"
	"fmt"

	"go.uber.org/zap"

	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/native"
)

// OpenConnector opens a connector without an adapter around it, with the default
// settings of [TypeNativePlugin]: modulePath and className as there, params as
// adapter_params. The caller closes it. instance names it in errors and logs.
//
// A connector in a process of its own shares the memory of [Builder.Arena], which
// should be set.
func (b Builder) OpenConnector(ctx context.Context, modulePath, className string, params json.RawMessage, instance string) (kv.Connector, error) {
	cfg := NewNativePlugin(modulePath, className)
	if len(params) > 0 {
		cfg.NativePlugin.AdapterParams = Params(params)
	}
	if err := cfg.Validate(); err != nil {
		return nil, &kv.Error{Op: "open", Connector: instance, Code: kv.Config, Err: oneLine(err)}
	}
	if b.Logger == nil {
		b.Logger = zap.NewNop()
	}
	conn, _, err := b.open(ctx, cfg.NativePlugin, instance)
	return conn, err
}

// FindLibrary is FindConnector for module paths that may also be programs or Python
// modules: those are not found.
func (b Builder) FindLibrary(modulePath string) (string, error) {
	switch kind, err := b.Kind(modulePath); {
	case err != nil:
		return "", err
	case kind != Library:
		return "", fmt.Errorf("module_path %q is a %s", modulePath, kind)
	}
	return b.FindConnector(modulePath)
}

// FindConnector returns the file of a connector library.
func (b Builder) FindConnector(modulePath string) (string, error) {
	return native.Find(modulePath, b.SearchPath)
}
