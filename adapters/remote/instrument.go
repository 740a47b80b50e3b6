package remote

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sixcall/sixcall/bridge/engine"
)

var errNotImplemented = errors.New("the connector does not implement this")

// Stats are the counters of one connector.
type Stats struct {
	BytesRead, BytesWritten  int64
	Gets, Puts               int64 // keys, with those that failed
	Hits                     int64 // keys
	GetErrors, PutErrors     int64 // keys
	TimeGetting, TimePutting time.Duration
}

// Instrumented measures a connector and gives it every optional method. Safe for
// concurrent use.
type Instrumented struct {
	inner Connector
	can   Abilities

	bytesRead, bytesWritten, gets, puts, hits, getErrors, putErrors, getting, putting atomic.Int64
}

// Instrument wraps c.
func Instrument(c Connector) *Instrumented {
	if i, ok := c.(*Instrumented); ok {
		return i
	}
	return &Instrumented{inner: c, can: AbilitiesOf(c)}
}

// Wrapped returns the inner connector.
func (i *Instrumented) Wrapped() Connector { return i.inner }

func (i *Instrumented) String() string {
	return fmt.Sprintf("InstrumentedRemoteConnector(%T)", i.inner)
}

// Stats returns the counters.
func (i *Instrumented) Stats() Stats {
	return Stats{
		BytesRead: i.bytesRead.Load(), BytesWritten: i.bytesWritten.Load(), Gets: i.gets.Load(), Puts: i.puts.Load(), Hits: i.hits.Load(),
		GetErrors: i.getErrors.Load(), PutErrors: i.putErrors.Load(),
		TimeGetting: time.Duration(i.getting.Load()), TimePutting: time.Duration(i.putting.Load()),
	}
}

func (i *Instrumented) got(began time.Time, keys int, objs []*engine.Object, err error) {
	i.getting.Add(int64(time.Since(began)))
	i.gets.Add(int64(keys))
	if err != nil {
		i.getErrors.Add(int64(keys))
	}
	for _, o := range objs {
		if o != nil {
			i.hits.Add(1)
			i.bytesRead.Add(int64(o.Len()))
		}
	}
}

func (i *Instrumented) put(began time.Time, keys []engine.Key, objs []*engine.Object, err error) {
	i.putting.Add(int64(time.Since(began)))
	i.puts.Add(int64(len(keys)))
	var failed KeyErrors
	each := errors.As(err, &failed)
	for n, k := range keys {
		if err != nil && (!each || failed[k] != nil) {
			i.putErrors.Add(1)
		} else {
			i.bytesWritten.Add(int64(objs[n].Len()))
		}
	}
}

// Exists implements [Connector].
func (i *Instrumented) Exists(ctx context.Context, key engine.Key) (bool, error) {
	return i.inner.Exists(ctx, key)
}

// ExistsSync implements [Connector].
func (i *Instrumented) ExistsSync(key engine.Key) (bool, error) { return i.inner.ExistsSync(key) }

// Get implements [Connector].
func (i *Instrumented) Get(ctx context.Context, key engine.Key) (*engine.Object, error) {
	began := time.Now()
	o, err := i.inner.Get(ctx, key)
	i.got(began, 1, []*engine.Object{o}, err)
	return o, err
}

// Put implements [Connector].
func (i *Instrumented) Put(ctx context.Context, key engine.Key, obj *engine.Object) error {
	began := time.Now()
	err := i.inner.Put(ctx, key, obj)
	i.put(began, []engine.Key{key}, []*engine.Object{obj}, err)
	return err
}

// List implements [Connector].
func (i *Instrumented) List(ctx context.Context) ([]string, error) { return i.inner.List(ctx) }

// Close implements [Connector].
func (i *Instrumented) Close(ctx context.Context) error { return i.inner.Close(ctx) }

// Ping is healthy for a connector that has none.
func (i *Instrumented) Ping(ctx context.Context) (int, error) {
	if p, ok := i.inner.(Pinger); ok {
		return p.Ping(ctx)
	}
	return 0, nil
}

// BatchedGet reads one by one, some at once, where the connector has no better way. A
// miss is nil and does not end the batch. The first key that fails, or has not answered
// when ctx ends, does: it and all behind it are nil, what was read before is kept.
func (i *Instrumented) BatchedGet(ctx context.Context, keys []engine.Key) (objs []*engine.Object, err error) {
	began := time.Now()
	if g, ok := i.inner.(BatchGetter); ok {
		objs, err = g.BatchedGet(ctx, keys)
		for len(objs) < len(keys) {
			objs = append(objs, nil)
		}
		releaseAll(objs[len(keys):])
		objs = objs[:len(keys)]
		if err != nil {
			releaseAll(objs)
			objs = make([]*engine.Object, len(keys))
		}
		i.got(began, len(keys), objs, err)
		return objs, err
	}
	objs, err = i.getEach(ctx, keys, false)
	i.got(began, len(keys), objs, err)
	return objs, err
}

// parallel is how many calls a batch makes at once where the connector has no batches.
const parallel = 16

// each calls f for 0 to n-1, some at once, and returns what each call said. A panic is
// an error.
func each(n int, f func(int) error) []error {
	var calls sync.WaitGroup
	room := make(chan struct{}, parallel)
	errs := make([]error, n)
	for k := range n {
		room <- struct{}{}
		calls.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					errs[k] = panicked(p)
				}
				<-room
			}()
			errs[k] = f(k)
		})
	}
	calls.Wait()
	return errs
}

func panicked(p any) error { return fmt.Errorf("the connector panicked: %v", p) }

// getEach reads keys one by one, some at once, and takes the answers in their order up
// to the first error, or up to the first miss if misses end it as well. It does not
// wait for the others: their reads are cancelled, and what comes late is released.
func (i *Instrumented) getEach(ctx context.Context, keys []engine.Key, untilMiss bool) ([]*engine.Object, error) {
	objs := make([]*engine.Object, len(keys))
	ctx, cancel := context.WithCancel(ctx)
	type answer struct {
		o   *engine.Object
		err error
	}
	answers := make([]chan answer, len(keys))
	for n := range answers {
		answers[n] = make(chan answer, 1)
	}
	read := func(n int) (a answer) {
		defer func() {
			if p := recover(); p != nil {
				a = answer{err: panicked(p)}
			}
		}()
		a.o, a.err = i.inner.Get(ctx, keys[n])
		return a
	}
	var next atomic.Int64
	for range min(parallel, len(keys)) {
		go func() {
			for n := int(next.Add(1)) - 1; n < len(keys); n = int(next.Add(1)) - 1 {
				if ctx.Err() != nil {
					answers[n] <- answer{err: context.Cause(ctx)}
					continue
				}
				answers[n] <- read(n)
			}
		}()
	}
	defer cancel()
	for n := range keys {
		var a answer
		late := answers[n+1:]
		select {
		case a = <-answers[n]:
		case <-ctx.Done():
			select {
			case a = <-answers[n]: // both may be true
			default:
				a.err, late = context.Cause(ctx), answers[n:]
			}
		}
		if a.err == nil && (a.o != nil || !untilMiss) {
			objs[n] = a.o
			continue
		}
		a.o.Release()
		go func() {
			for _, c := range late {
				(<-c).o.Release()
			}
		}()
		return objs, a.err
	}
	return objs, nil
}

// BatchedPut stores one by one, some at once, where the connector has no better way.
func (i *Instrumented) BatchedPut(ctx context.Context, keys []engine.Key, objs []*engine.Object) (err error) {
	began := time.Now()
	defer func() { i.put(began, keys, objs, err) }()
	if p, ok := i.inner.(BatchPutter); ok {
		return p.BatchedPut(ctx, keys, objs)
	}
	errs := each(len(keys), func(n int) error { return i.inner.Put(ctx, keys[n], objs[n]) })
	failed := KeyErrors{}
	for n, err := range errs {
		if err != nil {
			failed[keys[n]] = err
		}
	}
	if len(failed) > 0 {
		return failed
	}
	return nil
}

// BatchedContains asks key by key where the connector has no better way.
func (i *Instrumented) BatchedContains(ctx context.Context, keys []engine.Key) (int, error) {
	if c, ok := i.inner.(BatchContainer); ok {
		n, err := c.BatchedContains(ctx, keys)
		return min(max(n, 0), len(keys)), err
	}
	for n, k := range keys {
		ok, err := i.inner.Exists(ctx, k)
		if err != nil || !ok {
			return n, err
		}
	}
	return len(keys), nil
}

// BatchedAsyncContains asks for all keys at once where the connector has no better
// way, and returns the number of leading hits.
func (i *Instrumented) BatchedAsyncContains(ctx context.Context, lookupID string, keys []engine.Key, pin bool) (int, error) {
	if c, ok := i.inner.(AsyncContainer); ok {
		n, err := c.BatchedAsyncContains(ctx, lookupID, keys, pin)
		return min(max(n, 0), len(keys)), err
	}
	if c, ok := i.inner.(BatchContainer); ok {
		n, err := c.BatchedContains(ctx, keys)
		return min(max(n, 0), len(keys)), err
	}
	found := make([]bool, len(keys))
	errs := each(len(keys), func(n int) (err error) {
		found[n], err = i.inner.Exists(ctx, keys[n])
		return err
	})
	for n := range keys {
		if errs[n] != nil {
			return 0, errs[n]
		}
		if !found[n] {
			return n, nil
		}
	}
	return len(keys), nil
}

// BatchedGetNonBlocking returns the leading run of hits; what lies behind a miss is
// released.
func (i *Instrumented) BatchedGetNonBlocking(ctx context.Context, lookupID string, keys []engine.Key) ([]*engine.Object, error) {
	var objs []*engine.Object
	var err error
	began := time.Now()
	switch c := i.inner.(type) {
	case NonBlockingGetter:
		objs, err = c.BatchedGetNonBlocking(ctx, lookupID, keys)
		if len(objs) > len(keys) {
			releaseAll(objs[len(keys):])
			objs = objs[:len(keys)]
		}
	case BatchGetter:
		objs, err = c.BatchedGet(ctx, keys)
	default:
		objs, err = i.getEach(ctx, keys, true)
	}
	run := 0
	for run < len(objs) && objs[run] != nil {
		run++
	}
	i.got(began, len(keys), objs[:run], nil)
	releaseAll(objs[run:])
	return objs[:run], err
}

// RemoveSync implements [Remover].
func (i *Instrumented) RemoveSync(key engine.Key) (bool, error) {
	if r, ok := i.inner.(Remover); ok {
		return r.RemoveSync(key)
	}
	return false, errNotImplemented
}
