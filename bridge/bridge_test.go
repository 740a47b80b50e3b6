package bridge_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge"
	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
)

var background = context.Background()

func TestValuesComeBack(t *testing.T) {
	f := newFixture(t, bridge.Options{})
	keys := bridgetest.Keys(3)
	r, err := f.Do(background, bridge.Store, keys[:2], bridgetest.Buffers(t, f.Arena(), 2, 5000, 7))
	require.NoError(t, err)
	require.Equal(t, int64(10000), r.Bytes)

	r, err = f.Do(background, bridge.Lookup, keys, nil)
	require.NoError(t, err)
	require.Equal(t, "110", text(r.Bits))

	bufs := bridgetest.Buffers(t, f.Arena(), 3, 5000, 0)
	r, err = f.Do(background, bridge.Load, keys, bufs)
	require.NoError(t, err)
	require.Equal(t, "110", text(r.Bits))
	for i, want := range []byte{7, 7, 0} {
		for _, got := range bufs[i] {
			require.Equal(t, want, got)
		}
	}
}

func TestMemoryOfTheCallerIsCopied(t *testing.T) {
	f := newFixture(t, bridge.Options{}, func(c *bridgetest.Connector) {
		c.OnSubmit = nil
	})
	keys := bridgetest.Keys(2)
	big := 3 * (64 << 10) // above what the draining goroutine copies itself
	values := []kv.Buffer{make([]byte, big), {1, 2, 3}}
	values[0][big-1] = 9
	_, err := f.Do(background, bridge.Store, keys, values)
	require.NoError(t, err)
	bufs := []kv.Buffer{make([]byte, big), make([]byte, 3)}
	r, err := f.Do(background, bridge.Load, keys, bufs)
	require.NoError(t, err)
	require.Equal(t, "11", text(r.Bits))
	require.Equal(t, values, bufs)
	require.Equal(t, int64(2*(big+3)), f.Stats().CopiedBytes)
}

func TestBadBatchesAreRefusedBeforeTheConnector(t *testing.T) {
	f := newFixture(t, bridge.Options{})
	buf := bridgetest.Buffers(t, f.Arena(), 1, 8, 0)
	tests := []struct {
		name string
		kind bridge.Kind
		keys []kv.Key
		bufs []kv.Buffer
		want string
	}{
		{"no keys", bridge.Lookup, nil, nil, "keys list is empty"},
		{"no keys to load", bridge.Load, nil, nil, "keys list is empty"},
		{"more keys than buffers", bridge.Store, bridgetest.Keys(2), buf, "2 keys and 1 buffers"},
		{"an illegal model", bridge.Lookup, []kv.Key{{Model: "a@b"}}, nil, "model_name"},
		{"an illegal salt behind a legal key", bridge.Lookup, []kv.Key{{Model: "m"}, {Model: "m", Salt: "a/b"}}, nil, "cache_salt"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			_, err := f.Submit(tc.kind, tc.keys, tc.bufs, newCollector())
			require.ErrorIs(t, err, kv.Invalid)
			require.ErrorContains(t, err, tc.want)
		})
	}
	require.Zero(t, f.conn.Submits())
	require.Zero(t, f.InFlight())
}

func TestLargeTasksAreSplit(t *testing.T) {
	f := newFixture(t, bridge.Options{}, func(c *bridgetest.Connector) { c.Limits.MaxBatch = 4 })
	keys := bridgetest.Keys(10)
	_, err := f.Do(background, bridge.Store, keys[:7], bridgetest.Buffers(t, f.Arena(), 7, 8, 1))
	require.NoError(t, err)
	require.Equal(t, 2, f.conn.Submits())
	r, err := f.Do(background, bridge.Lookup, keys, nil)
	require.NoError(t, err)
	require.Equal(t, "1111111000", text(r.Bits))
	require.Equal(t, 5, f.conn.Submits())
}

func TestDeadlineAnswersAndQuarantinesTheBuffer(t *testing.T) {
	ar := newArena(t, arena.Options{Poison: true})
	f := newFixture(t, bridge.Options{Arena: ar, Deadlines: bridge.Deadlines{Load: 30 * time.Millisecond}})
	keys := bridgetest.Keys(1)
	_, err := f.Do(background, bridge.Store, keys, bridgetest.Buffers(t, ar, 1, 4096, 5))
	require.NoError(t, err)
	f.conn.SetHold(true)

	block, err := ar.Alloc(4096)
	require.NoError(t, err)
	bufs := []kv.Buffer{block.Bytes()}
	r, err := f.Do(background, bridge.Load, keys, bufs)
	require.ErrorIs(t, err, kv.Timeout)
	require.Equal(t, bridge.Deadline, r.Outcome)
	require.Equal(t, "0", text(r.Bits))
	require.True(t, block.Quarantined())

	_, err = f.Submit(bridge.Load, keys, bufs, newCollector())
	require.ErrorContains(t, err, "still lent", "a quarantined buffer is not accepted again")

	inUse := ar.Stats().InUse
	block.Release()
	require.Equal(t, inUse, ar.Stats().InUse, "memory that may be written late is not reused")
	other, err := ar.Alloc(4096)
	require.NoError(t, err)
	clear(other.Bytes())

	f.conn.Release(1) // the late write
	eventually(t, "the late completion gives the memory back", func() bool { return f.Stats().Quarantined == 0 })
	for _, got := range other.Bytes() {
		require.Zero(t, got, "the late write went into somebody else's buffer")
	}
	other.Release()
	require.Equal(t, int64(1), f.Stats().Late)
}

func TestDeadlineOfStagedMemory(t *testing.T) {
	f := newFixture(t, bridge.Options{Deadlines: bridge.Deadlines{Load: 30 * time.Millisecond}})
	keys := bridgetest.Keys(1)
	_, err := f.Do(background, bridge.Store, keys, []kv.Buffer{{1, 2, 3, 4}})
	require.NoError(t, err)
	f.conn.SetHold(true)
	buf := make([]byte, 4)
	_, err = f.Do(background, bridge.Load, keys, []kv.Buffer{buf})
	require.ErrorIs(t, err, kv.Timeout)
	f.conn.Release(1)
	eventually(t, "late completion", func() bool { return f.Stats().Late == 1 })
	require.Equal(t, make([]byte, 4), buf, "the host's memory is not written after the answer")
}

func TestDirectMemoryIsNeverAnsweredEarly(t *testing.T) {
	f := newFixture(t, bridge.Options{Buffers: bridge.BuffersDirect, Deadlines: bridge.Deadlines{Load: 10 * time.Millisecond}})
	keys := bridgetest.Keys(1)
	host := newArena(t, arena.Options{}) // stands for memory of the host
	bufs := bridgetest.Buffers(t, host, 1, 8, 3)
	_, err := f.Do(background, bridge.Store, keys, bufs)
	require.NoError(t, err)
	f.conn.SetHold(true)
	ctx, cancel := context.WithTimeout(background, 20*time.Millisecond)
	defer cancel()
	sink := newCollector()
	_, err = f.Submit(bridge.Load, keys, bufs, sink)
	require.NoError(t, err)
	done := make(chan bridge.Result)
	go func() {
		r, _ := f.Do(ctx, bridge.Load, keys, bufs)
		done <- r
	}()
	<-ctx.Done()
	eventually(t, "both are held", func() bool { return f.conn.Held() == 2 })
	sink.none(t)
	f.conn.Release(2)
	require.Equal(t, bridge.Done, (<-done).Outcome)
	require.Equal(t, bridge.Done, sink.next(t).Outcome)
}

func TestStoreAfterDeadlineHidesTheKey(t *testing.T) {
	for _, deletable := range []bool{true, false} {
		t.Run(map[bool]string{true: "with delete", false: "without delete"}[deletable], func(t *testing.T) {
			f := newFixture(t, bridge.Options{Deadlines: bridge.Deadlines{Store: 500 * time.Millisecond}},
				func(c *bridgetest.Connector) { c.NoDelete = !deletable })
			keys, bufs := bridgetest.Keys(1), bridgetest.Buffers(t, f.Arena(), 1, 8, 1)
			f.conn.SetHold(true)
			_, err := f.Do(background, bridge.Store, keys, bufs)
			require.ErrorIs(t, err, kv.Timeout)
			f.conn.SetHold(false)
			require.Equal(t, int64(1), f.Stats().Hidden)
			again := bridgetest.Buffers(t, f.Arena(), 1, 8, 2)
			_, err = f.Do(background, bridge.Store, keys, again)
			require.NoError(t, err)
			r, err := f.Do(background, bridge.Lookup, keys, nil)
			require.NoError(t, err)
			require.Equal(t, "0", text(r.Bits), "hidden while the late store is out")

			f.conn.Release(1)
			eventually(t, "the late store completed", func() bool { return f.Stats().Late == 1 })
			if deletable {
				eventually(t, "the key was deleted", func() bool { return f.Stats().Hidden == 0 && !f.conn.Has(keys[0]) })
				require.Zero(t, f.Usage().BytesUsed)
			} else {
				r, err = f.Do(background, bridge.Load, keys, bridgetest.Buffers(t, f.Arena(), 1, 8, 0))
				require.NoError(t, err)
				require.Equal(t, "0", text(r.Bits), "hidden until it is stored whole again")
			}
			_, err = f.Do(background, bridge.Store, keys, again)
			require.NoError(t, err)
			r, err = f.Do(background, bridge.Lookup, keys, nil)
			require.NoError(t, err)
			require.Equal(t, "1", text(r.Bits))
		})
	}
}

func TestContextEndsAWait(t *testing.T) {
	f := newFixture(t, bridge.Options{})
	f.conn.SetHold(true)
	ctx, cancel := context.WithCancel(background)
	go func() {
		for f.conn.Held() == 0 {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	r, err := f.Do(ctx, bridge.Lookup, bridgetest.Keys(2), nil)
	require.ErrorIs(t, err, kv.Cancelled)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, "00", text(r.Bits))
	f.conn.Release(1)
	eventually(t, "late completion", func() bool { return f.Stats().Late == 1 })
	require.Zero(t, f.Stats().Pins, "a cancelled lookup leaves no pin")

	_, err = f.Do(ctx, bridge.Lookup, bridgetest.Keys(1), nil)
	require.ErrorIs(t, err, kv.Cancelled, "a context that has ended submits nothing")
	require.Equal(t, 1, f.conn.Submits())
}

func TestMisbehavingConnectorIsCountedAndSurvived(t *testing.T) {
	f := newFixture(t, bridge.Options{}, func(c *bridgetest.Connector) {
		c.OnComplete = func(b *kv.Batch, rec *kv.Completion) {
			if b.Len() == 3 {
				b.Status[1] = kv.StatusUnset
				b.Status[2] = 99
				rec.Op = kv.OpSet
			}
		}
	})
	keys := bridgetest.Keys(3)
	_, err := f.Do(background, bridge.Store, keys[:2], bridgetest.Buffers(t, f.Arena(), 2, 8, 1))
	require.NoError(t, err)
	var last kv.Completion
	f.conn.OnDrain = nil
	f.conn.Publish(kv.Completion{Ticket: 1<<63 | 5}, kv.Completion{Ticket: 0})
	sink := newCollector()
	_, err = f.Submit(bridge.Lookup, keys, nil, sink)
	require.NoError(t, err)
	r := sink.next(t)
	require.Equal(t, "100", text(r.Bits))
	require.Equal(t, bridge.Done, r.Outcome)

	last = kv.Completion{Ticket: 1 << 32, Op: kv.OpSet} // slot 0, first generation: completed before
	f.conn.Publish(last, last)
	f.conn.Signal()
	eventually(t, "double completions are counted", func() bool { return f.Stats().Misbehaviour.DoubleCompletions == 2 })
	sink.none(t)
	m := f.Stats().Misbehaviour
	require.Equal(t, bridge.Misbehaviour{UnknownTickets: 2, DoubleCompletions: 2, BadStatus: 2, WrongOps: 1}, m)
	require.Equal(t, "ready", f.Health().State)
}

func TestDrainErrorsBackOffAndEndInDead(t *testing.T) {
	var mu sync.Mutex
	broken, calls := true, 0
	f := newFixture(t, bridge.Options{}, func(c *bridgetest.Connector) {
		c.Hold = true
		c.OnDrain = func() error {
			mu.Lock()
			defer mu.Unlock()
			calls++
			if broken {
				return &kv.Error{Op: "drain", Code: kv.IO, Err: errors.New("the queue is on fire")}
			}
			return nil
		}
	})
	sink := newCollector()
	_, err := f.Submit(bridge.Lookup, bridgetest.Keys(1), nil, sink)
	require.NoError(t, err)
	f.conn.Signal()
	r := sink.next(t)
	require.Equal(t, bridge.Failed, r.Outcome)
	require.Equal(t, "dead", f.Health().State)
	require.Contains(t, f.Health().Reason, "the queue is on fire")
	mu.Lock()
	require.LessOrEqual(t, calls, 20, "a drain that fails is retried with a back-off")
	broken = false
	mu.Unlock()
	_, err = f.Submit(bridge.Lookup, bridgetest.Keys(1), nil, sink)
	if err != nil {
		require.ErrorIs(t, err, kv.Unavailable)
	}
	eventually(t, "it recovers", func() bool { return f.Health().State == "ready" })
	f.conn.SetHold(false)
	f.conn.Release(10)
	_, err = f.Do(background, bridge.Lookup, bridgetest.Keys(1), nil)
	require.NoError(t, err)
}

func TestBusyConnectorIsRetriedInOrder(t *testing.T) {
	f := newFixture(t, bridge.Options{}, func(c *bridgetest.Connector) {
		room := 2
		c.Hold = true
		c.OnSubmit = func(*kv.Batch) error {
			if room == 0 {
				room = 2
				return kv.Busy
			}
			room--
			return nil
		}
	})
	sink := newCollector()
	for i := range 6 {
		_, err := f.Submit(bridge.Store, []kv.Key{bridgetest.Key(i)}, bridgetest.Buffers(t, f.Arena(), 1, 8, 1), sink)
		require.NoError(t, err)
	}
	seen := map[kv.TaskID]bool{}
	for len(seen) < 6 {
		f.conn.Release(1)
		select {
		case r := <-sink.results:
			require.Equal(t, bridge.Done, r.Outcome)
			require.False(t, seen[r.ID], "answered twice")
			seen[r.ID] = true
		case <-time.After(time.Millisecond):
		}
	}
	require.Positive(t, f.Stats().Busy)
}

func TestFullTableIsBusy(t *testing.T) {
	f := newFixture(t, bridge.Options{MaxInFlight: 2}, func(c *bridgetest.Connector) { c.Hold = true })
	sink := newCollector()
	for range 2 {
		_, err := f.Submit(bridge.Lookup, bridgetest.Keys(1), nil, sink)
		require.NoError(t, err)
	}
	_, err := f.Submit(bridge.Lookup, bridgetest.Keys(1), nil, sink)
	require.ErrorIs(t, err, kv.Busy)
	f.conn.Release(2)
	sink.next(t)
	sink.next(t)
	eventually(t, "there is room again", func() bool {
		_, err := f.Submit(bridge.Lookup, bridgetest.Keys(1), nil, sink)
		return err == nil
	})
	f.conn.Release(1)
	sink.next(t)
}

func TestCapacityIsNeverExceeded(t *testing.T) {
	f := newFixture(t, bridge.Options{MaxCapacityBytes: 100})
	keys := bridgetest.Keys(4)
	_, err := f.Do(background, bridge.Store, keys[:2], bridgetest.Buffers(t, f.Arena(), 2, 40, 1))
	require.NoError(t, err)
	_, err = f.Do(background, bridge.Store, keys[2:3], bridgetest.Buffers(t, f.Arena(), 1, 40, 1))
	require.ErrorIs(t, err, kv.NoSpace)
	require.Equal(t, int64(80), f.Usage().BytesUsed)
	_, err = f.Do(background, bridge.Store, keys[:2], bridgetest.Buffers(t, f.Arena(), 2, 40, 2))
	require.NoError(t, err, "what is stored already adds nothing")
	_, err = f.Do(background, bridge.Delete, keys[:1], nil)
	require.NoError(t, err)
	_, err = f.Do(background, bridge.Store, keys[2:3], bridgetest.Buffers(t, f.Arena(), 1, 40, 1))
	require.NoError(t, err)

	f.conn.SetHold(true)
	sink := newCollector()
	_, err = f.Submit(bridge.Store, keys[3:4], bridgetest.Buffers(t, f.Arena(), 1, 20, 1), sink)
	require.NoError(t, err)
	_, err = f.Submit(bridge.Store, keys[:1], bridgetest.Buffers(t, f.Arena(), 1, 20, 1), sink)
	require.ErrorIs(t, err, kv.NoSpace, "room is reserved while a store is in flight")
	f.conn.Release(1)
	sink.next(t)
}

func TestFailedStoreIsCleanedUp(t *testing.T) {
	f := newFixture(t, bridge.Options{}, func(c *bridgetest.Connector) {
		c.OnComplete = func(b *kv.Batch, rec *kv.Completion) {
			if b.Op == kv.OpSet && b.Len() == 2 {
				b.Status[1] = kv.StatusError
				b.Err.Set(kv.IO, 28, "disk on fire; buy a new one")
			}
		}
	})
	keys := bridgetest.Keys(2)
	r, err := f.Do(background, bridge.Store, keys, bridgetest.Buffers(t, f.Arena(), 2, 8, 1))
	require.ErrorIs(t, err, kv.IO)
	require.ErrorContains(t, err, "disk on fire")
	require.ErrorContains(t, err, "vendor code 28")
	require.Equal(t, "10", text(r.Bits))
	eventually(t, "the failed key is deleted", func() bool { return !f.conn.Has(keys[1]) && f.Stats().Hidden == 0 })
	require.True(t, f.conn.Has(keys[0]))
	require.Equal(t, int64(8), f.Usage().BytesUsed)
}

func TestCloseAnswersEveryTaskOnce(t *testing.T) {
	f := newFixture(t, bridge.Options{}, func(c *bridgetest.Connector) { c.Hold = true })
	sink := newCollector()
	for range 5 {
		_, err := f.Submit(bridge.Load, bridgetest.Keys(2), bridgetest.Buffers(t, f.Arena(), 2, 8, 0), sink)
		require.NoError(t, err)
	}
	require.NoError(t, f.Close())
	for range 5 {
		r := sink.next(t)
		require.Equal(t, bridge.Closed, r.Outcome)
		require.ErrorIs(t, r.Err, kv.Closed)
	}
	sink.none(t)
	_, err := f.Submit(bridge.Lookup, bridgetest.Keys(1), nil, sink)
	require.ErrorIs(t, err, kv.Closed)
	require.NoError(t, f.Close(), "a second close does nothing")
	require.Equal(t, "closed", f.Health().State)
}

func TestCloseLetsWorkFinishWithinGrace(t *testing.T) {
	f := newFixture(t, bridge.Options{CloseGrace: time.Minute}, func(c *bridgetest.Connector) { c.Hold = true })
	sink := newCollector()
	_, err := f.Submit(bridge.Store, bridgetest.Keys(1), bridgetest.Buffers(t, f.Arena(), 1, 8, 1), sink)
	require.NoError(t, err)
	closed := make(chan error)
	go func() { closed <- f.Close() }()
	eventually(t, "closing has begun", func() bool {
		_, err := f.Submit(bridge.Lookup, nil, nil, sink)
		return errors.Is(err, kv.Closed)
	})
	f.conn.Release(1)
	require.NoError(t, <-closed)
	require.Equal(t, bridge.Done, sink.next(t).Outcome)
	require.True(t, f.conn.Has(bridgetest.Key(0)))
}

func TestStuckConnectorKeepsItsMemory(t *testing.T) {
	ar, err := arena.New(arena.Options{})
	require.NoError(t, err)
	f := newFixture(t, bridge.Options{Arena: ar}, func(c *bridgetest.Connector) {
		c.Hold = true
		c.CloseErr = kv.Stuck
	})
	block, err := ar.Alloc(64)
	require.NoError(t, err)
	sink := newCollector()
	_, err = f.Submit(bridge.Load, bridgetest.Keys(1), []kv.Buffer{block.Bytes()}, sink)
	require.NoError(t, err)
	require.ErrorIs(t, f.Close(), kv.Stuck)
	require.Equal(t, bridge.Closed, sink.next(t).Outcome)
	block.Release()
	require.Equal(t, 1, block.Lent())
	leaked.Add(1)
	require.ErrorIs(t, ar.Close(), arena.ErrInUse, "the memory of a stuck connector is never unmapped")
}

// TestConcurrentUse is for the race detector: many callers, a connector that
// completes out of order from its own goroutines, deadlines that hit.
func TestConcurrentUse(t *testing.T) {
	f := newFixture(t, bridge.Options{MaxInFlight: 64, Deadlines: bridge.Deadlines{Load: 5 * time.Millisecond, Store: 5 * time.Millisecond, Lookup: 5 * time.Millisecond}},
		func(c *bridgetest.Connector) { c.Hold = true; c.Limits.MaxBatch = 3 })
	f.Listen(&journal{})
	stop := make(chan struct{})
	var pump sync.WaitGroup
	pump.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				f.conn.SetHold(false)
				f.conn.Release(1 << 20)
				return
			default:
			}
			if i%2 == 0 {
				f.conn.ReleaseLast()
			} else {
				f.conn.Release(2)
			}
			time.Sleep(50 * time.Microsecond)
		}
	})
	var callers sync.WaitGroup
	for g := range 8 {
		callers.Go(func() {
			for i := range 300 {
				keys := bridgetest.Keys(g + 1)
				switch i % 4 {
				case 0:
					bufs := make([]kv.Buffer, len(keys))
					for j := range bufs {
						bufs[j] = make([]byte, 8)
					}
					_, _ = f.Do(background, bridge.Store, keys, bufs)
				case 1:
					r, err := f.Do(background, bridge.Lookup, keys, nil)
					if err == nil {
						f.Unlock(kv.Gather(&r.Bits, keys))
					}
				case 2:
					block, err := f.Arena().Alloc(8)
					if err != nil {
						t.Error(err)
						return
					}
					_, _ = f.Do(background, bridge.Load, keys[:1], []kv.Buffer{block.Bytes()})
					block.Release()
				case 3:
					_, _ = f.Do(background, bridge.Delete, keys, nil)
				}
			}
		})
	}
	callers.Wait()
	close(stop)
	pump.Wait()
	eventually(t, "nothing stays in flight", func() bool { return f.InFlight() == 0 })
	s := f.Stats()
	require.Zero(t, s.Quarantined)
	require.Zero(t, s.Misbehaviour)
	for name, c := range s.Classes {
		require.Equal(t, c.Submitted, c.Done+c.Failed+c.Deadline+c.Cancelled+c.Closed+c.Dropped, "every %s was answered once", name)
	}
}

// One key above the connector's limits fails alone; the connector would refuse
// the whole batch for it.
func TestKeysAboveTheLimitsFailAlone(t *testing.T) {
	f := newFixture(t, bridge.Options{}, func(c *bridgetest.Connector) {
		c.Limits = kv.Limits{MaxKeyLen: 64, MaxValueLen: 100, MaxBatch: 2}
		c.OnSubmit = func(b *kv.Batch) error {
			for i := range b.Len() {
				if len(b.Key(i)) > 64 || b.Bufs != nil && len(b.Bufs[i]) > 100 {
					return kv.Invalid
				}
			}
			return nil
		}
	})
	keys := bridgetest.Keys(4)
	keys[1].Salt = "a-salt-that-makes-the-text-of-this-key-longer-than-it-may-be"
	values := []kv.Buffer{make([]byte, 8), make([]byte, 8), make([]byte, 101), make([]byte, 8)}
	r, err := f.Do(background, bridge.Store, keys, values)
	require.ErrorIs(t, err, kv.Invalid)
	require.Equal(t, "1001", text(r.Bits))
	require.Equal(t, int64(16), f.Usage().BytesUsed)
	r, err = f.Do(background, bridge.Lookup, keys, nil)
	require.NoError(t, err)
	require.Equal(t, "1001", text(r.Bits), "the others are found all the same")
	d, err := f.Do(background, bridge.Delete, keys[:3], nil)
	require.Error(t, err)
	require.Equal(t, kv.DeleteResult{Absent: 1, Pinned: 1, Failed: 1}, d.Deleted)
	r, err = f.Do(background, bridge.Lookup, keys[1:2], nil)
	require.NoError(t, err)
	require.Equal(t, "0", text(r.Bits), "no key is left for the connector")
}

func TestMisalignedBuffersAreStaged(t *testing.T) {
	f := newFixture(t, bridge.Options{}, func(c *bridgetest.Connector) { c.Limits = kv.Limits{BufAlign: 512} })
	block := bridgetest.Buffers(t, f.Arena(), 1, 1024, 3)[0]
	keys := bridgetest.Keys(2)
	_, err := f.Do(background, bridge.Store, keys, []kv.Buffer{block[:512], block[100:612]})
	require.NoError(t, err)
	require.Equal(t, int64(512), f.Stats().CopiedBytes)
	clear(block)
	r, err := f.Do(background, bridge.Load, keys[1:], []kv.Buffer{block[1:513]})
	require.NoError(t, err)
	require.Equal(t, "1", text(r.Bits))
	require.Equal(t, []byte{0, 3}, block[:2])
}
