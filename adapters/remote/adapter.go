package remote

import (
	"context"
	"errors"
	"strings"

	"go.uber.org/zap"

	"github.com/sixcall/sixcall/bridge/engine"
)

// ConnectorAdapter makes the connectors of a URL scheme.
type ConnectorAdapter interface {
	// CanParse reports whether the adapter is meant by url. [Scheme] has it.
	CanParse(url string) bool
	CreateConnector(c *ConnectorContext) (Connector, error)
}

// Scheme is the part of an adapter that knows its URLs: embed it, with a text such
// as "mystore://".
type Scheme string

// CanParse reports whether url begins with the scheme, in any case.
func (s Scheme) CanParse(url string) bool {
	return s != "" && len(url) >= len(s) && strings.EqualFold(url[:len(s)], string(s))
}

// Allocator makes the objects that connectors read; see package storage.
type Allocator interface {
	Allocate(ctx context.Context, layout engine.Layout, wait bool) (*engine.Object, error)
	Pool() *engine.Pool
}

// ConnectorContext is what a connector is made with. Fields are only ever added.
type ConnectorContext struct {
	URL string
	// Context ends with the backend: LMCache's event loop, for work in the
	// background.
	Context context.Context
	// LocalCPU is never nil. On a scheduler, or without memory, it refuses.
	LocalCPU Allocator
	Config   *engine.Config
	Metadata *engine.Metadata
	// PluginName is the name in remote_storage_plugins, such as fs.primary; "" for
	// remote_url.
	PluginName string
	Logger     *zap.Logger
	// Open opens a connector library; the host sets it.
	Open OpenFunc
	// Factory makes the connector of another URL, for connectors around one.
	Factory *Factory
}

// FullChunkBytes returns the size of a whole chunk.
func (c *ConnectorContext) FullChunkBytes() int { return c.Metadata.ChunkBytes() }

// PluginType returns the plugin's name up to its first dot.
func (c *ConnectorContext) PluginType() string {
	name, _, _ := strings.Cut(c.PluginName, ".")
	return name
}

// setting returns extra_config "remote_storage_plugin.<name>.<key>", else the key
// alone.
func (c *ConnectorContext) setting(key string) string {
	if c.PluginName != "" {
		for _, name := range []string{c.PluginName, c.PluginType()} {
			if v := c.Config.ExtraString("remote_storage_plugin." + name + "." + key); v != "" {
				return v
			}
		}
	}
	return c.Config.ExtraString(key)
}

// layout returns the layout of a whole chunk.
func (c *ConnectorContext) layout() engine.Layout { return c.Metadata.Layout() }

// noMemory stands for the CPU backend where there is none.
type noMemory struct{}

var errNoMemoryHere = errors.New("this process has no CPU backend (a scheduler, or max_local_cpu_size is 0): it can look up, not read")

func (noMemory) Allocate(context.Context, engine.Layout, bool) (*engine.Object, error) {
	return nil, errNoMemoryHere
}

func (noMemory) Pool() *engine.Pool { return nil }
