package replay_test

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/bridge/kv"
)

var _ l2.Client = (*fakeAdapter)(nil)

// fakeAdapter is an adapter over a map. Its hooks break one thing each.
type fakeAdapter struct {
	mu     sync.Mutex // guards what follows
	values map[kv.Key][]byte
	pins   map[kv.Key]int
	stores int // calls
	loads  int // keys

	failLookup func(call int) error
	// failStore says whether the store of a key fails.
	failStore func(key kv.Key) bool
	// failLoad says whether the load of a key fails.
	failLoad func(key kv.Key) bool
	// spoil may change a value that was loaded.
	spoil   func(key kv.Key, value []byte)
	busy    int // how many of the next calls find the queue full
	block   chan struct{}
	lookups int
}

// newFake returns an adapter that must have no pins left at the end of the test.
func newFake(t *testing.T) *fakeAdapter {
	f := &fakeAdapter{values: map[kv.Key][]byte{}, pins: map[kv.Key]int{}}
	t.Cleanup(func() { require.Empty(t, f.pins, "each lock must be taken back") })
	return f
}

func (f *fakeAdapter) full() bool {
	if f.busy > 0 {
		f.busy--
		return true
	}
	return false
}

func (f *fakeAdapter) Lookup(_ context.Context, keys []kv.Key) (kv.Bitmap, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.full() {
		return kv.Bitmap{}, kv.Busy
	}
	f.lookups++
	if f.failLookup != nil {
		if err := f.failLookup(f.lookups); err != nil {
			return kv.Bitmap{}, err
		}
	}
	bits := kv.NewBitmap(len(keys))
	for i, key := range keys {
		if _, ok := f.values[key]; ok {
			bits.Set(i)
			f.pins[key]++
		}
	}
	return bits, nil
}

func (f *fakeAdapter) Unlock(keys []kv.Key) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, key := range keys {
		if f.pins[key]--; f.pins[key] == 0 {
			delete(f.pins, key)
		}
	}
}

func (f *fakeAdapter) Load(ctx context.Context, keys []kv.Key, bufs []kv.Buffer) (kv.Bitmap, error) {
	if f.block != nil {
		select {
		case <-f.block:
		case <-ctx.Done():
			return kv.Bitmap{}, ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.full() {
		return kv.Bitmap{}, kv.Busy
	}
	f.loads += len(keys)
	bits := kv.NewBitmap(len(keys))
	for i, key := range keys {
		value := f.values[key]
		if len(value) != len(bufs[i]) || f.pins[key] == 0 || f.failLoad != nil && f.failLoad(key) {
			continue
		}
		copy(bufs[i], value)
		if f.spoil != nil {
			f.spoil(key, bufs[i])
		}
		bits.Set(i)
	}
	return bits, nil
}

func (f *fakeAdapter) Store(_ context.Context, keys []kv.Key, values []kv.Buffer) (kv.StoreResult, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.full() {
		return kv.StoreResult{}, kv.Busy
	}
	f.stores++
	result := kv.StoreResult{OK: true}
	for i, key := range keys {
		if f.failStore != nil && f.failStore(key) {
			result = kv.StoreResult{}
			continue
		}
		f.values[key] = bytes.Clone(values[i])
	}
	return result, nil
}

func (f *fakeAdapter) Delete(context.Context, []kv.Key) (kv.DeleteResult, error) {
	return kv.DeleteResult{}, errors.New("a replay deletes nothing")
}
