package bridge

import (
	"context"
	"errors"

	"github.com/sixcall/sixcall/bridge/kv"
)

// waiter is the sink of one caller that waits.
type waiter struct {
	ready chan struct{} // buffered: Done does not block
	res   Result
}

// Done implements [Sink].
func (w *waiter) Done(r *Result) {
	w.res = *r
	w.ready <- struct{}{}
}

// Do submits a task and waits for its result. The error is that of [Bridge.Submit],
// or the result's Err.
//
// When ctx ends first, Do returns at once with an error that matches both the
// context's error and [kv.Cancelled] or [kv.Timeout]; arena memory then stays
// lent in quarantine. Only with [BuffersDirect] and memory of the caller's own
// Do waits on, because nothing else is safe.
func (b *Bridge) Do(ctx context.Context, kind Kind, keys []kv.Key, bufs []kv.Buffer) (Result, error) {
	if err := ctx.Err(); err != nil {
		return Result{Kind: kind, Outcome: Cancelled, Bits: kv.NewBitmap(len(keys))}, b.contextError(kind, err)
	}
	w := b.waiters.Get().(*waiter)
	t, err := b.submit(kind, keys, bufs, w)
	if err != nil {
		b.waiters.Put(w)
		return Result{Kind: kind, Outcome: Failed, Bits: kv.NewBitmap(len(keys))}, err
	}
	defer b.release(t)
	if end := ctx.Done(); b.spin(kind, w) || end == nil {
		<-w.ready
	} else {
		select {
		case <-w.ready:
		case <-end:
			if r, ok := b.abandon(t, ctx.Err()); ok {
				// Done will not be called: the waiter is free.
				b.waiters.Put(w)
				return r, r.Err
			}
			<-w.ready
		}
	}
	r := w.res
	w.res = Result{}
	b.waiters.Put(w)
	return r, r.Err
}

// abandon answers a running task as cancelled; false if its answer is on the way
// or its memory cannot be left to the connector.
func (b *Bridge) abandon(t *task, cause error) (Result, bool) {
	b.slotMu.Lock()
	ok := !t.unsafe && b.claimEarly(t)
	b.slotMu.Unlock()
	if !ok {
		return Result{}, false
	}
	r := b.answerEarly(t, Cancelled, cause)
	r.Err = b.contextError(r.Kind, cause)
	b.release(t)
	return r, true
}

func (b *Bridge) contextError(kind Kind, cause error) error {
	code := kv.Cancelled
	if errors.Is(cause, context.DeadlineExceeded) {
		code = kv.Timeout
	}
	return &kv.Error{Op: kind.String(), Connector: b.opts.Name, Code: code, Err: cause}
}
