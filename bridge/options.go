package bridge

import (
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/sixcall/sixcall/bridge/arena"
)

// Deadlines is how long tasks of each class may take. 0 means the default,
// negative means no deadline.
type Deadlines struct {
	Lookup time.Duration // default 5s
	Load   time.Duration // default 30s
	Store  time.Duration // default 60s
	Delete time.Duration // default 30s
}

func (d Deadlines) withDefaults() Deadlines {
	pick := func(v, def time.Duration) time.Duration {
		switch {
		case v == 0:
			return def
		case v < 0:
			return 0
		}
		return v
	}
	return Deadlines{
		Lookup: pick(d.Lookup, 5*time.Second),
		Load:   pick(d.Load, 30*time.Second),
		Store:  pick(d.Store, 60*time.Second),
		Delete: pick(d.Delete, 30*time.Second),
	}
}

func (d Deadlines) of(k Kind) time.Duration {
	switch k {
	case Lookup:
		return d.Lookup
	case Load:
		return d.Load
	case Store:
		return d.Store
	}
	return d.Delete
}

// BufferMode says what happens to buffers that are not memory of the bridge's
// arena: the host may reuse those as soon as it has an answer.
type BufferMode int

const (
	// BuffersCopy moves them through arena memory, one copy, so that a deadline
	// can be answered while the connector still works. The default.
	BuffersCopy BufferMode = iota
	// BuffersDirect hands them to the connector. They must lie outside the Go
	// heap. Loads and stores with such buffers have no deadline and cannot be
	// cancelled, because answering early would be corruption.
	BuffersDirect
)

// HostMemory is a range that a [kv.Registrar] has registered. Batches whose values
// all lie in it carry the handle, which needs [BuffersDirect]: other buffers are the
// arena's.
type HostMemory struct {
	Bytes  []byte
	Handle uint64
}

// Options configures a Bridge. The zero value is ready to use.
type Options struct {
	// Name is the configured name of the adapter, for errors and logs.
	Name string
	// MaxInFlight is the number of batches that may be pending; further submits
	// fail with [kv.Busy]. Default 1024, at most 65536.
	MaxInFlight int
	// MaxBatch splits larger tasks. Default 0: the connector's limit.
	MaxBatch int
	// MaxCapacityBytes caps what may be stored: a store past it is refused.
	// Default 0: no cap.
	MaxCapacityBytes int64
	Deadlines        Deadlines
	Breaker          BreakerOptions
	// Integrity appends a checksum to every stored value and verifies it on load;
	// a value that fails is a miss, counted, and deleted. Values are staged then,
	// and what was stored without it is not found.
	Integrity Integrity
	Buffers   BufferMode
	// RawKeys names values by the ChunkHash of their keys alone, whatever its
	// bytes, instead of by the text form: for hosts with key forms of their own.
	RawKeys bool
	// Lengths makes lookups report the sizes of what is stored; see [Result]. It
	// needs a connector with [kv.CapValueLens]; loads report what the connector knows.
	Lengths bool
	// HostMemory is memory of the host that the connector has registered. Default:
	// none.
	HostMemory HostMemory
	// Spin is how long a call of Do that has the only task in flight looks for its
	// completion itself before it parks: a connector that answers within
	// microseconds then costs no wake-up. It stops by itself where it does not pay.
	// The caller is inside the connector's Drain meanwhile, as it was inside its
	// Submit: one in this process that hangs there, against its contract, holds the
	// caller. Default 50µs; negative: never.
	Spin time.Duration
	// CloseGrace is how long Close lets pending work run, and then how long the
	// connector may take to stop. Default 5s. Negative means no wait.
	CloseGrace time.Duration
	// Arena holds batches and staging buffers. Default: one of its own.
	Arena *arena.Arena
	// Logger receives state changes, never a line per batch. Default: discard.
	Logger *zap.Logger
}

// Validate reports every problem at once.
func (o Options) Validate() error {
	var errs []error
	if o.MaxInFlight < 0 || o.MaxInFlight > 65536 {
		errs = append(errs, fmt.Errorf("MaxInFlight is %d, want 1 to 65536, or 0 for the default", o.MaxInFlight))
	}
	if o.MaxBatch < 0 {
		errs = append(errs, fmt.Errorf("MaxBatch is %d, want 1 or more, or 0 for the connector's limit", o.MaxBatch))
	}
	if o.MaxCapacityBytes < 0 {
		errs = append(errs, fmt.Errorf("MaxCapacityBytes is %d, want 1 or more, or 0 for no cap", o.MaxCapacityBytes))
	}
	if o.Buffers != BuffersCopy && o.Buffers != BuffersDirect {
		errs = append(errs, fmt.Errorf("option Buffers is %d, want BuffersCopy or BuffersDirect", o.Buffers))
	}
	if o.Integrity != IntegrityOff && o.Integrity != IntegrityXXH3 {
		errs = append(errs, fmt.Errorf("Integrity is %d, want IntegrityOff or IntegrityXXH3", o.Integrity))
	}
	errs = append(errs, o.Breaker.validate())
	return errors.Join(errs...)
}

func (o Options) withDefaults() Options {
	if o.MaxInFlight == 0 {
		o.MaxInFlight = 1024
	}
	if o.Spin == 0 {
		o.Spin = defaultSpin
	}
	if o.CloseGrace == 0 {
		o.CloseGrace = 5 * time.Second
	}
	o.CloseGrace = max(o.CloseGrace, 0)
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	o.Deadlines = o.Deadlines.withDefaults()
	o.Breaker = o.Breaker.withDefaults()
	return o
}
