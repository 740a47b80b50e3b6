package kv

import "fmt"

// TaskID names one submitted operation of one adapter. Ids count from 0 and are
// unique within that adapter over all kinds of operation.
type TaskID int64

// StoreResult is the outcome of a store task.
type StoreResult struct {
	// OK reports whether every key of the task was stored.
	OK bool
	// Bytes is what the task added, 0 when OK is false. As in LMCache a key
	// that was already stored with the same size adds 0.
	Bytes int64
}

// NewStoreResult checks bytes, which must not be negative, and drops them when
// ok is false.
func NewStoreResult(ok bool, bytes int64) (StoreResult, error) {
	if bytes < 0 {
		return StoreResult{}, &Error{Op: "store result", Code: Invalid, Err: fmt.Errorf("bytes is %d, want 0 or more", bytes)}
	}
	if !ok {
		bytes = 0
	}
	return StoreResult{OK: ok, Bytes: bytes}, nil
}

// Encoded returns LMCache's integer form: the bytes, or -1 for a failure.
func (r StoreResult) Encoded() int64 {
	if !r.OK {
		return -1
	}
	return r.Bytes
}

// DeleteResult is the outcome of a delete, as numbers of keys.
type DeleteResult struct {
	Deleted int // removed from the backend
	Absent  int // were not there; accounting forgot them all the same
	Pinned  int // skipped because a lookup holds them
	Failed  int // the backend could not tell
}

// Usage is a detached snapshot of what an adapter holds.
type Usage struct {
	BytesUsed     int64
	BytesCapacity int64 // 0 = unlimited or unknown
	Keys          int64
	// BytesBySalt has only entries above 0.
	BytesBySalt map[string]int64
}

// Fraction returns used/capacity, or -1 when no capacity is set.
func (u Usage) Fraction() float64 {
	if u.BytesCapacity <= 0 {
		return -1
	}
	return float64(u.BytesUsed) / float64(u.BytesCapacity)
}

// Layout describes the tensors of one object group. It is advisory.
type Layout struct {
	Shapes [][]int64
	DTypes []string
}

// NewLayout checks that shapes and dtypes have the same length.
func NewLayout(shapes [][]int64, dtypes []string) (Layout, error) {
	if len(shapes) != len(dtypes) {
		return Layout{}, &Error{Op: "layout", Code: Invalid,
			Err: fmt.Errorf("%d shapes and %d dtypes, want as many of one as of the other", len(shapes), len(dtypes))}
	}
	return Layout{Shapes: shapes, DTypes: dtypes}, nil
}
