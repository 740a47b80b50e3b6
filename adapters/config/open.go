package config

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/bridge/worker"
	"github.com/sixcall/sixcall/native"
)

// open opens the connector of p where its isolation says. memory is the arena that
// the connector shares with its process, nil when any will do.
func (b Builder) open(ctx context.Context, p *NativePlugin, name string) (conn kv.Connector, memory *arena.Arena, err error) {
	if strings.HasPrefix(p.ModulePath, goScheme) {
		conn, err = b.openGo(ctx, p, name)
		return conn, nil, err
	}
	path, err := native.Find(p.ModulePath, b.SearchPath)
	if err != nil {
		return nil, nil, err
	}
	sum, err := p.pinned(path)
	if err != nil {
		return nil, nil, err
	}
	where := p.Isolation
	if where == IsolationAuto {
		report, err := native.InspectIsolated(path, sum)
		if err != nil {
			return nil, nil, err
		}
		var why string
		where, why = ChooseIsolation(p.Isolation, report)
		b.Logger.Info("chose where the connector runs", zap.String("connector", name), zap.String("isolation", string(where)), zap.String("because", why))
	}
	if where == IsolationNone {
		conn, err = b.openHere(ctx, p, path, sum, name)
		return conn, nil, err
	}
	isolated, err := b.openWorker(ctx, p, path, name)
	if err != nil {
		return nil, nil, err
	}
	return isolated, isolated.Arena(), nil
}

// openHere opens a library in this process. That cannot be interrupted, so it
// happens on a goroutine of its own, which outlives ctx if need be. sum pins its content.
func (b Builder) openHere(ctx context.Context, p *NativePlugin, path, sum, name string) (kv.Connector, error) {
	type opened struct {
		conn *native.Connector
		err  error
	}
	done := make(chan opened, 1)
	go func() {
		conn, err := native.Open(native.Options{
			Connector:    path,
			ClassName:    p.ClassName,
			SHA256:       sum,
			Params:       json.RawMessage(p.AdapterParams),
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
		if o.err != nil {
			return nil, o.err
		}
		return o.conn, nil
	case <-ctx.Done():
		go func() {
			if o := <-done; o.err == nil {
				_ = o.conn.Close(time.Second)
			}
		}()
		return nil, fmt.Errorf("open %q: %w", name, context.Cause(ctx))
	}
}

// openWorker opens a library in a worker process.
func (b Builder) openWorker(ctx context.Context, p *NativePlugin, path, name string) (*worker.Connector, error) {
	check := func(path string) (*native.Report, error) {
		sum, err := p.pinned(path)
		if err != nil {
			return nil, err
		}
		report, err := native.InspectIsolated(path, sum)
		if err != nil {
			return nil, err
		}
		return report, report.Err()
	}
	report, err := check(path)
	if err != nil {
		return nil, err
	}
	opts := b.workerOptions(p, name)
	opts.Program, opts.Library = p.Worker.Program, report.Path
	opts.Check = func(path string) error { // a new version of the file is checked like the first
		_, err := check(path)
		return err
	}
	opts.KeepHandlers = len(report.GoRuntime) > 0
	opts.ClassName, opts.AllowExec = p.ClassName, p.Worker.AllowExec
	return worker.Open(ctx, opts)
}

// workerOptions are the settings of a worker process, whatever it runs.
func (b Builder) workerOptions(p *NativePlugin, name string) worker.Options {
	w := p.Worker
	return worker.Options{
		Wrapper: w.Wrapper, User: w.User, Group: w.Group,
		Params:       json.RawMessage(p.AdapterParams),
		Instance:     name,
		MaxInFlight:  min(p.Limits.MaxInFlight, worker.MaxInFlight),
		MaxBatch:     p.Limits.MaxBatch,
		ValueLenHint: b.ValueLenHint,
		StartTimeout: w.StartTimeout,
		OpenTimeout:  p.OpenTimeout,
		HangTimeout:  w.HangTimeout,
		Restart:      worker.Restart{Initial: w.RestartInitial, Max: w.RestartMax, MaxPerMinute: w.RestartsPerMinute},
		MemoryLimit:  int64(w.MemoryLimitGB * bytesPerGB),
		CoreDumps:    w.CoreDumps,
		Arena:        b.Arena,
		Log:          logTo(b.Logger.With(zap.String("connector", name))),
		LogDebug:     b.Logger.Core().Enabled(zap.DebugLevel),
		Logger:       b.Logger.With(zap.String("connector", name)),
	}
}
