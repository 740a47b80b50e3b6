package remote

import (
	"context"
	"errors"
	"fmt"

	"github.com/sixcall/sixcall/bridge"
	"github.com/sixcall/sixcall/bridge/engine"
	"github.com/sixcall/sixcall/bridge/kv"
)

// OpenRequest names a connector library and its configuration.
type OpenRequest struct {
	Connector string         // module path: a name or a file
	Class     string         // its declared name
	Params    map[string]any // adapter_params
	Instance  string         // for errors and logs
	// Lazy opens without the backend; connectors that know the key "lazy" get it.
	Lazy bool
}

// OpenFunc opens a connector behind a bridge with RawKeys and Lengths on the arena
// of the CPU backend. The caller closes it.
type OpenFunc func(ctx context.Context, r OpenRequest) (*bridge.Bridge, error)

// store names values by texts, over one bridge. Safe for concurrent use.
type store struct{ b *bridge.Bridge }

func rawKeys(names []string) []kv.Key {
	keys := make([]kv.Key, len(names))
	for i, n := range names {
		keys[i] = kv.Key{ChunkHash: n}
	}
	return keys
}

// sizes returns the stored size of each name, -1 if it is not there, -2 if it is of
// unknown size.
func (s store) sizes(ctx context.Context, names ...string) ([]int64, error) {
	keys := rawKeys(names)
	r, err := s.b.Do(ctx, bridge.Lookup, keys, nil)
	if err = errors.Join(err, r.AllFailed); err != nil {
		return nil, err
	}
	there := kv.Gather(&r.Bits, keys)
	if len(there) > 0 {
		s.b.Unlock(there)
	}
	sizes := make([]int64, len(names))
	for i := range sizes {
		switch {
		case !r.Bits.Test(i):
			sizes[i] = -1
		case r.Lengths == nil || r.Lengths[i] < 0:
			sizes[i] = -2
		default:
			sizes[i] = r.Lengths[i]
		}
	}
	return sizes, nil
}

// get fills buffers of the exact sizes and says which it filled.
func (s store) get(ctx context.Context, names []string, bufs []kv.Buffer) (kv.Bitmap, error) {
	r, err := s.b.Do(ctx, bridge.Load, rawKeys(names), bufs)
	return r.Bits, errors.Join(err, r.AllFailed)
}

// getOne fills one buffer. stored is the size of a value of another size, 0 if there
// is none or the connector does not say.
func (s store) getOne(ctx context.Context, name string, buf kv.Buffer) (filled bool, stored int64, err error) {
	r, err := s.b.Do(ctx, bridge.Load, rawKeys([]string{name}), []kv.Buffer{buf})
	if len(r.Lengths) > 0 {
		stored = max(r.Lengths[0], 0)
	}
	return r.Bits.Test(0), stored, errors.Join(err, r.AllFailed)
}

// set stores values and says which it stored. The error is of the first that failed.
func (s store) set(ctx context.Context, names []string, values []kv.Buffer) (kv.Bitmap, error) {
	r, err := s.b.Do(ctx, bridge.Store, rawKeys(names), values)
	return r.Bits, err
}

// remove deletes names and returns how many were there.
func (s store) remove(ctx context.Context, names ...string) (int, error) {
	r, err := s.b.Do(ctx, bridge.Delete, rawKeys(names), nil)
	return r.Deleted.Deleted, err
}

// list returns all names.
func (s store) list(ctx context.Context) (names []string, err error) {
	var page []kv.KeyEntry
	for cursor := []byte(nil); ; {
		if page, cursor, err = s.b.List(ctx, cursor); err != nil {
			return nil, err
		}
		for _, e := range page {
			names = append(names, e.Key)
		}
		if cursor == nil {
			return names, nil
		}
	}
}

// scratch is arena memory for values with a header.
func (s store) scratch(n int) (buf []byte, release func(), err error) {
	block, err := s.b.Arena().Alloc(n)
	if err != nil {
		return nil, nil, err
	}
	return block.Bytes(), block.Release, nil
}

// putErrors makes the error of a batch from what was stored.
func putErrors(keys []engine.Key, bits *kv.Bitmap, cause error) error {
	if cause == nil {
		cause = errors.New("the connector did not store it")
	}
	failed := KeyErrors{}
	for i, k := range keys {
		if !bits.Test(i) {
			failed[k] = cause
		}
	}
	if len(failed) == 0 {
		return nil
	}
	return failed
}

// one unpacks the error of a batch of one key.
func one(err error) error {
	var failed KeyErrors
	if errors.As(err, &failed) {
		for _, cause := range failed {
			return cause
		}
	}
	return err
}

// adopt checks a header against the object that a value is read into, and shrinks
// or reshapes the object to it.
func adopt(h engine.Header) (engine.Layout, error) {
	l := engine.Layout{Shapes: h.Shapes, DTypes: h.DTypes, Format: h.Format}
	if l.Bytes() < h.Length || h.Length < 1 {
		return l, fmt.Errorf("%w: %d bytes do not fit shapes %v", engine.ErrHeader, h.Length, h.Shapes)
	}
	return l, nil
}
