//go:build linux && (amd64 || arm64)

package native_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/native"
)

func TestADrainThatBreaksTheContractIsAnError(t *testing.T) {
	tests := []struct {
		name, define string
		code         kv.Code
		want         string
	}{
		{"more than it was given room for", "DRAIN_RETURNS=70000", kv.Internal, "returned 70000, but was given room for 4"},
		{"one more", "DRAIN_RETURNS=5", kv.Internal, "returned 5, but was given room for 4"},
		{"largest number", "DRAIN_RETURNS=0x7fffffff", kv.Internal, "returned 2147483647, but"},
		{"an error", "DRAIN_RETURNS=-5", kv.IO, "drain_completions of"},
		{"an unknown error", "DRAIN_RETURNS=-4242", kv.Internal, "returned -4242"},
		{"a record too many", "DRAIN_OVERRUNS", kv.Internal, "wrote past the 4 records that it was given"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			c := open(t, native.Options{Connector: compile(t, tc.define)})
			done := make([]kv.Completion, 4)
			n, err := c.Drain(done)
			require.Zero(t, n)
			require.ErrorIs(t, err, tc.code)
			require.ErrorContains(t, err, tc.want)
			require.Equal(t, make([]kv.Completion, 4), done)
		})
	}
	c := open(t, native.Options{Connector: compile(t)})
	n, err := c.Drain(nil)
	require.NoError(t, err)
	require.Zero(t, n)
}

func TestARefusedBatchCarriesTheReason(t *testing.T) {
	for _, tc := range []struct {
		rc   int
		code kv.Code
	}{{-1, kv.Invalid}, {-3, kv.Closed}, {-4, kv.Unsupported}, {-77, kv.Internal}} {
		c := open(t, native.Options{Connector: compile(t, fmt.Sprintf("REFUSE_WITH=%d", tc.rc)), Instance: "store-1"})
		b := newBatch(t, kv.OpExists, 1, 1, 0)
		err := c.Submit(b)
		require.ErrorIs(t, err, tc.code)
		require.ErrorContains(t, err, `submit "store-1"`)
		require.ErrorContains(t, err, "the queue of the backend is gone")
		b.Err = nil
		require.ErrorContains(t, c.Submit(b), fmt.Sprintf("refused the batch with %d", tc.rc))
		require.Equal(t, []byte{kv.StatusUnset}, b.Status)
	}
}

func TestABatchThatBreaksTheContractDoesNotReachTheLibrary(t *testing.T) {
	c := open(t, native.Options{Connector: compile(t)})
	tests := []struct {
		name  string
		op    kv.Op
		spoil func(b *kv.Batch)
		code  kv.Code
		want  string
	}{
		{"no keys", kv.OpExists, func(b *kv.Batch) { b.Ends = nil }, kv.Invalid, "at least one key"},
		{"unknown operation", kv.OpExists, func(b *kv.Batch) { b.Op = 99 }, kv.Unsupported, "does not implement"},
		{"operation 0", kv.OpExists, func(b *kv.Batch) { b.Op = 0 }, kv.Unsupported, "does not implement"},
		{"short scratch", kv.OpExists, func(b *kv.Batch) { b.Scratch = b.Scratch[:len(b.Scratch)-1] }, kv.Invalid, "Scratch has 191 bytes"},
		{"unaligned scratch", kv.OpExists, func(b *kv.Batch) { b.Scratch = offHeap(t, 4096)[4:] }, kv.Invalid, "8-byte aligned"},
		{"short status", kv.OpExists, func(b *kv.Batch) { b.Status = b.Status[:1] }, kv.Invalid, "Status has 1 bytes for 2 keys"},
		{"short lengths", kv.OpExists, func(b *kv.Batch) { b.ValueLens = b.ValueLens[:1] }, kv.Invalid, "ValueLens has 1 entries"},
		{"short error block", kv.OpExists, func(b *kv.Batch) { b.Err = b.Err[:255] }, kv.Invalid, "Err has 255 bytes"},
		{"missing buffer", kv.OpGet, func(b *kv.Batch) { b.Bufs = b.Bufs[:1] }, kv.Invalid, "Bufs has 1 entries"},
		{"empty key", kv.OpGet, func(b *kv.Batch) { b.Ends[1] = b.Ends[0] }, kv.Invalid, "Ends does not ascend"},
		{"descending keys", kv.OpGet, func(b *kv.Batch) { b.Ends[1] = b.Ends[0] - 1 }, kv.Invalid, "Ends does not ascend"},
		{"key past the end", kv.OpGet, func(b *kv.Batch) { b.Ends[1] = 1000 }, kv.Invalid, "within the 10 bytes of Keys"},
		{"ping with keys", kv.OpExists, func(b *kv.Batch) { b.Op = kv.OpPing }, kv.Invalid, "a ping has no keys"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			b := newBatch(t, tc.op, 1, 2, 8)
			tc.spoil(b)
			err := c.Submit(b)
			require.ErrorIs(t, err, tc.code)
			require.ErrorContains(t, err, tc.want)
			n, err := c.Drain(make([]kv.Completion, 1))
			require.NoError(t, err)
			require.Zero(t, n, "a refused batch never completes")
		})
	}
}

// overlaps drives connections of one library from several goroutines and returns
// how many calls of the library overlapped, as it counted itself.
func overlaps(t *testing.T, threads string, connections int) int64 {
	path := compile(t, "THREADS=SIXCALL_THREADS_"+threads)
	var conns []*native.Connector
	for range connections {
		conns = append(conns, open(t, native.Options{Connector: path}))
	}
	var wg sync.WaitGroup
	for _, c := range conns {
		for i := range 3 {
			b := newBatch(t, kv.OpExists, uint64(i), 4, 0)
			wg.Go(func() {
				for range 300 {
					if err := c.Submit(b); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Go(func() {
			done := make([]kv.Completion, 8)
			for total := 0; total < 900; {
				n, err := c.Drain(done)
				if err != nil {
					t.Error(err)
					return
				}
				total += n
			}
		})
	}
	wg.Wait()
	_, _, count, err := conns[0].Usage()
	require.NoError(t, err)
	return count
}

func TestTheThreadModelIsHonoured(t *testing.T) {
	require.Zero(t, overlaps(t, "SERIAL", 3), "one call at a time in the whole library")
	require.Zero(t, overlaps(t, "PER_HANDLE", 1), "one call at a time per connection")
	require.NotZero(t, overlaps(t, "PER_HANDLE", 3), "but connections do not wait for each other")
}
