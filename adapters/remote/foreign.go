package remote

import (
	"context"
	"fmt"
	"time"

	"github.com/sixcall/sixcall/bridge"
	"github.com/sixcall/sixcall/bridge/engine"
)

// Foreign runs classes that are not written in Go, and programs, in processes of their
// own. The host sets it.
type Foreign interface {
	// Describe says what a class is. An error says why it is none.
	Describe(ctx context.Context, r ForeignRequest) (ForeignClass, error)
	// Open makes an instance, behind a bridge like that of [OpenFunc]. Its values have
	// LMCache's header. The caller closes it.
	Open(ctx context.Context, r ForeignRequest) (*bridge.Bridge, error)
}

// ForeignRequest names a class and says what it is made with.
type ForeignRequest struct {
	Module, Class string
	// Python is the interpreter, "" = the host's choice.
	Python   string
	URL      string
	Instance string // for errors and logs
	// Params is what the process gets: LMCache's configuration and metadata. nil for
	// Describe.
	Params map[string]any
}

// ForeignClass is what a class is.
type ForeignClass struct {
	// Adapter is set for a ConnectorAdapter, and Parses if it serves the URL.
	Adapter, Parses bool
}

// foreign makes the adapter of a class that is not written in Go. prefix begins the
// keys of extra_config that are about it.
func (f *Factory) foreign(module, class, prefix string) (a ConnectorAdapter, direct bool, err error) {
	r := ForeignRequest{Module: module, Class: class, URL: f.opts.Config.RemoteURL, Instance: class, Python: f.opts.Config.ExtraString(prefix + "python")}
	if r.Python == "" {
		r.Python = f.opts.Config.ExtraString("sixcall.python")
	}
	ctx, cancel := context.WithTimeout(context.Background(), describeTimeout)
	defer cancel()
	is, err := f.opts.Foreign.Describe(ctx, r)
	if err != nil {
		return nil, false, err
	}
	return foreignAdapter{request: r, url: r.URL, serves: is.Parses, foreign: f.opts.Foreign}, !is.Adapter, nil
}

// describeTimeout bounds the import of a class.
const describeTimeout = 3 * time.Minute

// foreignAdapter makes connectors of a class that is not written in Go.
type foreignAdapter struct {
	request ForeignRequest
	url     string // that was asked about
	serves  bool
	foreign Foreign
}

func (a foreignAdapter) CanParse(url string) bool { return a.serves && url == a.url }

func (a foreignAdapter) CreateConnector(c *ConnectorContext) (Connector, error) {
	r := a.request
	r.URL = c.URL
	if c.PluginName != "" {
		r.Instance = c.PluginName
	}
	layout := c.layout()
	r.Params = map[string]any{
		"url": c.URL, "plugin_name": c.PluginName, "config": settings(c.Config), "metadata": described(c.Metadata),
		"groups": len(layout.Shapes), "chunk_bytes": layout.Bytes(),
	}
	b, err := a.foreign.Open(c.Context, r)
	if err != nil {
		return nil, fmt.Errorf("%q of %q: %w", r.Class, r.Module, err)
	}
	return &headed{base: newBase(c, store{b}, r.Class)}, nil
}

// settings is the configuration under LMCache's names.
func settings(c *engine.Config) map[string]any {
	if c.All != nil {
		return c.All
	}
	return map[string]any{
		"chunk_size": c.ChunkSize, "local_cpu": c.LocalCPU, "max_local_cpu_size": c.MaxLocalCPUSize, "remote_url": c.RemoteURL,
		"remote_serde": c.RemoteSerde, "extra_config": c.Extra,
	}
}

// described is the metadata under LMCache's names.
func described(m *engine.Metadata) map[string]any {
	none := func(text string) any {
		if text == "" {
			return nil
		}
		return text
	}
	return map[string]any{
		"model_name": m.Model, "world_size": m.WorldSize, "local_world_size": m.LocalWorldSize, "worker_id": m.WorkerID,
		"local_worker_id": m.LocalWorkerID, "kv_dtype": string(m.KVDType), "kv_shape": m.KVShape[:], "use_mla": m.UseMLA,
		"role": none(m.Role), "served_model_name": none(m.ServedModel), "chunk_size": m.ChunkSize, "engine_id": none(m.EngineID),
	}
}
