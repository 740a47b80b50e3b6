// Package trace reads and makes request traces: which blocks of prompt text each
// request of a serving system refers to, in the order in which they came.
//
// Files are JSON lines in the format that Mooncake's traces are published in:
//
//	{"timestamp": 0, "input_length": 1024, "output_length": 10, "hash_ids": [17, 18]}
//
// hash_ids has one id per block of 512 tokens; equal ids mean equal text up to
// and including that block. Other fields are ignored.
package trace

// BlockTokens is the number of tokens that one block stands for.
const BlockTokens = 512

// BlockID names the text of a prompt up to the end of one block. It holds a
// signed or an unsigned 64-bit id of a trace; a trace has one sort or the other.
type BlockID uint64

// Request is one request of a trace.
type Request struct {
	Blocks []BlockID // from the start of the prompt; may be empty
}

// Source yields requests in their order. One goroutine at a time.
type Source interface {
	// Next returns the next request, false after the last one.
	Next() (Request, bool)
}

// Requests is a Source over a list.
type Requests struct{ left []Request }

// NewRequests returns a source that yields the requests of the list.
func NewRequests(list []Request) *Requests { return &Requests{left: list} }

// Next implements [Source].
func (r *Requests) Next() (Request, bool) {
	if len(r.left) == 0 {
		return Request{}, false
	}
	next := r.left[0]
	r.left = r.left[1:]
	return next, true
}
