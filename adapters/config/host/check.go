package host

import (
	"context"
	"fmt"

	"go.uber.org/zap"

	"github.com/sixcall/sixcall/adapters/python"
	"github.com/sixcall/sixcall/adapters/remote"
	"github.com/sixcall/sixcall/adapters/storage"
	"github.com/sixcall/sixcall/bridge/engine"
)

// Check looks for what a configuration names: classes of the program, libraries,
// programs, and classes in Python, which it imports. It makes no instance of any and
// connects to nothing. problems are those that [Build] would report of them.
func Check(ctx context.Context, o Options) (problems []error) {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Metadata == nil {
		o.Metadata = &engine.Metadata{}
	}
	h := &Host{opts: o}
	c := &o.Config.Config
	_, problems = h.factory(c, nil, python.Remote)
	specs, more := storage.PluginSpecs(c)
	problems = append(problems, more...)
	for _, spec := range specs {
		_, err := h.plugin(spec, nil)
		if err == nil && !o.Plugins.HasModule(spec.ModulePath) {
			err = h.checkForeign(ctx, spec)
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("storage plugin %q: %w", spec.Name, err))
		}
	}
	return problems
}

// checkForeign looks at a storage plugin that is no class of this program.
func (h *Host) checkForeign(ctx context.Context, spec storage.PluginSpec) error {
	if _, err := h.opts.Builder.FindLibrary(spec.ModulePath); err == nil {
		return nil
	}
	c := h.opts.Config
	interpreter := c.ExtraString("sixcall.python")
	for _, prefix := range []string{"external_backend.", "storage_plugin."} {
		if own := c.ExtraString(prefix + spec.Name + ".python"); own != "" {
			interpreter = own
		}
	}
	_, err := describe(ctx, h.opts.Builder, python.Storage, remote.ForeignRequest{Module: spec.ModulePath, Class: spec.ClassName, Python: interpreter, Instance: spec.Name})
	return err
}
