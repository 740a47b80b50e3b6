package tier

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sixcall/sixcall/bridge/kv"
)

// fail is an error of the tier itself.
func fail(op string, code kv.Code, format string, args ...any) error {
	return &kv.Error{Op: op, Connector: "tier", Code: code, Err: fmt.Errorf(format, args...)}
}

// errorf is an error that one member is to blame for.
func (m *member) errorf(op string, code kv.Code, format string, args ...any) error {
	return &kv.Error{Op: op, Connector: m.name, Code: code, Err: fmt.Errorf(format, args...)}
}

func (m *member) wrongLength(op string, bits, keys int) error {
	return m.errorf(op, kv.Internal, "the result has %d bits for %d keys", bits, keys)
}

// silent is the error for a call that was left: its deadline is over, or ctx,
// that of the request, has ended.
func (m *member) silent(ctx context.Context, op string, limit time.Duration) error {
	if err := ctx.Err(); err != nil {
		return &kv.Error{Op: op, Connector: m.name, Code: codeOf(ctx), Err: err}
	}
	return m.errorf(op, kv.Timeout, "no answer within %v", limit)
}

// ended is the error of a request whose context has ended.
func ended(ctx context.Context, op string) error {
	e := &kv.Error{Op: op, Connector: "tier", Code: codeOf(ctx)}
	if e.Code != kv.Closed {
		e.Err = ctx.Err()
	}
	return e
}

// over is the error of a request whose context has ended, or that the tier has
// stopped serving, which its context may be a moment late to show. nil if neither.
func over(run, life context.Context, op string) error {
	switch {
	case run.Err() != nil:
		return ended(run, op)
	case life.Err() != nil:
		return &kv.Error{Op: op, Connector: "tier", Code: kv.Closed}
	}
	return nil
}

// codeOf says why the context of a request has ended; see [Tier.scope].
func codeOf(ctx context.Context) kv.Code {
	switch {
	case context.Cause(ctx) == errClosing:
		return kv.Closed
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return kv.Timeout
	}
	return kv.Cancelled
}

// errClosing is the cause of contexts that end because the tier closes.
var errClosing = errors.New("the tier is closing")

// scope returns a context that ends with parent or with life, whichever is first.
func scope(parent, life context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	unhook := context.AfterFunc(life, func() { cancel(errClosing) })
	return ctx, func() {
		unhook()
		cancel(nil)
	}
}

// within returns ctx with a deadline, 0 = none.
func within(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	if limit == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, limit)
}
