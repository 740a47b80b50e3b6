package main

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/bridge/eventfd"
	"github.com/sixcall/sixcall/bridge/kv"
)

// contextFace runs one goroutine per task in flight.
func (c *childSettings) contextFace(lanes []*lane, d time.Duration, all *histogram) error {
	ctx := context.Background()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var first error
	end := time.Now().Add(d)
	for i, l := range lanes {
		wg.Go(func() {
			for start := time.Now(); start.Before(end); {
				err := c.one(ctx, l)
				now := time.Now()
				all.add(i, now.Sub(start))
				start = now
				if err != nil {
					mu.Lock()
					first = err
					mu.Unlock()
					return
				}
			}
		})
	}
	wg.Wait()
	return first
}

// one runs one task.
func (c *childSettings) one(ctx context.Context, l *lane) (err error) {
	keys := l.batch()
	n := len(keys)
	switch c.op {
	case "lookup":
		var bits kv.Bitmap
		bits, err = l.adapter.Lookup(ctx, keys)
		n = bits.Count()
		l.adapter.Unlock(keys)
	case "load":
		var bits kv.Bitmap
		bits, err = l.adapter.Load(ctx, keys, l.bufs)
		n = bits.Count()
	case "store":
		_, err = l.adapter.Store(ctx, keys, l.bufs)
	}
	if err == nil && n != len(keys) {
		err = fmt.Errorf("%d of %d keys", n, len(keys))
	}
	return err
}

// flight is a task of the event-fd face without a result.
type flight struct {
	id    kv.TaskID
	lane  *lane
	keys  []kv.Key
	start time.Time
}

// eventFace keeps depth tasks in flight from one goroutine, as a host that polls
// the adapter's event fd does: after each signal it asks for the result of every
// task that it waits for.
func (c *childSettings) eventFace(lanes []*lane, d time.Duration, latencies *histogram) error {
	a := lanes[0].adapter
	if c.adapters > 1 {
		return fmt.Errorf("the event-fd face is measured over one adapter, not %d", c.adapters)
	}
	fd := map[string]int{"lookup": a.LookupAndLockEventFD(), "load": a.LoadEventFD(), "store": a.StoreEventFD()}[c.op]
	poller, err := eventfd.NewPoller(fd)
	if err != nil {
		return err
	}
	defer poller.Close()
	pending := make([]flight, 0, len(lanes))
	submit := func(l *lane, now time.Time) (f flight, err error) {
		f = flight{lane: l, keys: l.batch(), start: now}
		switch c.op {
		case "lookup":
			f.id, err = a.SubmitLookupAndLockTask(f.keys, nil)
		case "load":
			f.id, err = a.SubmitLoadTask(f.keys, l.bufs)
		case "store":
			f.id, err = a.SubmitStoreTask(f.keys, l.bufs)
		}
		return f, err
	}
	now := time.Now()
	end := now.Add(d)
	for _, l := range lanes {
		f, err := submit(l, now)
		if err != nil {
			return err
		}
		pending = append(pending, f)
	}
	var failed error
	err = poller.Run(func() bool {
		var count [8]byte
		_, _ = syscall.Read(fd, count[:])
		var stores map[kv.TaskID]kv.StoreResult
		if c.op == "store" {
			stores = a.PopCompletedStoreTasks()
		}
		now = time.Now()
		for i := 0; i < len(pending) && failed == nil; i++ {
			f := &pending[i]
			done, err := c.taken(a, f, stores)
			if failed = err; !done {
				continue
			}
			latencies.add(0, now.Sub(f.start))
			if failed == nil && now.Before(end) {
				now = time.Now()
				*f, failed = submit(f.lane, now)
				continue
			}
			pending[i] = pending[len(pending)-1]
			pending = pending[:len(pending)-1]
			i--
		}
		return failed != nil || len(pending) == 0
	})
	if failed != nil {
		err = failed
	}
	return err
}

// taken takes the result of a task if it is there.
func (c *childSettings) taken(a *l2.NativeAdapter, f *flight, stores map[kv.TaskID]kv.StoreResult) (done bool, err error) {
	if c.op == "store" {
		r, ok := stores[f.id]
		if ok && !r.OK {
			err = fmt.Errorf("a store failed")
		}
		return ok, err
	}
	query := a.QueryLookupAndLockResult
	if c.op == "load" {
		query = a.QueryLoadResult
	}
	bits, ok := query(f.id)
	if !ok {
		return false, nil
	}
	if c.op == "lookup" {
		a.SubmitUnlock(f.keys)
	}
	if bits.Count() != len(f.keys) {
		err = fmt.Errorf("%d of %d keys", bits.Count(), len(f.keys))
	}
	return true, err
}
