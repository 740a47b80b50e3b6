package remote

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/sixcall/sixcall/bridge/engine"
)

// blackhole takes everything and has nothing.
type blackhole struct{}

func newBlackhole(*ConnectorContext) (Connector, error) { return blackhole{}, nil }

func (blackhole) Exists(context.Context, engine.Key) (bool, error)        { return false, nil }
func (blackhole) ExistsSync(engine.Key) (bool, error)                     { return false, nil }
func (blackhole) Get(context.Context, engine.Key) (*engine.Object, error) { return nil, nil }
func (blackhole) Put(context.Context, engine.Key, *engine.Object) error   { return nil }
func (blackhole) List(context.Context) ([]string, error)                  { return nil, nil }
func (blackhole) Close(context.Context) error                             { return nil }

// mock keeps values in memory of the Go heap and takes the time of a link. Unlike
// LMCache's it returns the bytes that were stored.
type mock struct {
	cpu         Allocator
	capacity    int64 // bytes
	peek        time.Duration
	read, write float64 // bytes per second
	mu          sync.Mutex
	used        int64
	values      map[string]mockValue
	order       []string // oldest first
}

type mockValue struct {
	layout engine.Layout
	bytes  []byte
}

// newMock serves mock://<GiB>/?peeking_latency=ms&read_throughput=GB/s&write_throughput=GB/s.
func newMock(c *ConnectorContext) (Connector, error) {
	_, rest, _ := strings.Cut(c.URL, "://")
	size, query, _ := strings.Cut(rest, "?")
	size = strings.Trim(size, "/")
	a, err := parseURL("mock://h:0/?" + query)
	if err != nil {
		return nil, fmt.Errorf("%w %q: its query cannot be read", ErrURL, c.URL)
	}
	number := func(name, text string, def float64) float64 {
		if text == "" {
			return def
		}
		v, parseErr := strconv.ParseFloat(text, 64)
		if (parseErr != nil || v <= 0) && err == nil {
			err = fmt.Errorf("%w %q: %s is %q, want a number above 0", ErrURL, c.URL, name, text)
		}
		return v
	}
	m := &mock{
		cpu:      c.LocalCPU,
		capacity: int64(number("the size in GiB", size, 0) * (1 << 30)),
		peek:     time.Duration(number("peeking_latency", a.query.Get("peeking_latency"), 1) * float64(time.Millisecond)),
		read:     number("read_throughput", a.query.Get("read_throughput"), 2) * 1e9,
		write:    number("write_throughput", a.query.Get("write_throughput"), 2) * 1e9,
		values:   map[string]mockValue{},
	}
	if err == nil && m.capacity == 0 {
		err = fmt.Errorf("%w %q: the size is missing, want mock://<GiB>/", ErrURL, c.URL)
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// pass takes the time that n bytes need.
func pass(ctx context.Context, peek time.Duration, n int, rate float64) error {
	timer := time.NewTimer(peek + time.Duration(float64(n)/rate*float64(time.Second)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (m *mock) find(key engine.Key) (mockValue, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.values[key.String()]
	return v, ok
}

func (m *mock) Exists(ctx context.Context, key engine.Key) (bool, error) {
	if err := pass(ctx, m.peek, 0, 1); err != nil {
		return false, err
	}
	_, ok := m.find(key)
	return ok, nil
}

func (m *mock) ExistsSync(key engine.Key) (bool, error) { return m.Exists(context.Background(), key) }

func (m *mock) Get(ctx context.Context, key engine.Key) (*engine.Object, error) {
	v, ok := m.find(key)
	if err := pass(ctx, m.peek, len(v.bytes), m.read); err != nil || !ok {
		return nil, err
	}
	o, err := m.cpu.Allocate(ctx, v.layout, true)
	if err != nil {
		return nil, err
	}
	copy(o.Bytes(), v.bytes)
	return o, nil
}

func (m *mock) Put(ctx context.Context, key engine.Key, obj *engine.Object) error {
	if err := pass(ctx, 0, obj.Len(), m.write); err != nil {
		return err
	}
	v := mockValue{layout: obj.Layout(), bytes: slices.Clone(obj.Bytes())}
	m.mu.Lock()
	defer m.mu.Unlock()
	name := key.String()
	if old, ok := m.values[name]; ok {
		m.used -= int64(len(old.bytes))
	} else {
		m.order = append(m.order, name)
	}
	m.values[name] = v
	for m.used += int64(len(v.bytes)); m.used > m.capacity && len(m.order) > 0; m.order = m.order[1:] {
		m.used -= int64(len(m.values[m.order[0]].bytes))
		delete(m.values, m.order[0])
	}
	return nil
}

func (m *mock) List(context.Context) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.order), nil
}

func (m *mock) RemoveSync(key engine.Key) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	name := key.String()
	v, ok := m.values[name]
	if ok {
		m.used -= int64(len(v.bytes))
		delete(m.values, name)
		m.order = slices.DeleteFunc(m.order, func(n string) bool { return n == name })
	}
	return ok, nil
}

func (*mock) Ping(context.Context) (int, error) { return 0, nil }

func (*mock) Close(context.Context) error { return nil }

// audit logs the calls of another connector, and compares checksums.
type audit struct {
	inner  Connector
	log    *zap.Logger
	sums   bool
	verify bool
	silent []string

	mu     sync.Mutex
	stored map[string][sha256.Size]byte
}

// newAudit serves audit://host:port[?verify=true] around the connector of
// audit_actual_remote_url.
func newAudit(c *ConnectorContext) (Connector, error) {
	if err := single(c.URL); err != nil {
		return nil, err
	}
	a, err := parseURL(c.URL)
	if err != nil {
		return nil, err
	}
	url := c.Config.ExtraString("audit_actual_remote_url")
	if url == "" {
		url = c.Config.AuditRemoteURL
	}
	if url == "" || strings.HasPrefix(strings.ToLower(url), "audit:") {
		return nil, fmt.Errorf("%w: audit_actual_remote_url is %q, want the URL of the storage", ErrConfig, url)
	}
	query := strings.ToLower(a.query.Get("verify"))
	verify := c.Config.ExtraBool("audit_verify_checksum", query == "true" || query == "1" || query == "yes")
	inner, err := c.Factory.Create(c.Context, Remote{URL: url})
	if err != nil {
		return nil, err
	}
	w := &audit{
		inner: inner, log: c.Logger, verify: verify,
		// A check without sums would compare nothing.
		sums:   verify || c.Config.ExtraBool("audit_calc_checksum", false),
		stored: map[string][sha256.Size]byte{},
	}
	for op := range strings.SplitSeq(c.Config.ExtraString("audit_exclude_cmds"), ",") {
		w.silent = append(w.silent, strings.ToLower(strings.TrimSpace(op)))
	}
	return w, nil
}

func (a *audit) note(op string, key engine.Key, err error, fields ...zap.Field) {
	if !slices.Contains(a.silent, op) {
		a.log.Info("audit", append(fields, zap.String("operation", op), zap.Stringer("key", key), zap.Error(err))...)
	}
}

func (a *audit) Exists(ctx context.Context, key engine.Key) (bool, error) {
	ok, err := a.inner.Exists(ctx, key)
	a.note("exists", key, err, zap.Bool("result", ok))
	return ok, err
}

func (a *audit) ExistsSync(key engine.Key) (bool, error) {
	ok, err := a.inner.ExistsSync(key)
	a.note("exists_sync", key, err, zap.Bool("result", ok))
	return ok, err
}

func (a *audit) Get(ctx context.Context, key engine.Key) (*engine.Object, error) {
	o, err := a.inner.Get(ctx, key)
	if o == nil || err != nil {
		a.note("get", key, err, zap.Bool("result", false))
		return o, err
	}
	fields := []zap.Field{zap.Int("bytes", o.Len())}
	if a.sums {
		sum := sha256.Sum256(o.Bytes())
		fields = append(fields, zap.String("sha256", fmt.Sprintf("%x", sum)))
		a.mu.Lock()
		want, known := a.stored[key.String()]
		a.mu.Unlock()
		if a.verify && known && want != sum {
			a.log.Error("audit: the stored bytes are not those that were put; the key counts as absent", append(fields, zap.Stringer("key", key))...)
			o.Release()
			return nil, nil
		}
	}
	a.note("get", key, nil, fields...)
	return o, nil
}

func (a *audit) Put(ctx context.Context, key engine.Key, obj *engine.Object) error {
	fields := []zap.Field{zap.Int("bytes", obj.Len())}
	var sum [sha256.Size]byte
	if a.sums {
		sum = sha256.Sum256(obj.Bytes())
		fields = append(fields, zap.String("sha256", fmt.Sprintf("%x", sum)))
	}
	err := a.inner.Put(ctx, key, obj)
	if err == nil && a.verify {
		a.mu.Lock()
		a.stored[key.String()] = sum
		a.mu.Unlock()
	}
	a.note("put", key, err, fields...)
	return err
}

func (a *audit) List(ctx context.Context) ([]string, error) { return a.inner.List(ctx) }

func (a *audit) Close(ctx context.Context) error { return a.inner.Close(ctx) }

// Ping implements [Pinger] when the inner connector has it.
func (a *audit) Ping(ctx context.Context) (int, error) {
	if p, ok := a.inner.(Pinger); ok {
		return p.Ping(ctx)
	}
	return 0, nil
}

func (a *audit) RemoveSync(key engine.Key) (bool, error) {
	r, ok := a.inner.(Remover)
	if !ok {
		return false, errNotImplemented
	}
	found, err := r.RemoveSync(key)
	a.note("remove", key, err, zap.Bool("result", found))
	return found, err
}
