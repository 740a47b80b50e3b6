package l2

import (
	"context"

	"github.com/sixcall/sixcall/bridge"
	"github.com/sixcall/sixcall/bridge/kv"
)

// Adapter is the event-fd face of an L2 adapter: LMCache 0.5.6's
// L2AdapterInterface in Go. Every submit returns a task id at once; the end of a
// task is signalled on the event fd of its kind, and its result is then taken by
// id, once (stores: all at once).
//
// Go programs are better served by [Client].
//
// # Ownership
//
// Keys are copied before a submit returns. Buffers are lent to the adapter until
// the task's result was taken; see [Options.Buffers] for memory that the caller
// reuses earlier.
//
// All methods are safe for concurrent use. None but Close and Delete waits for
// the backend. After Close every submit fails with [kv.Closed].
type Adapter interface {
	// StoreEventFD, LookupAndLockEventFD and LoadEventFD return the descriptors
	// that signal finished tasks of each kind: eventfds, non-blocking, distinct
	// from each other and from those of every other adapter, the same until
	// Close. The host clears them with an 8-byte read, and a result is there
	// before its signal. After Close they are -1.
	StoreEventFD() int
	LookupAndLockEventFD() int
	LoadEventFD() int

	// SubmitStoreTask starts storing objects[i], whole, under keys[i]. Sizes may
	// differ. Errors: [kv.Invalid] (no keys, unequal lengths, an illegal key),
	// [kv.Busy] (too many tasks in flight), [kv.Closed].
	SubmitStoreTask(keys []kv.Key, objects []kv.Buffer) (kv.TaskID, error)
	// PopCompletedStoreTasks returns the results of all finished store tasks that
	// were not popped before; never nil.
	PopCompletedStoreTasks() map[kv.TaskID]kv.StoreResult

	// SubmitLookupAndLockTask starts asking which keys are stored. Each hit is
	// pinned, once per position of the key in keys, until SubmitUnlock; a pinned
	// key is not deleted. layouts is advisory, by object group, and may be nil.
	// Errors as SubmitStoreTask.
	SubmitLookupAndLockTask(keys []kv.Key, layouts map[int64]kv.Layout) (kv.TaskID, error)
	// QueryLookupAndLockResult returns one bit per key, or false while the task
	// runs, when its result was taken before, or when the id is unknown.
	QueryLookupAndLockResult(id kv.TaskID) (kv.Bitmap, bool)
	// SubmitUnlock takes one pin per listed key. Unknown keys are ignored; it
	// cannot fail.
	SubmitUnlock(keys []kv.Key)

	// SubmitLoadTask starts reading the value of keys[i] into bufs[i], whose
	// length is the exact size wanted. Errors as SubmitStoreTask.
	SubmitLoadTask(keys []kv.Key, bufs []kv.Buffer) (kv.TaskID, error)
	// QueryLoadResult is as QueryLookupAndLockResult. The content of a buffer
	// whose bit is 0 is undefined.
	QueryLoadResult(id kv.TaskID) (kv.Bitmap, bool)

	// RegisterListener adds a listener. Listeners run in registration order on a
	// goroutine of their own, in the order in which operations completed.
	RegisterListener(l Listener)
	// SetBackendIdentity names the backend in status and events. An empty name
	// is [kv.Invalid].
	SetBackendIdentity(name string, shared bool) error
	// SupportsGlobalEviction reports whether a capacity is set.
	SupportsGlobalEviction() bool
	// Delete removes keys and waits for the backend until its deadline. Pinned
	// keys are skipped. Without keys, or when the connector cannot delete, it
	// does nothing.
	Delete(ctx context.Context, keys []kv.Key) (kv.DeleteResult, error)
	// ListKeys returns one page of what is stored, for one model or ("") all;
	// see [KeyPage]. [kv.Unsupported] when the connector cannot list.
	ListKeys(ctx context.Context, model string, pageSize int, token string) (KeyPage, error)
	// Usage returns a detached snapshot.
	Usage() kv.Usage
	// Status reports health and counters; it has at least is_healthy and type.
	Status() map[string]any
	// Close answers every task in flight as failed, then ends the connector.
	// Further calls do nothing.
	Close() error
}

// Client is the context face of an L2 adapter: each call waits for its result.
//
// An error says why an operation failed as a whole: [kv.Timeout] (its deadline),
// [kv.Cancelled] (the context, whose error matches too), [kv.Closed], or what the
// connector reported. The bitmap has one bit per key all the same, and its ones
// can be relied on. A key that is absent is not an error.
//
// Buffers from the adapter's arena move without a copy. After an error that
// matches [kv.Timeout] or [kv.Cancelled] such a buffer may still be lent: see
// package arena. Other memory is copied and free at return.
//
// Safe for concurrent use.
type Client interface {
	// Store stores values[i] under keys[i]. The error is nil exactly when every
	// key was stored; keys that were stored beside a failed one stay stored.
	Store(ctx context.Context, keys []kv.Key, values []kv.Buffer) (kv.StoreResult, error)
	// Lookup returns one bit per key and pins each hit until Unlock.
	Lookup(ctx context.Context, keys []kv.Key) (kv.Bitmap, error)
	// Unlock takes one pin per listed key.
	Unlock(keys []kv.Key)
	// Load reads the value of keys[i] into bufs[i] and returns one bit per key.
	Load(ctx context.Context, keys []kv.Key, bufs []kv.Buffer) (kv.Bitmap, error)
	// Delete removes keys; see [Adapter.Delete].
	Delete(ctx context.Context, keys []kv.Key) (kv.DeleteResult, error)
}

// Listener learns what an adapter stores, loads and deletes.
type Listener = bridge.Listener

// KeyPage is one page of a listing.
type KeyPage struct {
	Entries []KeyEntry
	// NextPageToken continues the listing; "" at the end.
	NextPageToken string
}

// KeyEntry is one stored key.
type KeyEntry struct {
	Key       kv.Key
	SizeBytes int64 // -1 = unknown
}
