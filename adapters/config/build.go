package config

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/native"
)

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
	// Logger receives state changes and what the connector logs. Default: discard.
	Logger *zap.Logger
}

// Build opens the connector of cfg and returns the adapter on it, with the
// defaults of [Builder].
func Build(ctx context.Context, cfg L2Adapter) (*l2.NativeAdapter, error) {
	return Builder{}.Build(ctx, cfg)
}

// Build opens the connector of cfg and returns the adapter on it, which the
// caller closes.
//
// A setting that is wrong, or that this version does not carry out, is a
// [kv.Config] error before anything is opened. When ctx ends first, its error is
// returned, and a connector that opens later is closed at once.
func (b Builder) Build(ctx context.Context, cfg L2Adapter) (*l2.NativeAdapter, error) {
	p := cfg.NativePlugin
	name := b.Instance
	if name == "" && p != nil {
		name = p.ClassName
	}
	for _, check := range []func() error{cfg.Validate, cfg.Supported} {
		if err := check(); err != nil {
			oneLine := errors.New(strings.ReplaceAll(err.Error(), "\n", "; "))
			return nil, &kv.Error{Op: "create", Connector: name, Code: kv.Config, Err: oneLine}
		}
	}
	if b.Logger == nil {
		b.Logger = zap.NewNop()
	}
	conn, err := b.open(ctx, p, name)
	if err != nil {
		return nil, err
	}
	adapter, err := l2.New(conn, b.adapterOptions(p, name))
	if err != nil {
		return nil, err // New has closed conn
	}
	if err := adapter.SetBackendIdentity(name, cfg.Shared); err != nil {
		_ = adapter.Close()
		return nil, err
	}
	return adapter, nil
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

// open opens the connector. A library cannot be interrupted while it opens, so
// that happens on a goroutine of its own, which outlives ctx if need be.
func (b Builder) open(ctx context.Context, p *NativePlugin, name string) (*native.Connector, error) {
	type opened struct {
		conn *native.Connector
		err  error
	}
	done := make(chan opened, 1)
	go func() {
		conn, err := native.Open(native.Options{
			Connector:    p.ModulePath,
			SearchPath:   b.SearchPath,
			ClassName:    p.ClassName,
			SHA256:       p.SHA256,
			Params:       []byte(p.AdapterParams),
			Instance:     name,
			MaxInFlight:  p.Limits.MaxInFlight,
			MaxBatch:     p.Limits.MaxBatch,
			ValueLenHint: b.ValueLenHint,
			OpenTimeout:  p.OpenTimeout,
			Log:          logTo(b.Logger.With(zap.String("connector", name))),
			LogDebug:     b.Logger.Core().Enabled(zap.DebugLevel),
		})
		done <- opened{conn, err}
	}()
	select {
	case o := <-done:
		return o.conn, o.err
	case <-ctx.Done():
		go func() {
			if o := <-done; o.err == nil {
				_ = o.conn.Close(time.Second)
			}
		}()
		return nil, fmt.Errorf("open %q: %w", name, context.Cause(ctx))
	}
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
