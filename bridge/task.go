package bridge

import (
	"fmt"
	"sync/atomic"

	"github.com/sixcall/sixcall/bridge/kv"
)

// Kind is the class of a task. Each class has its deadline and counters.
type Kind uint8

// The classes of tasks, in the host's words.
const (
	Lookup Kind = iota
	Load
	Store
	Delete
	kinds // how many there are
)

var kindNames = [kinds]string{"lookup", "load", "store", "delete"}

// String returns the class in lower case.
func (k Kind) String() string { return kindNames[k] }

// op is the connector's word for the class.
func (k Kind) op() kv.Op {
	return [kinds]kv.Op{kv.OpExists, kv.OpGet, kv.OpSet, kv.OpDelete}[k]
}

// Outcome says how a task ended.
type Outcome uint8

// The outcomes. Every accepted task has exactly one.
const (
	Done      Outcome = iota // the connector ran it; single keys may have missed
	Failed                   // the connector failed it, or a key of a store
	Deadline                 // no answer in time; counts as a miss
	Cancelled                // the caller's context ended
	Closed                   // the bridge was closed first
	Dropped                  // the breaker was open, or no worker runs; the connector was not asked
	outcomes                 // how many there are
)

// String returns the outcome in lower case.
func (o Outcome) String() string {
	return [...]string{"done", "failed", "deadline", "cancelled", "closed", "dropped"}[o]
}

// Result is the end of one task.
type Result struct {
	ID      kv.TaskID
	Kind    Kind
	Outcome Outcome
	// Bits has one bit per key: present (Lookup), filled (Load), stored (Store);
	// all zero for Delete, which has Deleted.
	Bits kv.Bitmap
	// Lengths has, with [Options.Lengths], for a Lookup the size in bytes of each key
	// that is present, for a Load that of each key whose value has another size than
	// its buffer; -1 where it is unknown.
	Lengths []int64
	// Bytes is what a store added to the usage.
	Bytes int64
	// Deleted counts keys of a Delete.
	Deleted kv.DeleteResult
	// Err is the first error, nil if Outcome is Done.
	Err error
	// AllFailed is why the connector could answer for no key of a Load or Lookup that
	// is Done: its keys are misses, but nobody knows.
	AllFailed error
}

// Sink receives the result of a task.
type Sink interface {
	// Done is called exactly once per accepted task, possibly before the submit
	// call has returned, on a goroutine of the bridge or of a submitter. r is
	// valid during the call only. Done must not block and must not close the
	// bridge.
	Done(r *Result)
}

// Flusher is a [Sink] that wants to know when it has had all results that came at
// one time, such as one that signals a descriptor: one signal then stands for many
// results. Flush is called after every Done, and once or more often for several
// calls of it; it must not block either.
type Flusher interface {
	Sink
	Flush()
}

// task states. A task is answered by whoever moves it away from running.
const (
	running uint32 = iota
	answered
)

// task is one operation of a caller, sent to the connector as one or more
// slots. Tasks are pooled: refs says when nobody looks at one any more.
type task struct {
	res   Result
	sink  Sink
	state atomic.Uint32
	// deadline is when the sweeper answers it, in ns of the bridge's clock; 0 =
	// never. Set when all slots were submitted.
	deadline atomic.Int64
	// refs counts the connector side (one until the last slot completed) and
	// each goroutine that holds the task beside it.
	refs  atomic.Int32
	parts atomic.Int32 // slots that have not completed
	// launched is set when the slots go to the connector; before, only the submit
	// answers the task.
	launched atomic.Bool

	slots []*slot
	keys  []kv.Key // a copy: the caller may change its own
	// reserved is what a store holds of the capacity, bytes.
	reserved int64
	// unsafe marks memory of the host that a connector writes or reads directly:
	// no early answer is possible.
	unsafe   bool
	internal bool   // a delete of the bridge itself: no sink
	trial    bool   // the task that an open breaker let through
	pinned   int    // keys that a delete skipped
	held     []hash // keys of a delete, hidden while it runs
	started  int64
	// What settling saw, for the breaker: keys, those that the backend failed, and
	// whether it failed a whole batch.
	judged, hard int
	sick         bool
}

// claim makes the caller the one who answers.
func (t *task) claim() bool { return t.state.CompareAndSwap(running, answered) }

// fail records the first error of the task. The Outcome is the caller's to set.
func (t *task) fail(name string, code kv.Code, vendorCode int32, text string) {
	if t.res.Err != nil {
		return
	}
	e := &kv.Error{Op: t.res.Kind.String(), Connector: name, Code: code, VendorCode: vendorCode}
	if text != "" {
		e.Err = fmt.Errorf("%s", text)
	}
	t.res.Err = e
}

// reset prepares a pooled task for its next life.
func (t *task) reset() {
	clear(t.slots)
	clear(t.keys)
	t.held = t.held[:0]
	t.slots, t.keys = t.slots[:0], t.keys[:0]
	t.res, t.sink = Result{}, nil
	t.reserved, t.pinned, t.started = 0, 0, 0
	t.judged, t.hard, t.sick = 0, 0, false
	t.unsafe, t.internal, t.trial = false, false, false
	t.deadline.Store(0)
	t.launched.Store(false)
	t.state.Store(running)
}
