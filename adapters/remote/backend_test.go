package remote_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/remote"
	"github.com/sixcall/sixcall/bridge/engine"
)

func TestRow17SixMethodsAreEnough(t *testing.T) {
	s := newSetup(t)
	f := newFake(s.m)
	require.Equal(t, remote.Abilities{BatchedAsyncContains: true, BatchedGetNonBlocking: true}, remote.AbilitiesOf(f))
	b := s.on(t, f)
	require.True(t, b.Connected())
	// Row 19: done once, the reference is the caller's again.
	require.Equal(t, []ended{{key(1), nil}}, put(t, s.m, b, 1))
	ok, err := b.Contains(ctx, key(1), false)
	require.NoError(t, err)
	require.True(t, ok)
	o, err := b.Get(ctx, key(1))
	require.NoError(t, err)
	same(t, s.m, 1, o)
	require.EqualValues(t, 2048, b.Counters().Connector.BytesRead)
	require.EqualValues(t, 2048, b.Counters().Connector.BytesWritten)
	// Row 33.
	found, err := b.Remove(ctx, key(1), true)
	require.NoError(t, err)
	require.False(t, found)
}

func TestRow18MissingMethodsAreNamed(t *testing.T) {
	s := newSetup(t)
	type partial struct{ remote.Pinger }
	b := s.on(t, partial{})
	require.False(t, b.Connected())
	require.ErrorIs(t, b.Err(), remote.ErrType)
	for _, method := range []string{"List", "Exists", "Close"} {
		require.ErrorContains(t, b.Err(), method)
	}
}

func TestRow20FailedPutsAreNoSuccess(t *testing.T) {
	s := newSetup(t)
	f := newFake(s.m)
	f.fail("put "+key(2).String(), errDown)
	b := s.on(t, f)
	ends := put(t, s.m, b, 1, 2, 3)
	for _, e := range ends {
		if e.key == key(2) {
			require.ErrorIs(t, e.err, errDown)
		} else {
			require.NoError(t, e.err)
		}
		require.False(t, b.InPutTasks(e.key))
	}
	require.EqualValues(t, 1, b.Counters().PutFailures)
	require.EqualValues(t, 1, b.Counters().Connector.PutErrors)
	require.EqualValues(t, 2*2048, b.Counters().Connector.BytesWritten)
}

// batcher has batches of its own.
type batcher struct {
	*fake
	short bool
}

func (b batcher) BatchedPut(ctx context.Context, ks []engine.Key, objs []*engine.Object) error {
	if err := b.enter("batched_put", engine.Key{}); err != nil {
		return err
	}
	for i, k := range ks {
		if err := b.Put(ctx, k, objs[i]); err != nil {
			return err
		}
	}
	return nil
}

func (b batcher) BatchedGet(ctx context.Context, ks []engine.Key) (out []*engine.Object, err error) {
	if err := b.enter("batched_get", engine.Key{}); err != nil {
		return nil, err
	}
	for _, k := range ks {
		o, err := b.Get(ctx, k)
		if err != nil {
			return out, err
		}
		out = append(out, o)
	}
	if b.short {
		out[len(out)-1].Release()
		out = out[:len(out)-1]
	}
	return out, nil
}

func TestRow21FailedBatchesAreNoSuccess(t *testing.T) {
	s := newSetup(t)
	f := newFake(s.m)
	f.fail("batched_put", errDown)
	b := s.on(t, batcher{fake: f})
	for _, e := range put(t, s.m, b, 1, 2) {
		require.ErrorIs(t, e.err, errDown)
	}
	require.EqualValues(t, 2, b.Counters().PutFailures)
}

func TestRow22KeysInFlightAreStoredOnce(t *testing.T) {
	// Row 23 is the same with batches.
	for name, batches := range map[string]bool{"put": false, "batched_put": true} {
		s := newSetup(t)
		f := newFake(s.m)
		f.block[name] = make(chan struct{})
		var c any = f
		if batches {
			c = batcher{fake: f}
		}
		b := s.on(t, c)
		o := object(t, s.m, 1)
		first := make(chan ended, 1)
		require.NoError(t, b.SubmitPut(ctx, keys(1, 2), []*engine.Object{o}, func(k engine.Key, err error) { first <- ended{k, err} }))
		require.True(t, b.InPutTasks(key(1)))
		second := make(chan ended, 1)
		require.NoError(t, b.SubmitPut(ctx, keys(1, 2), []*engine.Object{o}, func(k engine.Key, err error) { second <- ended{k, err} }))
		require.Equal(t, ended{key(1), nil}, <-second, "at once")
		close(f.block[name])
		require.Equal(t, ended{key(1), nil}, <-first)
		require.Equal(t, 1, f.count("put"), name)
		o.Release()
	}
}

func TestRow24ReadsAreBounded(t *testing.T) {
	s := newSetup(t)
	s.config.BlockingTimeout = 10 * time.Millisecond
	f := newFake(s.m)
	f.block["get"] = make(chan struct{})
	b := s.on(t, f)
	put(t, s.m, b, 1)
	// Row 25: four that hang, and then one that does not.
	for range 4 {
		o, err := b.Get(ctx, key(1))
		require.Nil(t, o)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	}
	require.EqualValues(t, 4, b.Counters().GetFailures)
	close(f.block["get"])
	f.mu.Lock()
	delete(f.block, "get")
	f.mu.Unlock()
	require.Eventually(t, func() bool {
		o, err := b.Get(ctx, key(1))
		if err == nil && o != nil {
			o.Release()
		}
		return err == nil && o != nil
	}, time.Minute, time.Millisecond)
	// The test's memory says that the four late ones were released.
}

func TestRow26AnErrorInTheMiddle(t *testing.T) {
	s := newSetup(t)
	f := newFake(s.m)
	b := s.on(t, f)
	put(t, s.m, b, 1, 2, 3)
	f.fail("get "+key(2).String(), errDown)
	objs, err := b.BatchedGet(ctx, keys(1, 4))
	require.ErrorIs(t, err, errDown)
	same(t, s.m, 1, objs[0])
	require.Equal(t, []*engine.Object{nil, nil}, objs[1:], "the first error ends the batch")
	// The test's memory says that what was read behind it is released.
}

// A read without an answer ends a batch like one that fails. What came before it is kept,
// and what comes late is released.
func TestRow26AHangInTheMiddle(t *testing.T) {
	s := newSetup(t)
	s.config.BlockingTimeout = 2 * time.Second
	f := newFake(s.m)
	b := s.on(t, f)
	put(t, s.m, b, 1, 2, 3)
	release := make(chan struct{})
	f.mu.Lock()
	f.block["get "+key(2).String()] = release
	f.mu.Unlock()
	objs, err := b.BatchedGet(ctx, keys(1, 4))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	same(t, s.m, 1, objs[0])
	require.Equal(t, []*engine.Object{nil, nil}, objs[1:])
	require.EqualValues(t, 1, b.Counters().GetFailures)
	close(release)
}

func TestRow27AMissInTheMiddle(t *testing.T) {
	s := newSetup(t)
	f := newFake(s.m)
	b := s.on(t, f)
	put(t, s.m, b, 1, 3)
	objs, err := b.BatchedGet(ctx, keys(1, 4))
	require.NoError(t, err)
	same(t, s.m, 1, objs[0])
	require.Nil(t, objs[1])
	same(t, s.m, 3, objs[2])
	// Row 28: without blocking it is the leading run.
	for _, c := range []*remote.Instrumented{remote.Instrument(f), remote.Instrument(batcher{fake: f})} {
		objs, err = c.BatchedGetNonBlocking(ctx, "lookup", keys(1, 4))
		require.NoError(t, err)
		require.Len(t, objs, 1)
		same(t, s.m, 1, objs[0])
	}
	// Row 32.
	n, err := b.BatchedContains(ctx, keys(1, 4), false)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	n, err = b.BatchedAsyncContains(ctx, "lookup", keys(1, 4), true)
	require.NoError(t, err)
	require.Equal(t, 1, n)
}

func TestRow30LookupsAreBounded(t *testing.T) {
	s := newSetup(t)
	s.config.BlockingTimeout = 10 * time.Millisecond
	f := newFake(s.m)
	f.block["exists"] = make(chan struct{})
	defer close(f.block["exists"])
	b := s.on(t, f)
	ok, err := b.Contains(ctx, key(1), false)
	require.False(t, ok)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestRow31ExistsSync(t *testing.T) {
	s := newSetup(t)
	s.config.Extra["use_exists_sync"] = true
	f := newFake(s.m)
	b := s.on(t, f)
	put(t, s.m, b, 1)
	ok, err := b.Contains(ctx, key(1), false)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, 1, f.count("exists_sync"))
	require.Zero(t, f.count("exists"))
}

func TestRow34UnknownSchemesDisconnect(t *testing.T) {
	s := newSetup(t)
	s.make = func(*remote.ConnectorContext) (any, error) { return newFake(s.m), nil }
	s.config.RemoteURL = "nobody://h:1"
	b := s.start(t)
	require.ErrorIs(t, b.Err(), remote.ErrNoAdapter)
	require.ErrorContains(t, b.Err(), "nobody://h:1")
	ok, err := b.Contains(ctx, key(1), false)
	require.False(t, ok)
	require.ErrorIs(t, err, remote.ErrDisconnected)
	o, err := b.Get(ctx, key(1))
	require.Nil(t, o)
	require.ErrorIs(t, err, remote.ErrDisconnected)
	n, _ := b.BatchedContains(ctx, keys(1, 3), false)
	require.Zero(t, n)
	objs, err := b.BatchedGet(ctx, keys(1, 3))
	require.Equal(t, []*engine.Object{nil, nil}, objs)
	require.Error(t, err)
	require.ErrorIs(t, put(t, s.m, b, 1)[0].err, remote.ErrDisconnected)
	require.EqualValues(t, 1, b.Counters().Skipped)
}

func TestRow35AStoreThatComesUpLater(t *testing.T) {
	s := newSetup(t)
	f := newFake(s.m)
	down := true
	attempts := 0
	s.make = func(*remote.ConnectorContext) (any, error) {
		if attempts++; down {
			return nil, errDown
		}
		return f, nil
	}
	b := s.start(t)
	require.ErrorIs(t, b.Err(), errDown)
	// Row 36: three seconds later is too early.
	down = false
	s.clock.advance(3 * time.Second)
	require.ErrorIs(t, b.CheckHealth(ctx), remote.ErrDisconnected)
	require.Equal(t, 1, attempts)
	s.clock.advance(7 * time.Second)
	require.NoError(t, b.CheckHealth(ctx))
	require.Equal(t, 2, attempts)
	require.NoError(t, put(t, s.m, b, 1)[0].err)
}

func TestConnectionsAreTriedAgainByTheDataPath(t *testing.T) {
	s := newSetup(t)
	f := newFake(s.m)
	attempts := make(chan error, 100)
	results := make(chan error, 3)
	results <- errDown
	results <- errDown
	results <- nil
	s.make = func(*remote.ConnectorContext) (any, error) {
		err := <-results
		attempts <- err
		return f, err
	}
	b := s.start(t)
	require.Error(t, <-attempts)
	for _, pause := range []time.Duration{10 * time.Second, 20 * time.Second} {
		_, err := b.Contains(ctx, key(1), false)
		require.ErrorIs(t, err, remote.ErrDisconnected)
		s.clock.advance(pause - time.Nanosecond)
		_, err = b.Contains(ctx, key(1), false)
		require.Error(t, err)
		require.Empty(t, attempts, "too early")
		s.clock.advance(time.Nanosecond)
		_, err = b.Contains(ctx, key(1), false)
		require.Error(t, err, "the attempt is not waited for")
		<-attempts
		// The attempt is noted a moment after it has ended.
		require.Eventually(t, func() bool { return b.Connected() || len(results) > 0 && b.Err() != nil && b.CheckHealth(ctx) != nil }, time.Minute, time.Millisecond)
	}
	require.Eventually(t, b.Connected, time.Minute, time.Millisecond)
}

func TestRow37AConnectorThatDiesIsMadeAnew(t *testing.T) {
	s := newSetup(t)
	s.config.Extra["waiting_time_for_recovery"] = int64(60)
	first, second := newFake(s.m), newFake(s.m)
	made := 0
	s.make = func(*remote.ConnectorContext) (any, error) {
		if made++; made == 1 {
			return first, nil
		}
		return second, nil
	}
	b := s.start(t)
	require.NoError(t, b.CheckHealth(ctx))
	first.fail("get", errDown)
	first.fail("put", errDown)
	for range 10 {
		_, err := b.Get(ctx, key(1))
		require.ErrorIs(t, err, errDown)
	}
	require.Error(t, b.CheckHealth(ctx), "ten failures in a round")
	s.clock.advance(30 * time.Second)
	require.ErrorContains(t, b.CheckHealth(ctx), "waiting")
	s.clock.advance(31 * time.Second)
	require.ErrorContains(t, b.CheckHealth(ctx), "probe")
	require.Equal(t, 1, first.count("close"))
	// The next connector works; after the window it is trusted.
	_ = b.CheckHealth(ctx)
	s.clock.advance(61 * time.Second)
	require.NoError(t, b.CheckHealth(ctx))
	require.Equal(t, 2, made)
	require.NoError(t, put(t, s.m, b, 1)[0].err)
	o, err := b.Get(ctx, key(1))
	require.NoError(t, err)
	same(t, s.m, 1, o)
}

// keeping never overwrites, as Mooncake does while a key is leased.
type keeping struct{ *fake }

func (k keeping) Put(ctx context.Context, key engine.Key, o *engine.Object) error {
	if k.has(key) {
		return errors.New("there is another value, which stays")
	}
	return k.fake.Put(ctx, key, o)
}

func TestProbesOfAStorageThatKeepsItsValues(t *testing.T) {
	s := newSetup(t)
	f := newFake(s.m)
	b := s.on(t, keeping{f})
	for round := range 2 {
		f.fail("get", errDown)
		for range 10 {
			_, err := b.Get(ctx, key(1))
			require.ErrorIs(t, err, errDown)
		}
		require.Error(t, b.CheckHealth(ctx))
		f.fail("get", nil)
		s.clock.advance(time.Hour)
		require.NoError(t, b.CheckHealth(ctx), "round %d", round)
	}
}

// pinging answers pings as a test likes.
type pinging struct {
	*fake
	code int
	wait chan struct{}
}

func (p *pinging) Ping(context.Context) (int, error) {
	if p.wait != nil {
		<-p.wait
	}
	return p.code, nil
}

func TestRow38Pings(t *testing.T) {
	s := newSetup(t)
	p := &pinging{fake: newFake(s.m)}
	b := s.on(t, p)
	require.NoError(t, b.CheckHealth(ctx))
	p.code = 7
	var health *remote.HealthError
	require.ErrorAs(t, b.CheckHealth(ctx), &health)
	require.Equal(t, 7, health.Code)
	p.code, p.wait = 0, make(chan struct{})
	s.config.Extra["ping_timeout"] = 0.01 // for the one that hangs; others must not be hurried
	defer close(p.wait)
	require.ErrorAs(t, b.CheckHealth(ctx), &health)
	require.Equal(t, remote.CodeTimeout, health.Code)
}

func TestRow39MissesAreNoFailures(t *testing.T) {
	s := newSetup(t)
	b := s.on(t, newFake(s.m))
	for range 20 {
		o, err := b.Get(ctx, key(1))
		require.NoError(t, err)
		require.Nil(t, o)
	}
	require.NoError(t, b.CheckHealth(ctx))
	require.EqualValues(t, 20, b.Counters().Misses)
	require.Zero(t, b.Counters().GetFailures)
}

func TestRow41CloseIsBounded(t *testing.T) {
	s := newSetup(t)
	s.backend.CloseTimeout = 10 * time.Millisecond
	f := newFake(s.m)
	f.block["close"] = make(chan struct{})
	b := s.on(t, f)
	require.ErrorIs(t, b.Close(), context.DeadlineExceeded)
	close(f.block["close"])
	require.NoError(t, b.Close(), "again")
	_, err := b.Contains(ctx, key(1), false)
	require.ErrorIs(t, err, remote.ErrDisconnected)
}

func TestRow42MLAWorkersReadWorker0(t *testing.T) {
	s := newSetup(t)
	s.meta.UseMLA, s.meta.WorldSize, s.meta.WorkerID = true, 2, 1
	f := newFake(s.m)
	b := s.on(t, f)
	mine, zero := key(1).WithWorkerID(1), key(1)
	o := object(t, s.m, 1)
	done := make(chan error, 1)
	require.NoError(t, b.SubmitPut(ctx, []engine.Key{mine}, []*engine.Object{o}, func(_ engine.Key, err error) { done <- err }))
	require.NoError(t, <-done)
	require.Zero(t, f.count("put"), "only worker 0 stores")
	require.NoError(t, f.Put(ctx, zero, o))
	o.Release()
	ok, err := b.Contains(ctx, mine, false)
	require.NoError(t, err)
	require.True(t, ok)
	got, err := b.Get(ctx, mine)
	require.NoError(t, err)
	same(t, s.m, 1, got)
	// Row 43.
	objs, err := b.BatchedGetNonBlocking(ctx, "", []engine.Key{mine})
	require.NoError(t, err)
	same(t, s.m, 1, objs[0])
	removed := removing{f, ""}
	s2 := newSetup(t)
	s2.meta = s.meta
	b2 := s2.on(t, &removed)
	_, err = b2.Remove(ctx, mine, true)
	require.NoError(t, err)
	require.Equal(t, zero.String(), removed.key)
}

type removing struct {
	*fake
	key string
}

func (r *removing) RemoveSync(k engine.Key) (bool, error) {
	r.key = k.String()
	return true, nil
}

func TestRow46ShortBatches(t *testing.T) {
	s := newSetup(t)
	b := s.on(t, batcher{fake: newFake(s.m), short: true})
	put(t, s.m, b, 1, 2)
	objs, err := b.BatchedGet(ctx, keys(1, 3))
	require.NoError(t, err)
	same(t, s.m, 1, objs[0])
	require.Nil(t, objs[1])
}

// flip is a serde that can be told from none.
type flip struct{ m memory }

func (f flip) Serialize(o *engine.Object) (*engine.Object, error) {
	out, err := f.m.Allocate(ctx, o.Layout(), true)
	if err != nil {
		return nil, err
	}
	for i, c := range o.Bytes() {
		out.Bytes()[i] = ^c
	}
	return out, nil
}

func (f flip) Deserialize(o *engine.Object) (*engine.Object, error) { return f.Serialize(o) }

func TestRow47EveryReadIsDeserialized(t *testing.T) {
	s := newSetup(t)
	s.config.RemoteSerde = "cachegen"
	s.backend.Serde = flip{s.m}
	f := newFake(s.m)
	b := s.on(t, f)
	put(t, s.m, b, 1)
	stored, err := f.Get(ctx, key(1))
	require.NoError(t, err)
	require.Equal(t, ^byte(13), stored.Bytes()[0])
	stored.Release()
	o, err := b.Get(ctx, key(1))
	require.NoError(t, err)
	same(t, s.m, 1, o)
	objs, err := b.BatchedGet(ctx, keys(1, 2))
	require.NoError(t, err)
	same(t, s.m, 1, objs[0])
	objs, err = b.BatchedGetNonBlocking(ctx, "", keys(1, 2))
	require.NoError(t, err)
	same(t, s.m, 1, objs[0])
}

func TestRow48UnknownSerdes(t *testing.T) {
	for _, serde := range []string{"zip", "cachegen", "kivi"} {
		s := newSetup(t)
		s.make = func(*remote.ConnectorContext) (any, error) { return newFake(s.m), nil }
		s.config.RemoteSerde = serde
		_, err := s.tryStart(t)
		require.ErrorIs(t, err, remote.ErrConfig)
		require.ErrorContains(t, err, serde)
	}
}

func TestPanicsAreErrors(t *testing.T) {
	s := newSetup(t)
	b := s.on(t, panicking{newFake(s.m)})
	_, err := b.Get(ctx, key(1))
	require.ErrorContains(t, err, "panicked")
	_, err = b.BatchedGet(ctx, keys(1, 40))
	require.ErrorContains(t, err, "panicked")
	_, err = b.BatchedGetNonBlocking(ctx, "lookup", keys(1, 40))
	require.ErrorContains(t, err, "panicked")
	s.make = func(*remote.ConnectorContext) (any, error) { panic("no") }
	b = s.start(t)
	require.ErrorContains(t, b.Err(), "panicked")
}

type panicking struct{ *fake }

func (panicking) Get(context.Context, engine.Key) (*engine.Object, error) { panic(errors.New("oops")) }
