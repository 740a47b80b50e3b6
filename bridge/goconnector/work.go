package goconnector

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	"github.com/sixcall/sixcall/bridge/kv"
)

// job is one batch in flight.
type job struct {
	batch     *kv.Batch
	ctx       context.Context
	cancel    context.CancelFunc
	next      int          // key that the next worker takes; guarded by the lane
	remaining atomic.Int64 // keys that are not finished

	mu sync.Mutex // guards batch.Err and rc
	rc kv.Code
}

// lane is a queue of jobs whose keys its workers take one by one, so that a
// large batch is spread over all of them.
type lane struct {
	mu     sync.Mutex
	more   sync.Cond
	jobs   []*job
	closed bool
}

func (l *lane) init() { l.more.L = &l.mu }

func (l *lane) push(j *job) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.jobs = append(l.jobs, j)
	if j.batch.Len() > 1 {
		l.more.Broadcast()
	} else {
		l.more.Signal()
	}
}

// take waits for a key to work on.
func (l *lane) take() (j *job, i int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.jobs) == 0 {
		if l.closed {
			return nil, 0, false
		}
		l.more.Wait()
	}
	j = l.jobs[0]
	i = j.next
	if j.next++; j.next >= j.batch.Len() {
		l.jobs[0] = nil
		l.jobs = l.jobs[1:]
	}
	return j, i, true
}

func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.more.Broadcast()
}

// work handles keys until the lane is closed and empty.
func (c *Connector) work(l *lane) {
	for {
		j, i, ok := l.take()
		if !ok {
			return
		}
		if j.batch.Op == kv.OpPing {
			c.ping(j)
		} else {
			c.one(j, i)
		}
		if j.remaining.Add(-1) == 0 {
			c.complete(j)
		}
	}
}

func (c *Connector) ping(j *job) {
	if err := guarded(func() error { return c.backend.(Pinger).Ping(j.ctx) }); err != nil {
		j.note(err)
		j.rc = codeOf(err)
	}
}

// one handles key i of j.
func (c *Connector) one(j *job, i int) {
	b, found, size := j.batch, false, int64(-1)
	err := j.ctx.Err()
	if err == nil {
		key := string(b.Key(i))
		err = guarded(func() (err error) {
			switch b.Op {
			case kv.OpGet:
				found, err = c.backend.Get(j.ctx, key, b.Bufs[i])
				if err == nil && found {
					size = int64(len(b.Bufs[i]))
				}
			case kv.OpSet:
				err = c.backend.Set(j.ctx, key, b.Bufs[i])
				found = err == nil
			case kv.OpExists:
				found, size, err = c.backend.Exists(j.ctx, key)
			case kv.OpDelete:
				found, err = c.backend.(Deleter).Delete(j.ctx, key)
			}
			return err
		})
	}
	status := statusOf(found, err)
	if status == kv.StatusSize {
		size = storedSize(err)
	}
	if b.ValueLens != nil && (b.Op == kv.OpGet || b.Op == kv.OpExists) {
		b.ValueLens[i] = math.MaxUint64
		if size >= 0 {
			b.ValueLens[i] = uint64(size)
		}
	}
	b.Status[i] = status
	if err != nil && status != kv.StatusSize {
		j.note(err)
	}
}

// note keeps the first error of the batch.
func (j *job) note(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.batch.Err.Set(codeOf(err), 0, err.Error())
}

// guarded turns a panic of the backend into an error.
func guarded(call func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &kv.Error{Op: "call", Code: kv.Internal, Err: fmt.Errorf("the backend panicked: %v", p)}
		}
	}()
	return call()
}

// storedSize returns the size that a [SizeError] names, -1 = unknown.
func storedSize(err error) int64 {
	var size *SizeError
	if errors.As(err, &size) {
		return size.Stored
	}
	return -1
}
