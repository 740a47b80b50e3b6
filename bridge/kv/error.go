package kv

import "fmt"

// Code classifies a failure independently of the connector that reported it.
// The values are those of the C ABI (SIXCALL_E_ in connector.h). A Code is
// itself an error, so callers write errors.Is(err, kv.Busy).
type Code int32

// The codes. An unknown negative number from a connector becomes [Internal].
const (
	OK          Code = 0
	Invalid     Code = -1  // the call breaks the contract; a bug in the caller
	Busy        Code = -2  // the queue is full; retry after a completion
	Closed      Code = -3  // Close has begun; never retry
	Unsupported Code = -4  // the connector does not implement this
	IO          Code = -5  // the backend or the transport failed
	NoMemory    Code = -6  // out of memory
	Timeout     Code = -7  // not answered in time
	Cancelled   Code = -8  // ended by the caller
	Auth        Code = -9  // credentials refused
	Unavailable Code = -10 // the backend cannot be reached
	Config      Code = -11 // a configuration key or value is wrong
	Internal    Code = -12 // a bug in the connector
	Version     Code = -13 // ABI versions do not fit
	Stuck       Code = -14 // close could not stop everything; memory stays lent
	NoSpace     Code = -15 // the backend is full
	Corrupt     Code = -16 // stored bytes failed a check
)

var codeText = map[Code]string{
	OK: "ok", Invalid: "invalid call", Busy: "queue full", Closed: "closed", Unsupported: "not supported",
	IO: "i/o error", NoMemory: "out of memory", Timeout: "timed out", Cancelled: "cancelled",
	Auth: "credentials refused", Unavailable: "backend unavailable", Config: "bad configuration",
	Internal: "connector bug", Version: "version mismatch", Stuck: "could not stop in time",
	NoSpace: "no space", Corrupt: "stored bytes are corrupt",
}

// String returns the code in words.
func (c Code) String() string {
	if s, ok := codeText[c]; ok {
		return s
	}
	return fmt.Sprintf("unknown code %d", int32(c))
}

// Error implements the error interface.
func (c Code) Error() string { return c.String() }

// Known reports whether c is one of the codes of this package.
func (c Code) Known() bool { _, ok := codeText[c]; return ok }

// CodeOf returns the Code for a result of the C ABI: 0 and above is [OK], a
// known negative is itself, any other negative is [Internal].
func CodeOf(rc int32) Code {
	switch c := Code(rc); {
	case rc >= 0:
		return OK
	case c.Known():
		return c
	default:
		return Internal
	}
}

// Error reports why one operation on one connector failed.
type Error struct {
	// Op is the failed operation in lower case, such as "load" or "open".
	Op string
	// Connector is the configured name. It never holds a URL or a credential.
	Connector string
	// Code is what callers branch on. The text of Err may change in any release.
	Code Code
	// VendorCode is the backend's own number, or 0.
	VendorCode int32
	// Err is the cause, or nil if only a code is known.
	Err error
}

// Error renders one line without a trailing period, ready to be wrapped.
func (e *Error) Error() string {
	msg := "sixcall: " + e.Op
	if e.Connector != "" {
		msg += fmt.Sprintf(" %q", e.Connector)
	}
	msg += ": " + e.Code.String()
	if e.VendorCode != 0 {
		msg += fmt.Sprintf(" (vendor code %d)", e.VendorCode)
	}
	if e.Err != nil {
		msg += ": " + e.Err.Error()
	}
	return msg
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is makes errors.Is match on the code as well as on the cause.
func (e *Error) Is(target error) bool {
	c, ok := target.(Code)
	return ok && c == e.Code
}

// Retryable reports whether the same call may succeed later. It is false
// whenever the connector may already have acted on the batch.
func (e *Error) Retryable() bool { return e.Code == Busy }
