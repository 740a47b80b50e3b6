package goconnector

import (
	"context"
	"errors"
	"fmt"

	"github.com/sixcall/sixcall/bridge/kv"
)

// Backend is a storage client. Its methods are called from several goroutines at
// once, may block, and return soon after ctx ended. A panic counts as an error.
//
// An error that matches a [kv.Code] keeps that meaning: [kv.NoSpace] is a refusal
// of this key, [kv.Corrupt] says that the stored bytes failed a check. The first
// error text of a batch reaches the host, so it must hold no secret.
type Backend interface {
	// Get reads the value of key into buf when its size is exactly len(buf), and
	// reports whether the key is there. Another size is a [SizeError]. buf must
	// not be touched once Get has returned; its content is undefined on error.
	Get(ctx context.Context, key string, buf []byte) (found bool, err error)
	// Set stores value, whole or not at all. value must not be kept.
	Set(ctx context.Context, key string, value []byte) error
	// Exists reports whether key is there, and the size of its value in bytes,
	// -1 = unknown.
	Exists(ctx context.Context, key string) (found bool, size int64, err error)
	// Close ends the client. It is called once, after all other calls returned.
	Close() error
}

// Deleter is implemented by backends that can remove keys.
type Deleter interface {
	// Delete removes key and reports whether it was there, as far as is known.
	Delete(ctx context.Context, key string) (found bool, err error)
}

// Pinger is implemented by backends that can be asked for a sign of life.
type Pinger interface {
	Ping(ctx context.Context) error
}

// SizeError says that the stored value has another size than the buffer.
type SizeError struct {
	Stored int64 // bytes
	Want   int   // bytes
}

func (e *SizeError) Error() string {
	return fmt.Sprintf("the stored value has %d bytes, want %d", e.Stored, e.Want)
}

// statusOf translates what a backend returned for one key.
func statusOf(found bool, err error) kv.Status {
	var size *SizeError
	switch {
	case err == nil && found:
		return kv.StatusHit
	case err == nil:
		return kv.StatusMiss
	case errors.As(err, &size):
		return kv.StatusSize
	case errors.Is(err, kv.NoSpace):
		return kv.StatusRefused
	case errors.Is(err, kv.Corrupt):
		return kv.StatusCorrupt
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, kv.Timeout):
		return kv.StatusTimeout
	case errors.Is(err, context.Canceled), errors.Is(err, kv.Cancelled):
		return kv.StatusCancelled
	}
	return kv.StatusError
}

// codeOf is the code that goes with a failed key's text.
func codeOf(err error) kv.Code {
	var coded *kv.Error
	var code kv.Code
	switch {
	case errors.As(err, &coded):
		return coded.Code
	case errors.As(err, &code):
		return code
	case errors.Is(err, context.DeadlineExceeded):
		return kv.Timeout
	case errors.Is(err, context.Canceled):
		return kv.Cancelled
	}
	return kv.IO
}
