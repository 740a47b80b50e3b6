package l2

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/sixcall/sixcall/bridge/kv"
)

// inbox reads one event fd of an adapter and hands the results of that kind to
// the calls that wait for them. Safe for concurrent use.
type inbox[R any] struct {
	event *os.File // a duplicate of the event fd, on the network poller
	// take asks the adapter for results: of the listed tasks, or of all.
	take   func(ids []kv.TaskID) map[kv.TaskID]R
	reader sync.WaitGroup

	mu      sync.Mutex // guards what follows
	waiting map[kv.TaskID]*waiter[R]
	signals uint64 // how often the event fd was read
	// A result can be taken before its submit call has returned the id. It waits
	// in early while calls are submitting.
	submitting int
	early      map[kv.TaskID]R
	ended      error // why no more results come
}

// waiter is one task without a result.
type waiter[R any] struct {
	ready chan R // buffered: handing over does not block; closed when none comes
	// late is called with the result when nobody waits any more.
	late func(R)
	gone bool // the call has returned, or is told to
}

// giveUp ends the call without a result.
func (w *waiter[R]) giveUp() {
	w.gone = true
	close(w.ready)
}

func newInbox[R any](fd int, take func([]kv.TaskID) map[kv.TaskID]R) (*inbox[R], error) {
	event, err := openEvent(fd)
	if err != nil {
		return nil, err
	}
	b := &inbox[R]{event: event, take: take, waiting: map[kv.TaskID]*waiter[R]{}, early: map[kv.TaskID]R{}}
	b.reader.Go(b.run)
	return b, nil
}

// openEvent returns a duplicate of an event fd that can be read without a
// thread. Reading it clears the original, as the host does.
func openEvent(fd int) (*os.File, error) {
	if fd < 0 {
		return nil, fmt.Errorf("event fd is %d; the adapter is closed", fd)
	}
	file, err := duplicate(fd)
	if err != nil {
		return nil, fmt.Errorf("event fd %d: %w", fd, err)
	}
	// Deadlines are possible exactly on what the poller accepted.
	if err := file.SetReadDeadline(time.Time{}); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("event fd %d cannot be polled; want an eventfd or a pipe", fd)
	}
	return file, nil
}

// run takes results each time the event fd was signalled, and only then.
func (b *inbox[R]) run() {
	for {
		var count [8]byte
		if _, err := b.event.Read(count[:]); err != nil {
			b.end(err)
			return
		}
		b.mu.Lock()
		b.signals++
		ids := slices.Collect(maps.Keys(b.waiting))
		b.mu.Unlock()
		b.collect(ids)
	}
}

// collect takes the results that are there and hands them over.
func (b *inbox[R]) collect(ids []kv.TaskID) {
	for id, r := range b.take(ids) {
		if late := b.deliver(id, r); late != nil {
			late(r)
		}
	}
}

// deliver hands a result to the call that waits for it. It returns what is to be
// done with the result if that call is gone.
func (b *inbox[R]) deliver(id kv.TaskID, r R) (late func(R)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w, ok := b.waiting[id]
	switch {
	case !ok && b.submitting > 0:
		b.early[id] = r
	case !ok: // not a task of ours
	case w.gone:
		delete(b.waiting, id)
		return w.late
	default:
		delete(b.waiting, id)
		w.ready <- r
	}
	return nil
}

// do submits a task and waits for its result. late, if not nil, is called with a
// result that comes after ctx ended.
func (b *inbox[R]) do(ctx context.Context, submit func() (kv.TaskID, error), late func(R)) (r R, err error) {
	if err := ctx.Err(); err != nil {
		return r, err
	}
	b.mu.Lock()
	if b.ended != nil {
		b.mu.Unlock()
		return r, b.ended
	}
	signals := b.signals
	b.submitting++
	b.mu.Unlock()

	id, err := submit()
	w := &waiter[R]{ready: make(chan R, 1), late: late}
	missed := b.await(id, w, err, signals)
	if err != nil {
		return r, err
	}
	if missed {
		b.collect([]kv.TaskID{id})
	}
	select {
	case r, ok := <-w.ready:
		return r, b.unless(ok)
	case <-ctx.Done():
	}
	b.mu.Lock()
	w.gone = true
	b.mu.Unlock()
	select {
	case r, ok := <-w.ready: // it came at the same moment
		return r, b.unless(ok)
	default:
		return r, ctx.Err()
	}
}

// await lets w wait for the task that was submitted, if it was. It reports
// whether a signal was read since then, which may have been that of this task.
func (b *inbox[R]) await(id kv.TaskID, w *waiter[R], submitErr error, signals uint64) (missed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.submitting--
	if submitErr == nil {
		r, early := b.early[id]
		if early {
			delete(b.early, id)
			w.ready <- r
		} else {
			b.waiting[id] = w
			missed = b.signals != signals
			if b.ended != nil {
				w.giveUp()
			}
		}
	}
	if b.submitting == 0 {
		clear(b.early) // results of tasks that are not ours
	}
	return missed
}

// unless returns why there is no result.
func (b *inbox[R]) unless(ok bool) error {
	if ok {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ended
}

// end tells all waiters that no more results come.
func (b *inbox[R]) end(cause error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = fmt.Errorf("read the event fd: %w", cause)
	if errors.Is(cause, os.ErrClosed) {
		b.ended = &kv.Error{Op: "wait", Code: kv.Closed}
	}
	for _, w := range b.waiting {
		if !w.gone {
			w.giveUp()
		}
	}
}

func (b *inbox[R]) inFlight() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.waiting)
}

func (b *inbox[R]) close() {
	if b == nil {
		return
	}
	_ = b.event.Close()
	b.reader.Wait()
}
