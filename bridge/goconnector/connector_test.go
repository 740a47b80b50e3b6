package goconnector_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge/eventfd"
	"github.com/sixcall/sixcall/bridge/goconnector"
	"github.com/sixcall/sixcall/bridge/kv"
)

// store is a backend in memory. A key named "wait" blocks until its context ends,
// "stuck" until unstick is closed, "panic" panics.
type store struct {
	unstick chan struct{}
	mu      sync.Mutex
	values  map[string][]byte
	closed  int
	running chan string // receives the keys of calls that block
}

func newStore() *store {
	return &store{unstick: make(chan struct{}), values: map[string][]byte{}, running: make(chan string, 64)}
}

func (s *store) special(ctx context.Context, key string) error {
	switch key {
	case "wait":
		s.running <- key
		<-ctx.Done()
		return ctx.Err()
	case "stuck":
		s.running <- key
		<-s.unstick
	case "panic":
		panic("as asked")
	case "full":
		return kv.NoSpace
	case "corrupt":
		return kv.Corrupt
	}
	return nil
}

func (s *store) Get(ctx context.Context, key string, buf []byte) (bool, error) {
	if err := s.special(ctx, key); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.values[key]
	if ok && len(v) != len(buf) {
		return true, &goconnector.SizeError{Stored: int64(len(v)), Want: len(buf)}
	}
	copy(buf, v)
	return ok, nil
}

func (s *store) Set(ctx context.Context, key string, value []byte) error {
	if err := s.special(ctx, key); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values[key] = bytes.Clone(value)
	return nil
}

func (s *store) Exists(ctx context.Context, key string) (bool, int64, error) {
	if err := s.special(ctx, key); err != nil {
		return false, -1, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.values[key]
	return ok, int64(len(v)), nil
}

func (s *store) Delete(_ context.Context, key string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.values[key]
	delete(s.values, key)
	return ok, nil
}

func (s *store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed++
	return nil
}

func open(t *testing.T, s *store, opts goconnector.Options) *goconnector.Connector {
	t.Helper()
	if opts.Name == "" {
		opts.Name = "store"
	}
	c, err := goconnector.New(s, opts)
	require.NoError(t, err)
	return c
}

func batch(ticket uint64, op kv.Op, keys ...string) *kv.Batch {
	b := &kv.Batch{Ticket: ticket, Op: op, Err: make(kv.ErrBlock, kv.ErrBlockSize)}
	for _, k := range keys {
		b.Keys = append(b.Keys, k...)
		b.Ends = append(b.Ends, uint32(len(b.Keys)))
		b.Status = append(b.Status, kv.StatusUnset)
		b.ValueLens = append(b.ValueLens, 12345)
		if op == kv.OpGet || op == kv.OpSet {
			b.Bufs = append(b.Bufs, bytes.Repeat([]byte{'v'}, 8))
		}
	}
	return b
}

// drain waits for n completions on the event fd.
func drain(t *testing.T, c *goconnector.Connector, n int) (all []kv.Completion) {
	t.Helper()
	poller, err := eventfd.NewPoller(c.EventFD())
	require.NoError(t, err)
	defer poller.Close()
	timer := time.AfterFunc(time.Minute, poller.Close)
	defer timer.Stop()
	require.NoError(t, poller.Run(func() bool {
		var out [4]kv.Completion
		for {
			m, err := c.Drain(out[:])
			require.NoError(t, err)
			all = append(all, out[:m]...)
			if m < len(out) {
				return len(all) >= n
			}
		}
	}))
	require.Len(t, all, n)
	return all
}

func run(t *testing.T, c *goconnector.Connector, b *kv.Batch) kv.Completion {
	t.Helper()
	require.NoError(t, c.Submit(b))
	record := drain(t, c, 1)[0]
	require.Equal(t, b.Ticket, record.Ticket)
	require.Equal(t, b.Op, record.Op)
	return record
}

func TestEveryStatus(t *testing.T) {
	s := newStore()
	c := open(t, s, goconnector.Options{})
	require.EqualValues(t, 2, run(t, c, batch(1, kv.OpSet, "a", "b")).NOK)
	s.values["long"] = make([]byte, 9)

	get := batch(2, kv.OpGet, "a", "absent", "long", "panic", "corrupt", "b")
	require.EqualValues(t, 2, run(t, c, get).NOK)
	require.Equal(t, []byte{kv.StatusHit, kv.StatusMiss, kv.StatusSize, kv.StatusError, kv.StatusCorrupt, kv.StatusHit}, get.Status)
	require.Equal(t, []uint64{8, math.MaxUint64, 9, math.MaxUint64, math.MaxUint64, 8}, get.ValueLens)
	require.NotEqual(t, kv.OK, get.Err.Code())

	set := batch(3, kv.OpSet, "full", "c")
	run(t, c, set)
	require.Equal(t, []byte{kv.StatusRefused, kv.StatusHit}, set.Status)
	require.Equal(t, kv.NoSpace, set.Err.Code())

	exists := batch(4, kv.OpExists, "c", "absent")
	run(t, c, exists)
	require.Equal(t, []byte{kv.StatusHit, kv.StatusMiss}, exists.Status)
	require.EqualValues(t, 8, exists.ValueLens[0])

	del := batch(5, kv.OpDelete, "c", "absent")
	run(t, c, del)
	require.Equal(t, []byte{kv.StatusHit, kv.StatusMiss}, del.Status)
	require.NoError(t, c.Close(time.Minute))
	require.Equal(t, 1, s.closed)
}

func TestPanicNamesItself(t *testing.T) {
	c := open(t, newStore(), goconnector.Options{})
	b := batch(1, kv.OpGet, "panic")
	run(t, c, b)
	require.Equal(t, kv.Internal, b.Err.Code())
	require.Contains(t, b.Err.Message(), "the backend panicked: as asked")
	require.NoError(t, c.Close(time.Minute))
}

func TestDeadlineAndCancelEndACall(t *testing.T) {
	s := newStore()
	c := open(t, s, goconnector.Options{})
	late := batch(1, kv.OpGet, "wait")
	late.DeadlineNS = eventfd.MonotonicNS() + uint64(time.Millisecond)
	run(t, c, late)
	require.Equal(t, []byte{kv.StatusTimeout}, late.Status)
	<-s.running

	b := batch(2, kv.OpGet, "wait")
	require.NoError(t, c.Submit(b))
	<-s.running
	require.NoError(t, c.Cancel(2))
	drain(t, c, 1)
	require.Equal(t, []byte{kv.StatusCancelled}, b.Status)
	require.ErrorIs(t, c.Cancel(2), kv.Invalid)
	require.NoError(t, c.Close(time.Minute))
}

func TestRefusals(t *testing.T) {
	s := newStore()
	c := open(t, s, goconnector.Options{MaxInFlight: 1, Limits: kv.Limits{MaxBatch: 2}})
	require.ErrorIs(t, c.Submit(batch(1, kv.OpGet)), kv.Invalid)
	require.ErrorIs(t, c.Submit(batch(1, kv.OpGet, "a", "b", "c")), kv.Invalid)
	require.ErrorIs(t, c.Submit(batch(1, kv.OpPing)), kv.Unsupported)
	require.ErrorIs(t, c.Submit(batch(1, kv.Op(77), "a")), kv.Unsupported)
	require.NoError(t, c.Submit(batch(7, kv.OpGet, "wait")))
	require.ErrorIs(t, c.Submit(batch(8, kv.OpGet, "a")), kv.Busy)
	<-s.running
	require.NoError(t, c.Close(time.Minute), "close ends what is in flight")
	require.ErrorIs(t, c.Submit(batch(9, kv.OpGet, "a")), kv.Closed)

	_, err := goconnector.New(newStore(), goconnector.Options{Workers: -1})
	require.ErrorIs(t, err, kv.Config)
	require.ErrorContains(t, err, "Name is empty")
	require.ErrorContains(t, err, "Workers is -1")
}

func TestCloseReportsABackendThatIsStuck(t *testing.T) {
	s := newStore()
	c := open(t, s, goconnector.Options{})
	require.NoError(t, c.Submit(batch(1, kv.OpGet, "stuck")))
	<-s.running
	require.ErrorIs(t, c.Close(time.Millisecond), kv.Stuck)
	close(s.unstick)
}

func TestLookupsDoNotWaitBehindTransfers(t *testing.T) {
	s := newStore()
	c := open(t, s, goconnector.Options{Workers: 1, LookupWorkers: 1})
	require.NoError(t, c.Submit(batch(1, kv.OpGet, "wait")))
	<-s.running
	run(t, c, batch(2, kv.OpExists, "absent")) // completes although the one transfer worker waits
	require.NoError(t, c.Close(time.Minute))
}

func TestManyBatchesFromManyGoroutines(t *testing.T) {
	s := newStore()
	c := open(t, s, goconnector.Options{})
	const goroutines, each = 8, 50
	var wg sync.WaitGroup
	errs := make(chan error, goroutines*each)
	for g := range goroutines {
		wg.Go(func() {
			for i := range each {
				errs <- c.Submit(batch(uint64(g*each+i), kv.OpSet, "a", "b", "c"))
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	seen := map[uint64]bool{}
	for _, record := range drain(t, c, goroutines*each) {
		require.False(t, seen[record.Ticket])
		require.EqualValues(t, 3, record.NOK)
		seen[record.Ticket] = true
	}
	_, _, err := c.List(t.Context(), nil)
	require.True(t, errors.Is(err, kv.Unsupported))
	require.NoError(t, c.Close(time.Minute))
}
