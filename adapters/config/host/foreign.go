package host

import (
	"context"
	"encoding/json"
	"maps"
	"time"

	"github.com/sixcall/sixcall/adapters/config"
	"github.com/sixcall/sixcall/adapters/python"
	"github.com/sixcall/sixcall/adapters/remote"
	"github.com/sixcall/sixcall/bridge"
	"github.com/sixcall/sixcall/bridge/worker"
)

// closeGrace is what work in flight may take at the end, and then what closing may: of
// both, a remote backend waits for ten seconds.
const closeGrace = 3 * time.Second

// foreign runs classes in Python, and programs, for [remote.Factory].
type foreign struct {
	h    *Host
	kind python.Kind
}

func (f foreign) Describe(ctx context.Context, r remote.ForeignRequest) (remote.ForeignClass, error) {
	is, err := describe(ctx, f.h.opts.Builder, f.kind, r)
	return remote.ForeignClass(is), err
}

// describe says what a class is; a program makes connectors and has no scheme.
func describe(ctx context.Context, b config.Builder, kind python.Kind, r remote.ForeignRequest) (python.Class, error) {
	what, err := b.Kind(r.Module)
	switch {
	case err != nil:
		return python.Class{}, err
	case what == config.Library: // which was looked for, and is not there
		_, err := b.FindConnector(r.Module)
		return python.Class{}, err
	case what == config.Program:
		return python.Class{}, nil
	}
	return python.Describe(ctx, python.Options{
		Kind: kind, Module: r.Module, Class: r.Class, Python: r.Python, Worker: worker.Options{Instance: r.Instance},
	}, r.URL)
}

func (f foreign) Open(ctx context.Context, r remote.ForeignRequest) (*bridge.Bridge, error) {
	given := maps.Clone(r.Params)
	given["dst_device"] = f.h.opts.DstDevice
	params, err := json.Marshal(given)
	if err != nil {
		return nil, err
	}
	conn, err := f.h.opts.Builder.OpenPlugin(ctx, f.kind, r.Module, r.Class, r.Python, params, r.Instance)
	if err != nil {
		return nil, err
	}
	return bridge.New(conn, bridge.Options{
		Name: r.Instance, RawKeys: true, Lengths: true, Arena: f.h.arena, Logger: f.h.opts.Logger, CloseGrace: closeGrace,
	})
}
