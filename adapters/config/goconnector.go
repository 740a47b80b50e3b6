package config

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/internal/params"
)

// goScheme begins the module path of a connector that is written in Go.
const goScheme = "go:"

// GoConnector is a connector that is written in Go and linked into the program.
// Configurations name it with the module path "go:NAME" and the class name NAME.
type GoConnector struct {
	// Schema is the JSON Schema of the parameters, in the subset that a library's
	// config_schema has (connector.h).
	Schema string
	// Open connects. params were checked against Schema and hold their secrets in
	// the clear; instance names the adapter in errors. Errors must hold no secret.
	Open func(ctx context.Context, params json.RawMessage, instance string) (kv.Connector, error)
}

// builtinGoConnectors are part of every program.
var builtinGoConnectors = map[string]GoConnector{"s3": s3Connector}

// openGo opens the connector that p names.
func (b Builder) openGo(ctx context.Context, p *NativePlugin, instance string) (kv.Connector, error) {
	fail := func(format string, args ...any) (kv.Connector, error) {
		return nil, &kv.Error{Op: "open", Connector: instance, Code: kv.Config, Err: fmt.Errorf(format, args...)}
	}
	name := strings.TrimPrefix(p.ModulePath, goScheme)
	connector, ok := b.GoConnectors[name]
	if !ok {
		connector, ok = builtinGoConnectors[name]
	}
	if !ok {
		known := slices.Concat(slices.Collect(maps.Keys(b.GoConnectors)), slices.Collect(maps.Keys(builtinGoConnectors)))
		slices.Sort(known)
		return fail("module_path is %q, but this program has no such connector in Go; it has: %s", p.ModulePath, strings.Join(slices.Compact(known), ", "))
	}
	switch {
	case p.ClassName != name:
		return fail("class_name is %q, but %q is the connector %q", p.ClassName, p.ModulePath, name)
	case p.SHA256 != "":
		return fail("sha256 is given, but %q is part of this program and no file", p.ModulePath)
	case p.RequireCheck != 0:
		return fail("require_check is %d, but %q is part of this program and no file; leave it out", p.RequireCheck, p.ModulePath)
	case p.Isolation == IsolationProcess:
		return fail(`isolation is "process", but %q is part of this program; use "auto" or "none"`, p.ModulePath)
	}
	schema, err := params.ParseSchema(connector.Schema)
	if err != nil {
		return fail("the schema of %q is wrong: %w", p.ModulePath, err)
	}
	parsed, errs := params.Parse(json.RawMessage(p.AdapterParams))
	if len(errs) == 0 {
		errs = schema.Validate(parsed)
	}
	if len(errs) > 0 {
		return fail("%s", parsed.Mask(oneLine(errors.Join(errs...)).Error()))
	}
	text, err := parsed.Encode()
	if err != nil {
		return fail("%w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, p.OpenTimeout)
	defer cancel()
	return connector.Open(ctx, text, instance)
}
