package kv

import "encoding/binary"

// Op is an operation on a connector. The values are those of the C ABI.
type Op uint32

// The operations.
const (
	OpGet    Op = 1
	OpSet    Op = 2
	OpExists Op = 3
	OpDelete Op = 4
	OpPing   Op = 5
)

// String returns the operation in lower case.
func (o Op) String() string {
	switch o {
	case OpGet:
		return "get"
	case OpSet:
		return "set"
	case OpExists:
		return "exists"
	case OpDelete:
		return "delete"
	case OpPing:
		return "ping"
	}
	return "unknown"
}

// Status is the result of one key. The values are those of the C ABI.
type Status = byte

// The status bytes. 0 and 1 are results; all others count as failure.
const (
	StatusMiss      Status = 0
	StatusHit       Status = 1 // got, stored, present or removed
	StatusError     Status = 2
	StatusSize      Status = 3 // the stored value has another size
	StatusCancelled Status = 4
	StatusTimeout   Status = 5
	StatusRefused   Status = 6
	StatusCorrupt   Status = 7
	StatusUnset     Status = 0xFF // what the bridge writes before it submits
)

// Buffer is the memory of one value. Memory that crosses into a connector lies
// outside the Go heap: it comes from package arena or from the host.
type Buffer = []byte

// Batch is one submission to a [Connector].
//
// # Ownership
//
// The Batch and all that it refers to are lent to the connector from the moment
// Submit returned nil until Drain returned the ticket, or Close returned nil.
// Keys, Ends and, for OpSet, Bufs are read-only to the connector. Keys, Status,
// ValueLens, Err and Scratch lie outside the Go heap when a bridge made the Batch,
// so a connector may hand their addresses to C, or to another process. Ends lies
// on the Go heap: connectors read it in Go, and nothing outside of this process can
// change where a key begins and ends.
type Batch struct {
	// Ticket is unique among the batches in flight and is echoed in the [Completion].
	Ticket uint64
	Op     Op
	// Keys holds the text of all keys, one after the other; key i ends at
	// Ends[i]. len(Ends) is the number of keys.
	Keys []byte
	Ends []uint32
	// Bufs has one buffer per key for OpGet (written, len is the exact size
	// wanted) and OpSet (read); nil for the other operations.
	Bufs []Buffer
	// Status has one byte per key, filled with [StatusUnset] before Submit.
	Status []byte
	// ValueLens receives stored lengths for OpGet and OpExists; may be nil.
	ValueLens []uint64
	// Err receives the first error of the batch; may be nil.
	Err ErrBlock
	// DeadlineNS is the deadline on CLOCK_MONOTONIC, 0 = none. A connector
	// without the DEADLINE capability need not end the batch by then; one that
	// runs in a process of its own may take a batch that is long past it for hung.
	DeadlineNS uint64
	// MemHandle is the registration of the memory of Bufs, 0 = none.
	MemHandle uint64
	// Scratch is for the connector's own encoding of the batch, at least
	// ScratchPerKey bytes per key plus ScratchBase, 8-byte aligned.
	Scratch []byte
}

// The size of Batch.Scratch in bytes.
const (
	ScratchBase   = 128
	ScratchPerKey = 32
)

// Len returns the number of keys.
func (b *Batch) Len() int { return len(b.Ends) }

// Key returns the text of key i. It is valid as long as the batch is lent.
func (b *Batch) Key(i int) []byte {
	start := uint32(0)
	if i > 0 {
		start = b.Ends[i-1]
	}
	return b.Keys[start:b.Ends[i]:b.Ends[i]]
}

// ErrBlockSize is the size of an ErrBlock in bytes.
const ErrBlockSize = 256

// ErrBlock is memory in the layout of sixcall_err: struct_size, code,
// vendor_code, len (32 bits each, little-endian) and 240 bytes of text.
type ErrBlock []byte

// Reset clears the block and writes its struct_size.
func (e ErrBlock) Reset() {
	if e == nil {
		return
	}
	clear(e[:16])
	e[16] = 0
	binary.LittleEndian.PutUint32(e, ErrBlockSize)
}

// Set writes an error unless the block already holds one: the first wins.
func (e ErrBlock) Set(code Code, vendorCode int32, msg string) {
	if e == nil || e.Code() != OK {
		return
	}
	n := copy(e[16:ErrBlockSize-1], msg)
	e[16+n] = 0
	binary.LittleEndian.PutUint32(e[12:], uint32(n))
	binary.LittleEndian.PutUint32(e[8:], uint32(vendorCode))
	binary.LittleEndian.PutUint32(e[4:], uint32(code))
}

// Code returns the code, [OK] when no error was written.
func (e ErrBlock) Code() Code {
	if e == nil {
		return OK
	}
	return CodeOf(int32(binary.LittleEndian.Uint32(e[4:])))
}

// VendorCode returns the backend's own number, or 0.
func (e ErrBlock) VendorCode() int32 {
	if e == nil {
		return 0
	}
	return int32(binary.LittleEndian.Uint32(e[8:]))
}

// Message returns a copy of the text, cut to the block whatever its len says.
func (e ErrBlock) Message() string {
	if e == nil {
		return ""
	}
	n := min(binary.LittleEndian.Uint32(e[12:]), ErrBlockSize-16)
	text := e[16 : 16+n]
	for i, c := range text {
		if c == 0 {
			text = text[:i]
			break
		}
	}
	return string(text)
}

// Completion is the end of one accepted batch.
type Completion struct {
	Ticket uint64
	// RC is OK when the batch ran (see its status bytes), else why it did not.
	RC     Code
	Op     Op
	NOK    uint32 // how many status bytes are StatusHit
	Flags  uint32
	DoneNS uint64 // CLOCK_MONOTONIC when it was published, 0 = not measured
}
