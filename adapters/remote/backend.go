package remote

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/sixcall/sixcall/bridge/engine"
)

// Serde changes objects on their way to storage and back. Both return an object with
// a reference of its own; the argument stays the caller's.
type Serde interface {
	Serialize(o *engine.Object) (*engine.Object, error)
	Deserialize(o *engine.Object) (*engine.Object, error)
}

// BackendOptions configures [NewBackend]. Remote and Factory are required.
type BackendOptions struct {
	Remote  Remote
	Factory *Factory
	// Serde is what remote_serde names. Default: the objects as they are.
	Serde Serde
	// PutTimeout bounds one put. Default 60s.
	PutTimeout time.Duration
	// CloseTimeout bounds Close. Default 10s.
	CloseTimeout time.Duration
	// Reconnect is the time between two attempts to connect; it doubles while they
	// fail, to six times as much. Default 10s.
	Reconnect time.Duration
	// Now is the clock, for tests.
	Now func() time.Time
}

// maxPuts is how many batches are being stored at a time.
const maxPuts = 64

// Backend drives a connector for a storage manager: LMCache's RemoteBackend. Nothing
// that it does waits longer than a bound. Safe for concurrent use.
type Backend struct {
	opts    BackendOptions
	config  *engine.Config
	meta    *engine.Metadata
	log     *zap.Logger
	timeout time.Duration // of reads
	quiet   engine.Throttle
	asZero  bool // keys of worker 0 stand for this worker's
	sync    bool // use ExistsSync

	ctx  context.Context // ends with Close
	stop context.CancelFunc
	puts sync.WaitGroup
	room chan struct{}

	getFailures, putFailures, misses, skipped atomic.Int64

	mu         sync.Mutex // guards what follows
	conn       *Instrumented
	connecting chan struct{} // closed when the attempt that runs has ended
	attempted  time.Time     // the last attempt that failed
	pause      time.Duration // until the next one
	connErr    error
	inPut      map[engine.Key]bool
	closed     bool

	healthMu sync.Mutex // keeps rounds apart, guards what follows
	seen     int64      // getFailures at the last round
	failedAt time.Time  // begin of a failure window, zero = none
}

// NewBackend makes a backend and tries to connect. A storage that cannot be reached
// is no error: the backend is disconnected and tries again. A configuration that
// cannot be right is one.
func NewBackend(ctx context.Context, o BackendOptions) (*Backend, error) {
	fo := o.Factory.opts
	switch serde := fo.Config.RemoteSerde; {
	case o.Serde != nil, serde == "", serde == "naive":
	case serde == "kivi" || serde == "cachegen":
		return nil, fmt.Errorf("%w: remote_serde is %q: this program stores chunks as they are; use naive, or give the backend a Serde", ErrConfig, serde)
	default:
		return nil, fmt.Errorf("%w: remote_serde is %q, want naive, kivi or cachegen", ErrConfig, serde)
	}
	for _, d := range []struct {
		v   *time.Duration
		def time.Duration
	}{{&o.PutTimeout, time.Minute}, {&o.CloseTimeout, 10 * time.Second}, {&o.Reconnect, 10 * time.Second}} {
		if *d.v <= 0 {
			*d.v = d.def
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	b := &Backend{
		opts: o, config: fo.Config, meta: fo.Metadata, log: fo.Logger.With(zap.String("remote", o.Remote.Backend)),
		timeout: fo.Config.BlockingTimeout, sync: fo.Config.ExtraBool("use_exists_sync", false),
		room: make(chan struct{}, maxPuts), inPut: map[engine.Key]bool{}, pause: o.Reconnect,
	}
	if b.timeout <= 0 {
		b.timeout = 10 * time.Second
	}
	m := fo.Metadata
	b.asZero = m.UseMLA && m.WorldSize > 1 && m.WorkerID != 0 && fo.Config.ExtraBool("remote_enable_mla_worker_id_as0", m.UseMLA)
	b.ctx, b.stop = context.WithCancel(context.Background())
	if err := b.connect(ctx); err != nil {
		b.log.Warn("the remote storage is not connected", zap.Error(err))
	}
	return b, nil
}

// connect makes the connector, unless there is one, or the last attempt was a short
// time ago. One attempt runs at a time; others wait for it.
func (b *Backend) connect(ctx context.Context) error {
	for {
		b.mu.Lock()
		switch {
		case b.closed:
			b.mu.Unlock()
			return fmt.Errorf("%w: it is closed", ErrDisconnected)
		case b.conn != nil:
			b.mu.Unlock()
			return nil
		case b.connecting == nil && !b.attempted.IsZero() && b.opts.Now().Sub(b.attempted) < b.pause:
			err := fmt.Errorf("%w: the last attempt was less than %v ago: %w", ErrDisconnected, b.pause, b.connErr)
			b.mu.Unlock()
			return err
		case b.connecting != nil:
			running := b.connecting
			b.mu.Unlock()
			select {
			case <-running:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			continue
		}
		done := make(chan struct{})
		b.connecting = done
		b.mu.Unlock()

		conn, err := b.opts.Factory.Create(b.ctx, b.opts.Remote)
		b.mu.Lock()
		b.connecting = nil
		close(done)
		late := b.closed
		if err != nil {
			if b.connErr != nil {
				b.pause = min(2*b.pause, 6*b.opts.Reconnect)
			}
			b.attempted, b.connErr = b.opts.Now(), err
		} else if !late {
			b.conn, b.connErr, b.pause, b.attempted = Instrument(conn), nil, b.opts.Reconnect, time.Time{}
		}
		b.mu.Unlock()
		if err == nil && late {
			b.closeConn(conn)
		}
		return err
	}
}

// connection returns the connector. Without one, an attempt to get it is started
// when it is time, and the caller does not wait for it.
func (b *Backend) connection() (*Instrumented, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn != nil && !b.closed {
		return b.conn, nil
	}
	if !b.closed && b.connecting == nil && b.opts.Now().Sub(b.attempted) >= b.pause {
		b.puts.Go(func() {
			if err := b.connect(b.ctx); err != nil {
				b.log.Warn("the remote storage is not connected", zap.Error(err))
			}
		})
	}
	return nil, fmt.Errorf("%w: %w", ErrDisconnected, errOr(b.connErr))
}

func errOr(err error) error {
	if err == nil {
		return errors.New("no attempt has ended yet")
	}
	return err
}

// Connected reports whether there is a connector.
func (b *Backend) Connected() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.conn != nil
}

// Err returns why the last attempt to connect failed, nil when there is a connector.
func (b *Backend) Err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.connErr
}

// Connector returns the connector, or nil.
func (b *Backend) Connector() *Instrumented {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.conn
}

// bounded runs f for at most limit, whether it heeds its context or not. drop gets a
// result that comes too late.
func bounded[T any](ctx context.Context, limit time.Duration, f func(context.Context) (T, error), drop func(T)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	type result struct {
		v   T
		err error
	}
	done := make(chan result, 1)
	go func() {
		defer cancel()
		var r result
		defer func() {
			if p := recover(); p != nil {
				r.err = panicked(p)
			}
			done <- r
		}()
		r.v, r.err = f(ctx)
	}()
	select {
	case r := <-done:
		return r.v, r.err
	case <-ctx.Done():
	}
	select {
	case r := <-done: // both may be true
		return r.v, r.err
	default:
	}
	go func() {
		if r := <-done; drop != nil {
			drop(r.v)
		}
	}()
	var zero T
	return zero, fmt.Errorf("no answer within %v: %w", limit, context.Cause(ctx))
}

// key returns the key under which storage knows a key.
func (b *Backend) key(k engine.Key) engine.Key {
	if b.asZero {
		return k.WithWorkerID(0)
	}
	return k
}

func (b *Backend) keys(ks []engine.Key) []engine.Key {
	if !b.asZero {
		return ks
	}
	out := make([]engine.Key, len(ks))
	for i, k := range ks {
		out[i] = k.WithWorkerID(0)
	}
	return out
}

// Contains is part of the storage backend.
func (b *Backend) Contains(ctx context.Context, key engine.Key, _ bool) (bool, error) {
	conn, err := b.connection()
	if err != nil {
		return false, err
	}
	key = b.key(key)
	return bounded(ctx, b.timeout, func(ctx context.Context) (bool, error) {
		if b.sync {
			return conn.ExistsSync(key)
		}
		return conn.Exists(ctx, key)
	}, nil)
}

// BatchedContains returns how many of the leading keys are stored.
func (b *Backend) BatchedContains(ctx context.Context, keys []engine.Key, pin bool) (int, error) {
	conn, err := b.connection()
	if err != nil || len(keys) == 0 {
		return 0, err
	}
	keys = b.keys(keys)
	return bounded(ctx, b.timeout, func(ctx context.Context) (int, error) { return conn.BatchedContains(ctx, keys) }, nil)
}

// BatchedAsyncContains is BatchedContains for the lookup of a request.
func (b *Backend) BatchedAsyncContains(ctx context.Context, lookupID string, keys []engine.Key, pin bool) (int, error) {
	conn, err := b.connection()
	if err != nil || len(keys) == 0 {
		return 0, err
	}
	keys = b.keys(keys)
	return bounded(ctx, b.timeout, func(ctx context.Context) (int, error) {
		return conn.BatchedAsyncContains(ctx, lookupID, keys, pin)
	}, nil)
}

// InPutTasks reports whether key is being stored.
func (b *Backend) InPutTasks(key engine.Key) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.inPut[key]
}

// SubmitPut stores in the background. A key that is being stored already is left
// out: its done comes at once, without an error, as it does on workers that do not
// store.
func (b *Backend) SubmitPut(ctx context.Context, keys []engine.Key, objs []*engine.Object, done func(engine.Key, error)) error {
	if done == nil {
		done = func(engine.Key, error) {}
	}
	conn, err := b.connection()
	if err != nil || b.asZero {
		if err != nil {
			b.skipped.Add(int64(len(keys)))
		}
		for _, k := range keys {
			done(k, err)
		}
		return nil
	}
	var taken []engine.Key
	var values []*engine.Object
	for i, k := range keys {
		b.mu.Lock()
		flying := b.inPut[k]
		b.inPut[k] = true
		b.mu.Unlock()
		if flying {
			done(k, nil)
			continue
		}
		o := objs[i].Retain()
		if b.opts.Serde != nil {
			out, err := b.opts.Serde.Serialize(objs[i])
			o.Release()
			if err != nil {
				b.finish(k, nil, fmt.Errorf("serialize: %w", err), done)
				continue
			}
			o = out
		}
		taken, values = append(taken, k), append(values, o)
	}
	if len(taken) == 0 {
		return nil
	}
	select {
	case b.room <- struct{}{}:
	case <-ctx.Done():
		for i, k := range taken {
			b.finish(k, values[i], context.Cause(ctx), done)
		}
		return nil
	case <-b.ctx.Done():
		for i, k := range taken {
			b.finish(k, values[i], ErrDisconnected, done)
		}
		return nil
	}
	b.mu.Lock()
	closed := b.closed
	if !closed {
		b.puts.Add(1)
	}
	b.mu.Unlock()
	run := func() {
		defer func() { <-b.room }()
		// The objects are kept until the connector has let go of them, even when
		// nobody waits for it any more.
		for _, o := range values {
			o.Retain()
		}
		_, err := bounded(b.ctx, b.opts.PutTimeout, func(ctx context.Context) (struct{}, error) {
			defer releaseAll(values)
			return struct{}{}, conn.BatchedPut(ctx, taken, values)
		}, nil)
		var failed KeyErrors
		each := errors.As(err, &failed)
		for i, k := range taken {
			keyErr := err
			if each {
				keyErr = failed[k]
			}
			b.finish(k, values[i], keyErr, done)
		}
	}
	if closed {
		run()
		return nil
	}
	go func() {
		defer b.puts.Done()
		run()
	}()
	return nil
}

// finish ends the put of one key.
func (b *Backend) finish(k engine.Key, o *engine.Object, err error, done func(engine.Key, error)) {
	o.Release()
	b.mu.Lock()
	delete(b.inPut, k)
	b.mu.Unlock()
	if err != nil {
		b.putFailures.Add(1)
		if ok, more := b.quiet.Pass("put"); ok {
			b.log.Warn("a chunk was not stored", zap.Stringer("key", k), zap.Error(err), zap.Int("not_shown", more))
		}
	}
	defer func() {
		if p := recover(); p != nil {
			b.log.Error("a callback panicked", zap.Any("panic", p))
		}
	}()
	done(k, err)
}

// Get reads one chunk.
func (b *Backend) Get(ctx context.Context, key engine.Key) (*engine.Object, error) {
	conn, err := b.connection()
	if err != nil {
		return nil, err
	}
	o, err := bounded(ctx, b.timeout, func(ctx context.Context) (*engine.Object, error) { return conn.Get(ctx, b.key(key)) }, (*engine.Object).Release)
	if err != nil {
		b.getFailures.Add(1)
		o.Release()
		return nil, err
	}
	if o == nil {
		b.misses.Add(1)
		return nil, nil
	}
	return b.plain(o)
}

// plain undoes the serde.
func (b *Backend) plain(o *engine.Object) (*engine.Object, error) {
	if b.opts.Serde == nil || o == nil {
		return o, nil
	}
	defer o.Release()
	out, err := b.opts.Serde.Deserialize(o)
	if err != nil {
		b.getFailures.Add(1)
		return nil, fmt.Errorf("deserialize: %w", err)
	}
	return out, nil
}

func (b *Backend) plainAll(objs []*engine.Object) error {
	var errs []error
	for i, o := range objs {
		var err error
		if objs[i], err = b.plain(o); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// BatchedGet reads many chunks: one element per key, nil for a miss.
func (b *Backend) BatchedGet(ctx context.Context, keys []engine.Key) ([]*engine.Object, error) {
	conn, err := b.connection()
	if err != nil {
		return make([]*engine.Object, len(keys)), err
	}
	mapped := b.keys(keys)
	var objs []*engine.Object
	if conn.can.BatchedGet {
		objs, err = bounded(ctx, b.timeout, func(ctx context.Context) ([]*engine.Object, error) { return conn.BatchedGet(ctx, mapped) }, releaseAll)
	} else { // single reads, which are left when the time is over: what came before is kept
		limited, cancel := context.WithTimeout(ctx, b.timeout)
		objs, err = conn.BatchedGet(limited, mapped)
		cancel()
	}
	if err != nil {
		b.getFailures.Add(1)
	}
	for len(objs) < len(keys) {
		objs = append(objs, nil)
	}
	return objs, errors.Join(err, b.plainAll(objs))
}

// BatchedGetNonBlocking reads the leading run of keys that is stored.
func (b *Backend) BatchedGetNonBlocking(ctx context.Context, lookupID string, keys []engine.Key) ([]*engine.Object, error) {
	conn, err := b.connection()
	if err != nil {
		return nil, err
	}
	mapped := b.keys(keys)
	objs, err := bounded(ctx, b.timeout, func(ctx context.Context) ([]*engine.Object, error) {
		return conn.BatchedGetNonBlocking(ctx, lookupID, mapped)
	}, releaseAll)
	if err != nil {
		b.getFailures.Add(1)
	}
	err = errors.Join(err, b.plainAll(objs))
	for i, o := range objs {
		if o == nil { // what cannot be used ends the run
			releaseAll(objs[i:])
			return objs[:i], err
		}
	}
	return objs, err
}

// Pin does nothing: remote storage evicts as it likes.
func (*Backend) Pin(engine.Key) bool { return true }

// Unpin does nothing.
func (*Backend) Unpin(engine.Key) bool { return true }

// Remove removes a key, if the connector can.
func (b *Backend) Remove(ctx context.Context, key engine.Key, _ bool) (bool, error) {
	conn, err := b.connection()
	if err != nil {
		return false, err
	}
	found, err := bounded(ctx, b.timeout, func(context.Context) (bool, error) { return conn.RemoveSync(b.key(key)) }, nil)
	if errors.Is(err, errNotImplemented) {
		return false, nil
	}
	return found, err
}

// Counters are what a backend has seen.
type Counters struct {
	GetFailures, PutFailures int64
	Misses                   int64 // which are no failures
	Skipped                  int64 // puts while disconnected, in keys
	InPut                    int
	Connector                Stats
}

// Counters returns the present numbers.
func (b *Backend) Counters() Counters {
	c := Counters{GetFailures: b.getFailures.Load(), PutFailures: b.putFailures.Load(), Misses: b.misses.Load(), Skipped: b.skipped.Load()}
	b.mu.Lock()
	defer b.mu.Unlock()
	c.InPut = len(b.inPut)
	if b.conn != nil {
		c.Connector = b.conn.Stats()
	}
	return c
}

// closeConn ends a connector within the bound; one that does not end is left behind.
func (b *Backend) closeConn(c Connector) error {
	_, err := bounded(context.Background(), b.opts.CloseTimeout, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, c.Close(ctx)
	}, nil)
	return err
}

// Close waits for puts that run, for a bounded time, and ends the connector.
func (b *Backend) Close() error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil
	}
	b.closed = true
	conn := b.conn
	b.conn = nil
	b.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		b.puts.Wait()
		close(ended)
	}()
	timer := time.NewTimer(b.opts.CloseTimeout)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
	}
	b.stop()
	if conn == nil {
		return nil
	}
	if err := b.closeConn(conn); err != nil {
		return fmt.Errorf("close %s: %w", b.opts.Remote.Backend, err)
	}
	return nil
}
