package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"go.uber.org/zap"

	"github.com/sixcall/sixcall/adapters/config"
	"github.com/sixcall/sixcall/adapters/config/lmcache"
	"github.com/sixcall/sixcall/adapters/launcher"
	"github.com/sixcall/sixcall/adapters/python"
	"github.com/sixcall/sixcall/adapters/remote"
	"github.com/sixcall/sixcall/adapters/storage"
	"github.com/sixcall/sixcall/bridge"
	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/engine"
)

// Options configures [Build]. Config and Metadata are required.
type Options struct {
	Config   *lmcache.Config
	Metadata *engine.Metadata
	// DstDevice is where the engine computes. Default "cpu".
	DstDevice string
	// Remotes and Plugins are the classes of this program that configurations name
	// by module path and class name.
	Remotes *remote.Registry
	Plugins *storage.Registry
	// Builder opens connector libraries: its search path and Go connectors.
	Builder config.Builder
	// Serde is what remote_serde names. Default: naive.
	Serde remote.Serde
	// WorkerCount is for plugin scripts. Default: the world size.
	WorkerCount int
	Logger      *zap.Logger // default: discard
}

// Host is an engine's storage. Close it.
type Host struct {
	Manager  *storage.Manager
	Monitor  *storage.Monitor
	Launcher *launcher.Launcher // nil until Launch
	// Problems are the parts of the configuration that did not come up. The others
	// work.
	Problems []error

	opts  Options
	arena *arena.Arena
	stop  context.CancelFunc
}

const gib = 1 << 30

// Build makes the backends in LMCache's order: CPU, peers, NIXL storage, disk, remotes, then
// storage plugins. An error means that the engine cannot start; what concerns one
// plugin or one remote is logged, kept in Problems, and left out.
func Build(ctx context.Context, o Options) (*Host, error) {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.DstDevice == "" {
		o.DstDevice = "cpu"
	}
	if o.Config == nil || o.Metadata == nil {
		return nil, errors.New("options Config and Metadata must be given")
	}
	if err := o.Config.Validate(); err != nil {
		return nil, err
	}
	memory, err := arena.New(arena.Options{})
	if err != nil {
		return nil, err
	}
	h := &Host{opts: o, arena: memory}
	h.opts.Builder.Arena, h.opts.Builder.Logger = memory, o.Logger
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	h.stop = stop
	if err := h.build(ctx, life); err != nil {
		_ = h.Close()
		return nil, err
	}
	return h, nil
}

func (h *Host) problem(err error) {
	h.Problems = append(h.Problems, err)
	h.opts.Logger.Error("a part of the configuration is left out", zap.Error(err))
}

func (h *Host) build(ctx, life context.Context) (err error) {
	o, c := h.opts, &h.opts.Config.Config
	mo := storage.Options{Metadata: o.Metadata, WriteBack: c.LocalCPU, Timeout: c.BlockingTimeout, Logger: o.Logger,
		RetrieveLocations: c.RetrieveLocations, StoreLocation: c.StoreLocation}
	if c.MaxLocalCPUSize > 0 && !o.Metadata.Scheduler() {
		if mo.CPU, err = storage.NewCPU(h.arena, int64(c.MaxLocalCPUSize*gib), c.CachePolicy, c.LocalCPU); err != nil {
			return err
		}
	}
	if h.Manager, err = storage.NewManager(mo); err != nil {
		return err
	}
	if p2p, _ := c.All["enable_p2p"].(bool); p2p {
		h.peers(ctx, mo.CPU)
	}
	if c.ExtraBool("enable_nixl_storage", false) {
		h.nixl(ctx, mo.CPU)
	}
	if len(c.LocalDisk) > 0 && c.MaxLocalDiskSize > 0 && mo.CPU != nil {
		h.disk(mo.CPU)
	}
	if err := h.remotes(ctx, mo.CPU); err != nil {
		return err
	}
	h.plugins(life, mo.CPU)
	interval, err := c.ExtraNumber("ping_interval", 30)
	if err != nil || interval < 0 {
		return fmt.Errorf("extra_config ping_interval is %v, want seconds", c.Extra["ping_interval"])
	}
	h.Monitor = storage.NewMonitor(h.Manager, storage.Fallback(c.ExtraString("fallback_policy")), time.Duration(interval*float64(time.Second)))
	return nil
}

// add puts a backend into the manager, with an audit around it if that is wanted.
func (h *Host) add(name string, make func() (storage.Backend, error)) {
	audited := h.opts.Config.ExtraBool("audit_backend_enabled", false)
	err := h.Manager.Add(name, func() (storage.Backend, error) {
		b, err := make()
		if err == nil && audited {
			b = storage.Audited(name, b, h.opts.Logger)
		}
		return b, err
	})
	if err != nil {
		h.problem(err)
	}
}

func (h *Host) disk(cpu *storage.CPU) {
	c, m := &h.opts.Config.Config, h.opts.Metadata
	threads, err := c.ExtraNumber("disk_io_threads", 4)
	if err != nil {
		h.problem(err)
		return
	}
	h.add(storage.NameLocalDisk, func() (storage.Backend, error) {
		d, err := storage.OpenDisk(storage.DiskOptions{
			Dir: storage.DiskDir(c.LocalDisk, m.LocalWorkerID), Capacity: int64(c.MaxLocalDiskSize * gib), Allocator: cpu,
			Policy: c.CachePolicy, Threads: int(threads), WorkerID: m.WorkerID, Logger: h.opts.Logger,
		})
		if err != nil {
			return nil, err
		}
		return d, nil
	})
}

// factory makes remote connectors of a configuration; kind is what classes in Python are.
func (h *Host) factory(c *engine.Config, cpu *storage.CPU, kind python.Kind) (*remote.Factory, []error) {
	fo := remote.Options{
		Config: c, Metadata: h.opts.Metadata, Registry: h.opts.Remotes, Logger: h.opts.Logger,
		Open: h.open, Find: h.opts.Builder.FindLibrary, Foreign: foreign{h, kind},
	}
	if cpu != nil {
		fo.LocalCPU = cpu
	}
	return remote.NewFactory(fo)
}

// open opens a connector library, a bridge around it.
func (h *Host) open(ctx context.Context, r remote.OpenRequest) (*bridge.Bridge, error) {
	params, err := json.Marshal(r.Params)
	if err != nil {
		return nil, err
	}
	conn, err := h.opts.Builder.OpenConnector(ctx, r.Connector, r.Class, params, r.Instance)
	if err != nil {
		return nil, err
	}
	return bridge.New(conn, bridge.Options{Name: r.Instance, RawKeys: true, Lengths: true, Arena: h.arena, Logger: h.opts.Logger})
}

func (h *Host) remotes(ctx context.Context, cpu *storage.CPU) error {
	c := &h.opts.Config.Config
	factory, problems := h.factory(c, cpu, python.Remote)
	for _, err := range problems {
		h.problem(err)
	}
	for _, r := range factory.Remotes() {
		if r.Plugin != "" && cpu == nil && !h.opts.Metadata.Scheduler() {
			h.problem(fmt.Errorf("%s needs memory for what it reads, and max_local_cpu_size is %v", r.Backend, c.MaxLocalCPUSize))
			continue
		}
		make := func() (storage.Backend, error) {
			b, err := remote.NewBackend(ctx, remote.BackendOptions{Remote: r, Factory: factory, Serde: h.opts.Serde})
			if err != nil {
				return nil, err
			}
			return b, nil
		}
		if r.Plugin == "" {
			// remote_url: a configuration that cannot be right stops the engine.
			if err := h.Manager.Add(r.Backend, make); err != nil {
				return err
			}
			continue
		}
		h.add(r.Backend, make)
	}
	return nil
}

func (h *Host) plugins(life context.Context, cpu *storage.CPU) {
	c := &h.opts.Config.Config
	if c.EnablePD && !c.LocalCPU {
		return
	}
	specs, problems := storage.PluginSpecs(c)
	for _, err := range problems {
		h.problem(err)
	}
	for _, spec := range specs {
		h.add(spec.Name, func() (storage.Backend, error) {
			f, err := h.plugin(spec, cpu)
			if err != nil {
				return nil, err
			}
			return storage.Make(f, storage.PluginContext{
				Name: spec.Name, DstDevice: h.opts.DstDevice, Config: c, Metadata: h.opts.Metadata, LocalCPU: cpu,
				Context: life, Logger: h.opts.Logger,
			})
		})
	}
}

// plugin finds the factory of a storage plugin: a class of this program, or else a
// connector library, a program or a class in Python, with a remote backend around it.
func (h *Host) plugin(spec storage.PluginSpec, cpu *storage.CPU) (storage.PluginFactory, error) {
	f, err := h.opts.Plugins.Find(spec.ModulePath, spec.ClassName)
	if err == nil {
		return f, nil
	}
	if !errors.Is(err, storage.ErrNotFound) || h.opts.Plugins.HasModule(spec.ModulePath) {
		return nil, err
	}
	return func(pc storage.PluginContext) (any, error) {
		c := *pc.Config
		c.RemoteSerde = "naive"
		c.RemoteStoragePlugins = []string{spec.Name}
		c.Extra = maps.Clone(c.Extra)
		for key, v := range pc.Config.Extra {
			for _, prefix := range []string{"external_backend.", "storage_plugin."} {
				if name, ok := cutPrefix(key, prefix+spec.Name+"."); ok {
					c.Extra["remote_storage_plugin."+spec.Name+"."+name] = v
				}
			}
		}
		factory, problems := h.factory(&c, cpu, python.Storage)
		if len(problems) > 0 {
			return nil, errors.Join(problems...)
		}
		return remote.NewBackend(pc.Context, remote.BackendOptions{
			Remote: remote.Remote{Backend: spec.Name, Plugin: spec.Name, URL: "plugin://" + spec.Name}, Factory: factory,
		})
	}, nil
}

func cutPrefix(s, prefix string) (string, bool) {
	if len(s) > len(prefix) && s[:len(prefix)] == prefix {
		return s[len(prefix):], true
	}
	return "", false
}

// Launch starts the plugin scripts. extra_config keys sixcall.plugin_restart (never,
// on-failure, always) and sixcall.plugin_grace_secs say more.
func (h *Host) Launch() error {
	c, m := &h.opts.Config.Config, h.opts.Metadata
	grace, err := c.ExtraNumber("sixcall.plugin_grace_secs", 5)
	if err != nil {
		return err
	}
	id, count := m.WorkerID, h.opts.WorkerCount
	if m.Role != launcher.RoleWorker && m.Role != "" {
		id = -1
	}
	if count == 0 {
		count = m.WorldSize
	}
	h.Launcher, err = launcher.Start(launcher.Options{
		Locations: c.PluginLocations, Role: m.Role, WorkerID: id, WorkerCount: count, Config: h.opts.Config.JSON(),
		Grace: time.Duration(grace * float64(time.Second)), Restart: launcher.Restart{Mode: launcher.RestartMode(c.ExtraString("sixcall.plugin_restart"))},
		Logger: h.opts.Logger,
	})
	return err
}

// Close ends scripts, monitor and backends.
func (h *Host) Close() error {
	var errs []error
	if h.Launcher != nil {
		errs = append(errs, h.Launcher.Stop())
	}
	if h.Monitor != nil {
		h.Monitor.Close()
	}
	if h.Manager != nil {
		errs = append(errs, h.Manager.Close())
	}
	h.stop()
	if err := h.arena.Close(); err != nil && !errors.Is(err, arena.ErrInUse) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
