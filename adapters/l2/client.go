package l2

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sixcall/sixcall/bridge/kv"
)

// WaitingClient is the context face of any [Adapter], through its event fds: it
// stands where the host's controllers would, reads the descriptors, and hands
// each result to the call that waits for it. The results of the adapter are its
// own: nobody else submits beside it.
//
// A result that the adapter never signals is never picked up, as with a host:
// give such calls a context with a deadline.
//
// # Early returns
//
// When its context ends, a call returns at once with an error that matches the
// context's and [kv.Cancelled] or [kv.Timeout]. The adapter knows nothing of it
// and goes on: the buffers stay lent until it has answered, which only
// [WaitingClient.InFlight] tells. The pins of a late lookup are given back.
//
// The event-fd face has no reasons: an error says that an operation failed, not
// why. Safe for concurrent use.
type WaitingClient struct {
	adapter Adapter

	stores  *inbox[kv.StoreResult]
	lookups *inbox[kv.Bitmap]
	loads   *inbox[kv.Bitmap]
}

var _ Client = (*WaitingClient)(nil)

// NewClient returns a client of a, which stays the caller's to close, after the
// client. It fails when the event fds of a cannot be waited for, such as those
// of a closed adapter.
func NewClient(a Adapter) (*WaitingClient, error) {
	c := &WaitingClient{adapter: a}
	var err error
	c.stores, err = newInbox(a.StoreEventFD(), func([]kv.TaskID) map[kv.TaskID]kv.StoreResult { return a.PopCompletedStoreTasks() })
	if err == nil {
		c.lookups, err = newInbox(a.LookupAndLockEventFD(), one(a.QueryLookupAndLockResult))
	}
	if err == nil {
		c.loads, err = newInbox(a.LoadEventFD(), one(a.QueryLoadResult))
	}
	if err != nil {
		c.Close()
		return nil, &kv.Error{Op: "create", Code: kv.Invalid, Err: err}
	}
	return c, nil
}

// one makes a query for many tasks of a query for one.
func one[R any](query func(kv.TaskID) (R, bool)) func([]kv.TaskID) map[kv.TaskID]R {
	return func(ids []kv.TaskID) map[kv.TaskID]R {
		done := map[kv.TaskID]R{}
		for _, id := range ids {
			if r, ok := query(id); ok {
				done[id] = r
			}
		}
		return done
	}
}

// Store implements [Client].
func (c *WaitingClient) Store(ctx context.Context, keys []kv.Key, values []kv.Buffer) (kv.StoreResult, error) {
	r, err := c.stores.do(ctx, func() (kv.TaskID, error) { return c.adapter.SubmitStoreTask(keys, values) }, nil)
	if err != nil {
		return kv.StoreResult{}, failed("store", err)
	}
	if !r.OK {
		return r, &kv.Error{Op: "store", Code: kv.IO, Err: errors.New("the adapter did not store every key")}
	}
	return r, nil
}

// Lookup implements [Client].
func (c *WaitingClient) Lookup(ctx context.Context, keys []kv.Key) (kv.Bitmap, error) {
	keys = slices.Clone(keys) // they may be unlocked after the return
	unlock := func(bits kv.Bitmap) { c.adapter.SubmitUnlock(kv.Gather(&bits, keys)) }
	bits, err := c.lookups.do(ctx, func() (kv.TaskID, error) { return c.adapter.SubmitLookupAndLockTask(keys, nil) }, unlock)
	return checked("lookup", keys, bits, err, unlock)
}

// Unlock implements [Client].
func (c *WaitingClient) Unlock(keys []kv.Key) { c.adapter.SubmitUnlock(keys) }

// Load implements [Client].
func (c *WaitingClient) Load(ctx context.Context, keys []kv.Key, bufs []kv.Buffer) (kv.Bitmap, error) {
	bits, err := c.loads.do(ctx, func() (kv.TaskID, error) { return c.adapter.SubmitLoadTask(keys, bufs) }, nil)
	return checked("load", keys, bits, err, nil)
}

// Delete implements [Client].
func (c *WaitingClient) Delete(ctx context.Context, keys []kv.Key) (kv.DeleteResult, error) {
	return c.adapter.Delete(ctx, keys)
}

// InFlight returns how many tasks have no result yet, those whose call returned
// early included. At 0 no buffer is lent.
func (c *WaitingClient) InFlight() int {
	return c.stores.inFlight() + c.lookups.inFlight() + c.loads.inFlight()
}

// Close ends the goroutines of the client. Calls that wait, and later ones, fail
// with [kv.Closed]; their buffers stay lent to the adapter, and pins stay with
// it. Further calls do nothing.
func (c *WaitingClient) Close() {
	c.stores.close()
	c.lookups.close()
	c.loads.close()
}

// checked gives a bitmap the length that its caller relies on.
func checked(op string, keys []kv.Key, bits kv.Bitmap, err error, undo func(kv.Bitmap)) (kv.Bitmap, error) {
	if err != nil {
		return kv.NewBitmap(len(keys)), failed(op, err)
	}
	if bits.Len() == len(keys) {
		return bits, nil
	}
	if undo != nil {
		undo(bits)
	}
	return kv.NewBitmap(len(keys)), &kv.Error{Op: op, Code: kv.Internal,
		Err: fmt.Errorf("the adapter answered %d keys with %d bits", len(keys), bits.Len())}
}

// failed makes an error of this package of err, unless it is one.
func failed(op string, err error) error {
	var known *kv.Error
	switch {
	case errors.As(err, &known):
		return err
	case errors.Is(err, context.DeadlineExceeded):
		return &kv.Error{Op: op, Code: kv.Timeout, Err: err}
	case errors.Is(err, context.Canceled):
		return &kv.Error{Op: op, Code: kv.Cancelled, Err: err}
	}
	return &kv.Error{Op: op, Code: kv.Internal, Err: err}
}
