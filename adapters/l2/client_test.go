package l2_test

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/adapters/l2/mock"
	"github.com/sixcall/sixcall/bridge"
	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
)

// scripted is an adapter whose tasks end when a test says so. Only what the
// client calls is there.
type scripted struct {
	l2.Adapter // nil
	*l2.Tasks

	mu       sync.Mutex // guards what follows
	started  []kv.TaskID
	queries  int
	unlocked []kv.Key
	// onSubmit runs within a submit, before it returns the id.
	onSubmit func(kv.TaskID)
}

func newScripted(t *testing.T) *scripted {
	t.Helper()
	tasks, err := l2.NewTasks(0)
	require.NoError(t, err)
	t.Cleanup(tasks.Close)
	return &scripted{Tasks: tasks}
}

func (s *scripted) client(t *testing.T) *l2.WaitingClient {
	t.Helper()
	c, err := l2.NewClient(s)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func (s *scripted) StoreEventFD() int         { return s.Notifiers().StoreEventFD() }
func (s *scripted) LookupAndLockEventFD() int { return s.Notifiers().LookupAndLockEventFD() }
func (s *scripted) LoadEventFD() int          { return s.Notifiers().LoadEventFD() }
func (s *scripted) Close() error              { s.Tasks.Close(); return nil }

func (s *scripted) start(kind bridge.Kind, keys []kv.Key, bufs []kv.Buffer) (kv.TaskID, error) {
	id, err := s.Start(kind, keys, bufs)
	if err == nil {
		if s.onSubmit != nil {
			s.onSubmit(id)
		}
		s.mu.Lock()
		s.started = append(s.started, id)
		s.mu.Unlock()
	}
	return id, err
}

func (s *scripted) SubmitStoreTask(keys []kv.Key, objects []kv.Buffer) (kv.TaskID, error) {
	return s.start(bridge.Store, keys, objects)
}

func (s *scripted) SubmitLookupAndLockTask(keys []kv.Key, _ map[int64]kv.Layout) (kv.TaskID, error) {
	return s.start(bridge.Lookup, keys, nil)
}

func (s *scripted) SubmitLoadTask(keys []kv.Key, bufs []kv.Buffer) (kv.TaskID, error) {
	return s.start(bridge.Load, keys, bufs)
}

func (s *scripted) PopCompletedStoreTasks() map[kv.TaskID]kv.StoreResult {
	return s.Tasks.PopCompletedStoreTasks()
}

func (s *scripted) QueryLookupAndLockResult(id kv.TaskID) (kv.Bitmap, bool) {
	s.mu.Lock()
	s.queries++
	s.mu.Unlock()
	return s.Tasks.QueryLookupAndLockResult(id)
}

func (s *scripted) QueryLoadResult(id kv.TaskID) (kv.Bitmap, bool) {
	return s.Tasks.QueryLoadResult(id)
}

func (s *scripted) SubmitUnlock(keys []kv.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unlocked = append(s.unlocked, keys...)
}

// waitStarted returns the id of the n-th task once it was submitted.
func (s *scripted) waitStarted(t *testing.T, n int) (id kv.TaskID) {
	t.Helper()
	eventually(t, "a submit", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.started) < n {
			return false
		}
		id = s.started[n-1]
		return true
	})
	return id
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	require.Eventually(t, cond, 30*time.Second, time.Millisecond, what)
}

type lookupAnswer struct {
	bits kv.Bitmap
	err  error
}

func goLookup(ctx context.Context, c l2.Client, keys []kv.Key) <-chan lookupAnswer {
	done := make(chan lookupAnswer, 1)
	go func() {
		bits, err := c.Lookup(ctx, keys)
		done <- lookupAnswer{bits, err}
	}()
	return done
}

func TestClientOnAnyAdapter(t *testing.T) {
	inMemory, err := mock.New(mock.Options{MaxSizeBytes: 1 << 20, BandwidthBytesPerSecond: 1 << 40})
	require.NoError(t, err)
	defer inMemory.Close()
	for name, a := range map[string]l2.Adapter{"mock": inMemory, "native": newFixture(t, l2.Options{})} {
		t.Run(name, func(t *testing.T) {
			c, err := l2.NewClient(a)
			require.NoError(t, err)
			defer c.Close()
			keys := bridgetest.Keys(3)
			r, err := c.Store(background, keys[:2], []kv.Buffer{[]byte("one"), []byte("three")})
			require.NoError(t, err)
			require.Equal(t, kv.StoreResult{OK: true, Bytes: 8}, r)
			bits, err := c.Lookup(background, keys)
			require.NoError(t, err)
			require.Equal(t, "110", bits.String())
			bufs := []kv.Buffer{make([]byte, 3), make([]byte, 5), make([]byte, 4)}
			bits, err = c.Load(background, keys, bufs)
			require.NoError(t, err)
			require.Equal(t, "110", bits.String())
			require.Equal(t, "three", string(bufs[1]))
			deleted, err := c.Delete(background, keys[:1])
			require.NoError(t, err)
			require.Equal(t, kv.DeleteResult{Pinned: 1}, deleted, "row 71")
			c.Unlock(keys[:2])
			deleted, err = c.Delete(background, keys[:1])
			require.NoError(t, err)
			require.Equal(t, kv.DeleteResult{Deleted: 1}, deleted)
			require.Zero(t, c.InFlight())

			_, err = c.Load(background, keys, bufs[:1])
			require.ErrorIs(t, err, kv.Invalid, "row 35")
			require.NoError(t, a.Close())
			_, err = c.Lookup(background, keys)
			require.ErrorIs(t, err, kv.Closed, "row 47")
			_, err = l2.NewClient(a)
			require.ErrorIs(t, err, kv.Invalid, "a closed adapter has no event fds")
		})
	}
}

func TestRow119AResultWithoutASignalIsNotPickedUp(t *testing.T) {
	s := newSilenced(t)
	s.onSubmit = func(id kv.TaskID) { s.EndLoad(id, kv.NewBitmapPrefix(1, 1)) } // lookups run on
	c := s.client(t)
	answer := goLookup(background, c, bridgetest.Keys(1))
	id := s.waitStarted(t, 1)
	s.results.Store(id, kv.NewBitmapPrefix(1, 1)) // and no signal

	// Signals of another kind come and are served.
	for range 3 {
		_, err := c.Load(background, bridgetest.Keys(1), make([]kv.Buffer, 1))
		require.NoError(t, err)
	}
	require.Zero(t, s.queried(), "no signal, no query")
	require.Equal(t, 1, c.InFlight())

	s.Notifiers().Signal(bridge.Lookup)
	got := <-answer
	require.NoError(t, got.err)
	require.Equal(t, "1", got.bits.String())
}

// silenced has lookups whose results are put there without a signal.
type silenced struct {
	*scripted
	results sync.Map // of kv.Bitmap by kv.TaskID
}

func newSilenced(t *testing.T) *silenced { return &silenced{scripted: newScripted(t)} }

func (s *silenced) client(t *testing.T) *l2.WaitingClient {
	t.Helper()
	c, err := l2.NewClient(s)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func (s *silenced) QueryLookupAndLockResult(id kv.TaskID) (kv.Bitmap, bool) {
	_, _ = s.scripted.QueryLookupAndLockResult(id)
	bits, ok := s.results.LoadAndDelete(id)
	if !ok {
		return kv.Bitmap{}, false
	}
	return bits.(kv.Bitmap), true
}

func (s *scripted) queried() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queries
}

func TestContextEndsACallEarly(t *testing.T) {
	t.Run("cancelled lookup gives its late pins back", func(t *testing.T) {
		s := newScripted(t)
		c := s.client(t)
		ctx, cancel := context.WithCancel(background)
		keys := bridgetest.Keys(3)
		answer := goLookup(ctx, c, keys)
		id := s.waitStarted(t, 1)
		cancel()
		got := <-answer
		require.ErrorIs(t, got.err, kv.Cancelled)
		require.ErrorIs(t, got.err, context.Canceled)
		require.Equal(t, "000", got.bits.String())
		require.Equal(t, 1, c.InFlight(), "the adapter goes on")

		bits := kv.NewBitmap(3)
		bits.SetAll(0, 2)
		s.EndLookup(id, bits)
		eventually(t, "the late result", func() bool { return c.InFlight() == 0 })
		eventually(t, "its pins", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return len(s.unlocked) == 2
		})
		require.Equal(t, []kv.Key{keys[0], keys[2]}, s.unlocked)
	})
	t.Run("deadline of a load keeps its buffer lent", func(t *testing.T) {
		s := newScripted(t)
		c := s.client(t)
		ctx, cancel := context.WithTimeout(background, time.Millisecond)
		defer cancel()
		bits, err := c.Load(ctx, bridgetest.Keys(1), make([]kv.Buffer, 1))
		require.ErrorIs(t, err, kv.Timeout)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, "0", bits.String())
		require.Equal(t, 1, c.InFlight())
		s.EndLoad(s.waitStarted(t, 1), kv.NewBitmap(1))
		eventually(t, "the late result", func() bool { return c.InFlight() == 0 })
	})
	t.Run("context that ended before submits nothing", func(t *testing.T) {
		s := newScripted(t)
		ctx, cancel := context.WithCancel(background)
		cancel()
		_, err := s.client(t).Store(ctx, bridgetest.Keys(1), make([]kv.Buffer, 1))
		require.ErrorIs(t, err, kv.Cancelled)
		require.Zero(t, s.Running())
	})
}

func TestFailedStoreIsAnError(t *testing.T) {
	s := newScripted(t)
	s.onSubmit = func(id kv.TaskID) { s.EndStore(id, kv.StoreResult{}) }
	_, err := s.client(t).Store(background, bridgetest.Keys(1), make([]kv.Buffer, 1))
	require.ErrorIs(t, err, kv.IO)
}

func TestRow121BitmapOfTheWrongLengthIsAMiss(t *testing.T) {
	s := newScripted(t)
	c := s.client(t)
	keys := bridgetest.Keys(2)
	for _, n := range []int{1, 3} {
		s.onSubmit = func(id kv.TaskID) {
			s.EndLookup(id, kv.NewBitmapPrefix(n, n))
			s.EndLoad(id, kv.NewBitmapPrefix(n, n))
		}
		s.unlocked = nil
		bits, err := c.Lookup(background, keys)
		require.ErrorIs(t, err, kv.Internal)
		require.Equal(t, "00", bits.String())
		require.Equal(t, keys[:min(n, 2)], s.unlocked, "pins are given back once")
		bits, err = c.Load(background, keys, make([]kv.Buffer, 2))
		require.ErrorIs(t, err, kv.Internal)
		require.Equal(t, "00", bits.String())
	}
}

// The signal of a task may be read, and a store's result popped, before its
// submit call has returned the id.
func TestResultBeforeTheSubmitReturns(t *testing.T) {
	s := newScripted(t)
	c := s.client(t)
	taken := func(fd int) {
		eventually(t, "the client reads the signal", func() bool { return !readable(t, fd) })
		time.Sleep(time.Millisecond) // and, most times, looks for results
	}
	for i := range int64(20) {
		s.onSubmit = func(id kv.TaskID) {
			s.EndStore(id, kv.StoreResult{OK: true, Bytes: i})
			taken(s.StoreEventFD())
		}
		r, err := c.Store(background, bridgetest.Keys(1), make([]kv.Buffer, 1))
		require.NoError(t, err)
		require.Equal(t, i, r.Bytes)
		s.onSubmit = func(id kv.TaskID) {
			s.EndLookup(id, kv.NewBitmapPrefix(1, 1))
			taken(s.LookupAndLockEventFD())
		}
		bits, err := c.Lookup(background, bridgetest.Keys(1))
		require.NoError(t, err)
		require.Equal(t, "1", bits.String())
	}
}

func TestCloseOfTheClient(t *testing.T) {
	before := openFDs()
	s := newScripted(t)
	c, err := l2.NewClient(s)
	require.NoError(t, err)
	require.Equal(t, before+6, openFDs(), "three event fds and their duplicates")
	answer := goLookup(background, c, bridgetest.Keys(1))
	id := s.waitStarted(t, 1)
	c.Close()
	require.ErrorIs(t, (<-answer).err, kv.Closed, "who waits is told")
	c.Close()
	_, err = c.Lookup(background, bridgetest.Keys(1))
	require.ErrorIs(t, err, kv.Closed)
	require.Equal(t, before+3, openFDs())

	require.True(t, s.StoreEventFD() >= 0, "the adapter stays open")
	s.EndLookup(id, kv.NewBitmap(1))
	_, ok := s.QueryLookupAndLockResult(id)
	require.True(t, ok, "the result is still there")
}

func TestAdapterThatClosesAnswersItsClient(t *testing.T) {
	s := newScripted(t)
	c := s.client(t)
	answer := goLookup(background, c, bridgetest.Keys(2))
	s.waitStarted(t, 1)
	require.NoError(t, s.Close())
	got := <-answer
	require.NoError(t, got.err)
	require.Equal(t, "00", got.bits.String(), "row 75")
}

func TestClientFromManyGoroutines(t *testing.T) {
	s := newScripted(t)
	s.onSubmit = func(id kv.TaskID) {
		go func() { // one of these ends it
			s.EndStore(id, kv.StoreResult{OK: true, Bytes: int64(id)})
			s.EndLookup(id, kv.NewBitmapPrefix(1, 1))
			s.EndLoad(id, kv.NewBitmapPrefix(1, 1))
		}()
	}
	c := s.client(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				_, err := c.Store(background, bridgetest.Keys(1), make([]kv.Buffer, 1))
				if err == nil {
					_, err = c.Lookup(background, bridgetest.Keys(1))
				}
				if err == nil {
					_, err = c.Load(background, bridgetest.Keys(1), make([]kv.Buffer, 1))
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	require.Zero(t, c.InFlight())
}

func openFDs() int {
	links, _ := filepath.Glob("/proc/self/fd/*")
	return len(links)
}
