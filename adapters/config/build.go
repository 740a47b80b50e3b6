package config

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/adapters/l2/eviction"
	"github.com/sixcall/sixcall/adapters/l2/eviction/quota"
	"github.com/sixcall/sixcall/adapters/l2/faultinject"
	"github.com/sixcall/sixcall/adapters/l2/mock"
	"github.com/sixcall/sixcall/adapters/l2/plugin"
	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/bridge/worker"
)

// Adapter is an L2 adapter with both faces.
type Adapter interface {
	l2.Adapter
	l2.Client
}

// Builder builds adapters. The zero value is ready to use. A Builder may be
// copied and is safe for concurrent use.
type Builder struct {
	// Instance names the adapter in logs and errors. Default: its class name.
	Instance string
	// SearchPath is searched for connectors before all other places.
	SearchPath []string
	// ValueLenHint is the usual size of a value in bytes. Default 0: not known.
	ValueLenHint int64
	// Arena is the memory that transfers without a copy; adapters may share one.
	// Default: one per adapter.
	Arena *arena.Arena
	// HostMemory is memory that the host will use for values, such as LMCache's L1. With
	// "buffers": "direct" it is registered with connectors that register memory, and
	// mapped into a worker process. Default: none.
	HostMemory []byte
	// Plugins are the adapters that [TypePlugin] can name. Default: none.
	Plugins *plugin.Registry
	// GoConnectors are the connectors of this program that configurations can
	// name with "go:NAME", beside the built-in ones. Default: none.
	GoConnectors map[string]GoConnector
	// Quotas are the limits of the salts, for IsolatedLRU, which wipes salts that
	// have none. Default: none has.
	Quotas *quota.Manager
	// Logger receives state changes and what the connector logs. Default: discard.
	Logger *zap.Logger
}

// Build opens the adapter of cfg with the defaults of [Builder].
func Build(ctx context.Context, cfg L2Adapter) (Adapter, error) {
	return Builder{}.Build(ctx, cfg)
}

// Build opens the adapter of cfg, which the caller closes.
//
// A setting that is wrong, or that this version does not carry out, is a
// [kv.Config] error before anything is opened. When ctx ends first, its error is
// returned, and a connector that opens later is closed at once.
func (b Builder) Build(ctx context.Context, cfg L2Adapter) (Adapter, error) {
	adapter, err := b.BuildPolled(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if both, ok := adapter.(Adapter); ok {
		return both, nil
	}
	return waiting(adapter)
}

// BuildPolled is Build for a host that reads the event fds itself: no client beside
// the adapter reads them.
func (b Builder) BuildPolled(ctx context.Context, cfg L2Adapter) (l2.Adapter, error) {
	b, err := b.ready(cfg)
	if err != nil {
		return nil, err
	}
	adapter, err := b.make(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if adapter, err = b.evictFrom(adapter, cfg.Eviction); err != nil {
		return nil, err // evictFrom has closed it
	}
	if err := b.finish(ctx, cfg, adapter); err != nil {
		_ = adapter.Close()
		return nil, err
	}
	return adapter, nil
}

// BuildNative is Build for connector libraries, with the methods that only such an
// adapter has.
func (b Builder) BuildNative(ctx context.Context, cfg L2Adapter) (*l2.NativeAdapter, error) {
	if !isConnector(cfg.Type) {
		return nil, &kv.Error{Op: "create", Connector: cfg.ClassName(), Code: kv.Config,
			Err: fmt.Errorf("type is %q, want %q or another that is a connector library", cfg.Type, TypeNativePlugin)}
	}
	if cfg.Eviction != nil && cfg.Eviction.Policy != eviction.PolicyNoop {
		return nil, &kv.Error{Op: "create", Connector: cfg.ClassName(), Code: kv.Config,
			Err: errors.New("an adapter with eviction is made by Build")}
	}
	adapter, err := b.Build(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return adapter.(*l2.NativeAdapter), nil
}

// ready checks cfg and fills in the defaults of the builder.
func (b Builder) ready(cfg L2Adapter) (Builder, error) {
	if b.Instance == "" {
		b.Instance = cfg.ClassName()
	}
	if b.Logger == nil {
		b.Logger = zap.NewNop()
	}
	if b.Plugins == nil {
		b.Plugins = plugin.NewRegistry()
	}
	for _, check := range []func() error{cfg.Validate, cfg.Supported} {
		if err := check(); err != nil {
			return b, &kv.Error{Op: "create", Connector: b.Instance, Code: kv.Config, Err: oneLine(err)}
		}
	}
	return b, nil
}

// make opens the adapter itself.
func (b Builder) make(ctx context.Context, cfg L2Adapter) (l2.Adapter, error) {
	if isConnector(cfg.Type) {
		return b.makeNative(ctx, cfg)
	}
	switch cfg.Type {
	case TypePlugin:
		return b.makePlugin(ctx, cfg)
	case TypeMock:
		return orNil(mock.New(mock.Options{
			MaxSizeBytes:            int64(cfg.Mock.MaxSizeGB * bytesPerGB),
			BandwidthBytesPerSecond: int64(cfg.Mock.BandwidthGB * bytesPerGB),
			Logger:                  b.Logger,
		}))
	}
	f := cfg.FaultInject
	inner, err := b.BuildPolled(ctx, *f.Inner)
	if err != nil {
		return nil, fmt.Errorf("inner: %w", err)
	}
	adapter, err := faultinject.New(inner, faultinject.Options{
		Rate: f.Rate, Seed: f.Seed, GapIndices: f.GapIndices, GapTailRatios: f.GapTailRatios,
	})
	if err != nil {
		_ = inner.Close()
		return nil, err
	}
	return adapter, nil
}

// orNil keeps a nil pointer from becoming an interface that is not nil.
func orNil[A l2.Adapter](a A, err error) (l2.Adapter, error) {
	if err != nil {
		return nil, err
	}
	return a, nil
}

func (b Builder) makeNative(ctx context.Context, cfg L2Adapter) (l2.Adapter, error) {
	p := cfg.NativePlugin
	conn, memory, err := b.open(ctx, p, b.Instance)
	if err != nil {
		return nil, err
	}
	return b.adapt(conn, memory, p)
}

// adapt makes an adapter around a connector, which it closes when it fails.
func (b Builder) adapt(conn kv.Connector, memory *arena.Arena, p *NativePlugin) (l2.Adapter, error) {
	opts := b.adapterOptions(p, b.Instance)
	if opts.Arena == nil {
		opts.Arena = memory
	}
	lent, err := b.lendHostMemory(conn, p, &opts)
	if err != nil {
		_ = conn.Close(opts.CloseGrace)
		return nil, err
	}
	adapter, err := l2.New(conn, opts) // a failed New has closed conn
	if err != nil {
		return nil, err
	}
	isolated, _ := conn.(*worker.Connector)
	if isolated != nil || lent.state != "" {
		adapter.SetExtraStatus(func() map[string]any {
			extra := map[string]any{}
			if isolated != nil {
				extra["worker"] = isolated.Status()
			}
			if lent.state != "" {
				extra["host_memory"] = lent.state
			}
			return extra
		})
	}
	return adapter, nil
}

// finish does what comes before traffic: the name, and the accounts of what the
// backend holds already, if it keeps values and somebody asks how many.
func (b Builder) finish(ctx context.Context, cfg L2Adapter, adapter l2.Adapter) error {
	if err := adapter.SetBackendIdentity(b.Instance, cfg.Shared); err != nil {
		return err
	}
	var native *l2.NativeAdapter
	switch a := adapter.(type) {
	case *l2.NativeAdapter:
		native = a
	case *evictingNative:
		native = a.NativeAdapter
	default:
		return nil
	}
	if !native.Info().Caps.Has(kv.CapList|kv.CapPersistent) || !native.SupportsGlobalEviction() && cfg.Eviction == nil {
		return nil
	}
	n, err := native.Recover(ctx)
	b.Logger.Info("accounted what the backend holds", zap.String("connector", b.Instance), zap.Int("keys", n), zap.Error(err))
	return err
}

func (b Builder) adapterOptions(p *NativePlugin, name string) l2.Options {
	opts := l2.Options{
		Name:             name,
		MaxInFlight:      p.Limits.MaxInFlight,
		MaxBatch:         p.Limits.MaxBatch,
		MaxCapacityBytes: p.MaxCapacityBytes(),
		Deadlines: l2.Deadlines{
			Lookup: orNone(p.Deadlines.Lookup),
			Load:   orNone(p.Deadlines.Load),
			Store:  orNone(p.Deadlines.Store),
			Delete: orNone(p.Deadlines.Delete),
		},
		Arena:  b.Arena,
		Logger: b.Logger,
	}
	opts.Breaker = l2.BreakerOptions{Failures: p.Breaker.Failures, Cooldown: p.Breaker.Cooldown, MaxCooldown: p.Breaker.MaxCooldown}
	if p.Breaker.Failures == 0 {
		opts.Breaker.Failures = -1 // off, in the bridge's words
	}
	if p.Integrity == IntegrityXXH3 {
		opts.Integrity = l2.IntegrityXXH3
	}
	if p.Buffers == BuffersDirect {
		opts.Buffers = l2.BuffersDirect
	}
	return opts
}

// orNone translates "0 = no deadline" into the bridge's words, where that is a
// negative number and 0 means the default.
func orNone(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

// logTo returns a connector's log function that writes to logger.
func logTo(logger *zap.Logger) func(level int, text string) {
	return func(level int, text string) {
		switch {
		case level <= 0:
			logger.Error(text)
		case level == 1:
			logger.Warn(text)
		case level == 2:
			logger.Info(text)
		default:
			logger.Debug(text)
		}
	}
}
