package kv

import (
	"context"
	"time"
)

// Caps is a set of capabilities. The bits are those of the C ABI.
type Caps uint64

// The capabilities.
const (
	CapDelete         Caps = 1 << 0
	CapLimits         Caps = 1 << 1
	CapPing           Caps = 1 << 2
	CapCancel         Caps = 1 << 3
	CapRegisterMemory Caps = 1 << 4
	CapUsage          Caps = 1 << 5
	CapList           Caps = 1 << 6
	CapStatsText      Caps = 1 << 7
	CapExtensions     Caps = 1 << 8
	CapReadYourWrites Caps = 1 << 16
	CapDeadline       Caps = 1 << 17
	CapPersistent     Caps = 1 << 18
	CapValueLens      Caps = 1 << 19
)

var capNames = []struct {
	cap  Caps
	name string
}{
	{CapDelete, "delete"}, {CapLimits, "limits"}, {CapPing, "ping"}, {CapCancel, "cancel"},
	{CapRegisterMemory, "register_memory"}, {CapUsage, "usage"}, {CapList, "list"},
	{CapStatsText, "stats_text"}, {CapExtensions, "extensions"},
	{CapReadYourWrites, "read_your_writes"}, {CapDeadline, "deadline"},
	{CapPersistent, "persistent"}, {CapValueLens, "value_lens"},
}

// Has reports whether all of want are set.
func (c Caps) Has(want Caps) bool { return c&want == want }

// Names returns the names of the known bits that are set, in bit order.
func (c Caps) Names() []string {
	names := []string{}
	for _, n := range capNames {
		if c.Has(n.cap) {
			names = append(names, n.name)
		}
	}
	return names
}

// Limits is what a connector accepts. Zero means no limit (BufAlign: 1).
type Limits struct {
	MaxBatch    int   // keys in a batch
	MaxKeyLen   int   // bytes
	BufAlign    int   // required alignment of buffers, bytes, a power of two
	MaxValueLen int64 // bytes
	BestBatch   int   // keys per batch at which the connector is fastest
	MaxInFlight int   // batches before Submit reports Busy
}

// Info describes a connector. It does not change while the connector is open.
type Info struct {
	Name    string
	Version string
	Vendor  string
	Caps    Caps
	Limits  Limits
}

// Connector is one open connection to a storage backend.
//
// The contract is that of the C ABI (native/include/sixcall/connector.h) in Go
// words. Submit may be called from any goroutine, at the same time as itself
// and Drain; Drain has one caller at a time; Close is called once, when no other
// call is running.
//
// What a connector can do beyond the six calls it offers through the optional
// interfaces [Registrar], [Canceler], [Lister] and [UsageReporter], and through
// OpDelete and OpPing when Info().Caps says so.
type Connector interface {
	// Info describes the connector. Constant, does not block.
	Info() Info

	// EventFD returns the descriptor that is readable while at least one
	// completion is undrained. It stays the same until Close, is non-blocking,
	// belongs to the connector and is only polled.
	EventFD() int

	// Submit starts b.Op on the keys of b and returns at once.
	//
	// nil means accepted: exactly one [Completion] with b.Ticket follows, or
	// Close returns nil first. An error means refused: nothing is read or
	// written later and no completion comes. Errors: [Invalid], [Busy] (submit
	// again after a completion), [Unsupported], [Closed].
	Submit(b *Batch) error

	// Drain takes up to len(dst) completions and returns how many it wrote. A
	// full dst means more may wait; the event fd then stays readable. It does
	// not block.
	Drain(dst []Completion) (int, error)

	// Close ends the connection. nil: nothing lent is touched again. An error
	// that matches [Stuck]: something could not be stopped within grace, and all
	// lent memory must be kept for ever.
	Close(grace time.Duration) error
}

// Memory is a range that batches will use for values.
type Memory struct {
	Bytes  []byte
	FD     int   // a shared mapping of this descriptor, or -1
	Offset int64 // of Bytes in FD, bytes
}

// Registrar is implemented by connectors that prepare memory for transfers.
type Registrar interface {
	// Register prepares m and returns the handle for Batch.MemHandle. The memory
	// stays mapped until Unregister. May block.
	Register(m Memory) (handle uint64, err error)
	// Unregister fails with an error that matches [Stuck] while batches with
	// the handle are in flight.
	Unregister(handle uint64) error
}

// Canceler is implemented by connectors that can end a batch early. The ticket
// still completes exactly once.
type Canceler interface {
	Cancel(ticket uint64) error
}

// UsageReporter is implemented by connectors that know their fill level.
type UsageReporter interface {
	// Usage returns cached figures; a negative number is unknown. Does not block.
	Usage() (bytesUsed, bytesCapacity, keys int64, err error)
}

// KeyEntry is one stored key of a listing.
type KeyEntry struct {
	Key  string // text form
	Size int64  // bytes, -1 = unknown
}

// Lister is implemented by connectors that can enumerate what they hold.
type Lister interface {
	// List returns one page after cursor (nil = from the start) and the cursor
	// of the next page, nil at the end. Every key that is stored during the
	// whole listing appears at least once. Blocks until the page is there.
	List(ctx context.Context, cursor []byte) (page []KeyEntry, next []byte, err error)
}
