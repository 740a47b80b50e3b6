package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/sixcall/sixcall/bridge/engine"
)

// The codes of a health check that the connector did not give.
const (
	CodeTimeout = -1
	CodeFailed  = -2
)

// HealthError says what is wrong with a remote.
type HealthError struct {
	Code int
	Err  error
}

func (e *HealthError) Error() string { return fmt.Sprintf("health code %d: %v", e.Code, e.Err) }
func (e *HealthError) Unwrap() error { return e.Err }

// extraDuration reads seconds of extra_config.
func (b *Backend) extraDuration(key string, def time.Duration) time.Duration {
	n, err := b.config.ExtraNumber(key, def.Seconds())
	if err != nil || n < 0 {
		return def
	}
	return time.Duration(n * float64(time.Second))
}

// CheckHealth connects if there is no connector, judges the reads since the last
// call, and pings. After too many failed reads the backend stays out of order until
// waiting_time_for_recovery has passed and a probe was stored and read back; a
// connector whose probe fails is made anew. nil = all is well.
func (b *Backend) CheckHealth(ctx context.Context) error {
	b.healthMu.Lock()
	defer b.healthMu.Unlock()
	if err := b.connect(ctx); err != nil {
		return &HealthError{CodeFailed, err}
	}
	conn, err := b.connection()
	if err != nil {
		return &HealthError{CodeFailed, err}
	}
	now := b.opts.Now()
	failures := b.getFailures.Load()
	fresh := failures - b.seen
	b.seen = failures
	if !b.failedAt.IsZero() {
		if now.Sub(b.failedAt) < b.extraDuration("waiting_time_for_recovery", 300*time.Second) {
			return &HealthError{CodeFailed, errors.New("reads failed; waiting for recovery")}
		}
		if err := b.probe(ctx, conn); err != nil {
			b.failedAt = now
			b.replace(conn)
			return &HealthError{CodeFailed, fmt.Errorf("probe: %w", err)}
		}
		b.failedAt = time.Time{}
		return nil
	}
	threshold, _ := b.config.ExtraNumber("get_blocking_failed_threshold", 10)
	if fresh > 0 && float64(fresh) >= threshold {
		b.failedAt = now
		return &HealthError{CodeFailed, fmt.Errorf("%d reads failed since the last round", fresh)}
	}
	limit := b.extraDuration("ping_timeout", 5*time.Second)
	code, err := bounded(ctx, limit, conn.Ping, nil)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return &HealthError{CodeTimeout, err}
	case err != nil:
		return &HealthError{CodeFailed, err}
	case code != 0:
		return &HealthError{code, errors.New("the connector is not well")}
	}
	return nil
}

// replace drops a connector, so that the next attempt makes a new one.
func (b *Backend) replace(old *Instrumented) {
	b.mu.Lock()
	if b.conn != old {
		b.mu.Unlock()
		return
	}
	b.conn = nil
	b.mu.Unlock()
	if err := b.closeConn(old); err != nil {
		b.log.Warn("a connector that failed does not close", zap.Error(err))
	}
}

// probe stores a value and reads it back, under LMCache's key. A storage that never
// overwrites may have the value of another probe there: then under a key of its own.
func (b *Backend) probe(ctx context.Context, conn *Instrumented) error {
	stamp := b.opts.Now().UnixNano()
	err := b.probeKey(ctx, conn, "0", stamp)
	if err != nil && b.ctx.Err() == nil {
		err = b.probeKey(ctx, conn, engine.HashInt(stamp), stamp)
	}
	return err
}

func (b *Backend) probeKey(ctx context.Context, conn *Instrumented, hash engine.Hash, stamp int64) error {
	cpu := b.opts.Factory.opts.LocalCPU
	_, err := bounded(ctx, b.timeout, func(ctx context.Context) (struct{}, error) {
		o, err := cpu.Allocate(ctx, b.meta.Layout(), true)
		if err != nil {
			return struct{}{}, err
		}
		defer o.Release()
		key := engine.Key{Model: "test", WorldSize: 1, Hash: hash, DType: engine.BFloat16}
		clear(o.Bytes())
		copy(o.Bytes(), fmt.Sprintf("sixcall %d", stamp))
		if err := conn.Put(ctx, key, o); err != nil {
			return struct{}{}, err
		}
		got, err := conn.Get(ctx, key)
		if err != nil {
			return struct{}{}, err
		}
		defer got.Release()
		if got == nil || !bytes.Equal(got.Bytes(), o.Bytes()) {
			return struct{}{}, errors.New("what was stored was not read back")
		}
		if hash != "0" {
			_, _ = conn.RemoveSync(key)
		}
		return struct{}{}, nil
	}, nil)
	return err
}
