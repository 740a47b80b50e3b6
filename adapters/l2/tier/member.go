package tier

import (
	"context"
	"sync"

	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/kv"
)

// Member is one L2 adapter of a tier. [l2.NativeAdapter] is one.
//
// The tier calls the methods of [l2.Client] from many goroutines at a time. What
// it relies on beyond that interface:
//
//   - A call returns soon after its context ended. One that does not costs its
//     own member (a removal waits for it, its pins stay) and no other.
//   - Lookup pins each position whose bit it returns, also beside an error, and
//     pins nothing else. Unlock does not fail and may come after Close.
//   - Load returns, with an error that matches [kv.Timeout], [kv.Cancelled] or
//     [kv.Closed], before it is done with an arena buffer only if it has lent the
//     buffer's block; see package arena. Other buffers are free at return.
//   - Close answers the calls that are running.
type Member interface {
	l2.Client
	// Arena is the memory that the member transfers without a copy.
	Arena() *arena.Arena
	// Usage returns a detached snapshot.
	Usage() kv.Usage
	// Status has is_healthy, at least; see [l2.Adapter].
	Status() map[string]any
	// Close ends the member. The tier calls it once.
	Close() error
}

var _ Member = (*l2.NativeAdapter)(nil)

// KeyStorer is implemented by members that can tell, after a store that failed,
// which keys were stored all the same. Of others the tier only knows that all
// keys of a store task were stored, or takes none for stored.
type KeyStorer interface {
	// StoreKeys is Store with one bit per key and the bytes that were added.
	StoreKeys(ctx context.Context, keys []kv.Key, values []kv.Buffer) (stored kv.Bitmap, bytes int64, err error)
}

// Reporter is implemented by members that tell what they store, load and
// delete. Only these have events in [Tier.Events].
type Reporter interface {
	RegisterListener(l l2.Listener)
}

// State is where a member is in its life.
type State string

// The states.
const (
	Live     State = "live"
	Draining State = "draining" // gets no new work; a removal waits for the rest
	Closing  State = "closing"
)

// member is a Member with what the tier knows about it.
type member struct {
	Member
	id        int
	name      string
	opts      MemberOptions
	zeroCopy  bool
	storeRoom gate // bytes
	stats     memberStats

	// uses counts requests that hold pins of the member or run calls of it.
	uses refs

	state State // guarded by Tier.mu

	closing  sync.Once
	closed   chan struct{} // closed when Close has returned
	closeErr error         // valid then
}

func writable(m *member) bool { return !m.opts.ReadOnly }

// giveBack returns the pins of the keys whose bit is set. Bits past the end of
// keys, which only a member that breaks its contract sets, are no pins.
func (m *member) giveBack(keys []kv.Key, bits *kv.Bitmap) {
	n := bits.Count()
	if n == len(keys) && bits.Len() == n {
		m.Unlock(keys)
		return
	}
	list := make([]kv.Key, 0, n)
	for i := range keys {
		if bits.Test(i) {
			list = append(list, keys[i])
		}
	}
	if len(list) > 0 {
		m.Unlock(list)
	}
}

// storeKeys stores one task and says which keys are stored for certain.
func (m *member) storeKeys(ctx context.Context, keys []kv.Key, values []kv.Buffer) stored {
	if s, ok := m.Member.(KeyStorer); ok {
		bits, bytes, err := s.StoreKeys(ctx, keys, values)
		if bits.Len() != len(keys) && err == nil {
			err = m.wrongLength("store", bits.Len(), len(keys))
		}
		if bits.Len() != len(keys) {
			bits = kv.NewBitmap(len(keys))
		}
		return stored{bits, bytes, err}
	}
	r, err := m.Store(ctx, keys, values)
	switch {
	case err != nil:
	case !r.OK:
		err = m.errorf("store", kv.IO, "the member did not store every key")
	default:
		return stored{kv.NewBitmapPrefix(len(keys), len(keys)), r.Bytes, nil}
	}
	return stored{kv.NewBitmap(len(keys)), r.Bytes, err}
}
