package storage

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/sixcall/sixcall/bridge/engine"
)

// Audited logs every operation of a backend: LMCache's audit_backend_enabled. It
// has each optional method, which does for a backend without it what the manager
// would do.
func Audited(name string, b Backend, log *zap.Logger) Backend {
	return &audited{Backend: b, log: log.With(zap.String("backend", name))}
}

type audited struct {
	Backend
	log *zap.Logger
}

func (a *audited) note(op string, began time.Time, err error, fields ...zap.Field) {
	a.log.Info("audit", append(fields, zap.String("operation", op), zap.Duration("took", time.Since(began)), zap.Error(err))...)
}

func (a *audited) Contains(ctx context.Context, key engine.Key, pin bool) (bool, error) {
	began := time.Now()
	ok, err := a.Backend.Contains(ctx, key, pin)
	a.note("contains", began, err, zap.Stringer("key", key), zap.Bool("result", ok))
	return ok, err
}

func (a *audited) BatchedContains(ctx context.Context, keys []engine.Key, pin bool) (int, error) {
	began := time.Now()
	n, err := leading(ctx, a.Backend, keys, pin)
	a.note("batched_contains", began, err, zap.Int("keys", len(keys)), zap.Int("result", n))
	return n, err
}

func (a *audited) SubmitPut(ctx context.Context, keys []engine.Key, objs []*engine.Object, done func(engine.Key, error)) error {
	began := time.Now()
	err := a.Backend.SubmitPut(ctx, keys, objs, func(k engine.Key, err error) {
		a.note("put_done", began, err, zap.Stringer("key", k))
		if done != nil {
			done(k, err)
		}
	})
	a.note("put", began, err, zap.Int("keys", len(keys)))
	return err
}

func (a *audited) Get(ctx context.Context, key engine.Key) (*engine.Object, error) {
	began := time.Now()
	o, err := a.Backend.Get(ctx, key)
	a.note("get", began, err, zap.Stringer("key", key), zap.Bool("result", o != nil))
	return o, err
}

func (a *audited) BatchedGet(ctx context.Context, keys []engine.Key) ([]*engine.Object, error) {
	began := time.Now()
	objs, err := getAll(ctx, a.Backend, keys)
	a.note("batched_get", began, err, zap.Int("keys", len(keys)))
	return objs, err
}

func (a *audited) Remove(ctx context.Context, key engine.Key, force bool) (bool, error) {
	began := time.Now()
	ok, err := a.Backend.Remove(ctx, key, force)
	a.note("remove", began, err, zap.Stringer("key", key), zap.Bool("result", ok))
	return ok, err
}

func (a *audited) Touch() {
	if t, ok := a.Backend.(Toucher); ok {
		t.Touch()
	}
}

func (a *audited) Clear(ctx context.Context) (int, error) {
	if c, ok := a.Backend.(Clearer); ok {
		return c.Clear(ctx)
	}
	return 0, nil
}

func (a *audited) CheckHealth(ctx context.Context) error {
	if c, ok := a.Backend.(HealthChecker); ok {
		return c.CheckHealth(ctx)
	}
	return nil
}

// Allocator implements [AllocatorProvider].
func (a *audited) Allocator() Allocator {
	if p, ok := a.Backend.(AllocatorProvider); ok {
		return p.Allocator()
	}
	return nil
}
