package replay

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/cmd/sixcall/internal/trace"
)

// worker replays one request after the other. One goroutine. Its slices are
// reused from request to request.
type worker struct {
	*run
	model  string       // of all keys
	memory *arena.Block // batch values; nil until it is needed

	tenant int                   // of the request, with Options.Salts
	ids    []trace.BlockID       // of the request, each once
	index  map[trace.BlockID]int // index in ids
	keys   []kv.Key              // keys[i] is that of ids[i]
	locked [][]bool              // locked[a][i]: adapter a has locked ids[i]
	broken [][]bool              // broken[a][i]: adapter a has ids[i], but not so that it can be used
	bufs   []kv.Buffer
	text   []byte

	batchIDs  []trace.BlockID
	batchKeys []kv.Key
	stored    []bool
	todo      []int
}

func newWorker(r *run) *worker {
	return &worker{
		run: r,
		// The size is part of the name: a value of another size is another value.
		model:  fmt.Sprintf("sixcall-replay-%d", r.opts.BlockBytes),
		index:  map[trace.BlockID]int{},
		locked: make([][]bool, len(r.opts.Adapters)),
		broken: make([][]bool, len(r.opts.Adapters)),
	}
}

func (w *worker) release() {
	if w.memory != nil {
		w.memory.Release()
		w.memory = nil
	}
}

// replay carries out one request. An error ends the replay.
func (w *worker) replay(ctx context.Context, request trace.Request) error {
	w.begin(request)
	var since uint64
	if w.claims != nil {
		since = w.claims.now()
	}
	err := w.lookupAll(ctx)
	usable, moved := 0, int64(0)
	if err == nil {
		usable, moved, err = w.loadRun(ctx)
	}
	w.unlockAll() // whatever happened: each lock is taken back once
	if err != nil {
		return err
	}
	stored, err := w.storeRest(ctx, usable, since)
	if err != nil {
		return err
	}

	hits := 0
	for hits < len(request.Blocks) && w.index[request.Blocks[hits]] < usable {
		hits++
	}
	w.total.prefixHits.Add(int64(hits))
	w.total.blocks.Add(int64(len(request.Blocks)))
	w.total.requests.Add(1)
	if w.opts.OnRequest != nil {
		w.opts.OnRequest(len(request.Blocks), moved+stored)
	}
	return nil
}

// begin lists the blocks of the request, each once, and makes their keys.
func (w *worker) begin(request trace.Request) {
	clear(w.index)
	w.ids, w.keys, w.text = w.ids[:0], w.keys[:0], w.text[:0]
	for _, id := range request.Blocks {
		if _, twice := w.index[id]; twice {
			continue
		}
		w.index[id] = len(w.ids)
		w.ids = append(w.ids, id)
		w.text = binary.BigEndian.AppendUint64(w.text, uint64(id))
	}
	salt := ""
	if n := w.opts.Salts; n > 0 {
		w.tenant = tenantOf(request.Blocks, n)
		salt = SaltOf(w.tenant)
	}
	hashes := string(w.text) // one allocation for all keys
	for i := range w.ids {
		w.keys = append(w.keys, kv.Key{ChunkHash: hashes[i*8 : i*8+8], Model: w.model, Salt: salt})
	}
	for a := range w.locked {
		w.locked[a] = resize(w.locked[a], len(w.ids))
		w.broken[a] = resize(w.broken[a], len(w.ids))
	}
}

// tenantOf returns the tenant of a request: the second block tells conversations
// apart, as the first one is mostly a system prompt that all of them share.
func tenantOf(blocks []trace.BlockID, tenants int) int {
	if len(blocks) == 0 {
		return 0
	}
	return int(uint64(blocks[min(1, len(blocks)-1)]) % uint64(tenants))
}

// SaltOf returns the cache salt of a tenant.
func SaltOf(tenant int) string { return fmt.Sprintf("tenant-%d", tenant) }

// resize returns s with n elements, all false.
func resize(s []bool, n int) []bool {
	s = slices.Grow(s[:0], n)[:n]
	clear(s)
	return s
}

// lookupAll asks every adapter for every block and locks those that are there.
func (w *worker) lookupAll(ctx context.Context) error {
	for a, adapter := range w.opts.Adapters {
		for keys, at := w.keys, 0; len(keys) > 0; {
			n := min(len(keys), maxBatch)
			var bits kv.Bitmap
			err := w.call(ctx, w.lookup, func() (err error) {
				bits, err = adapter.Lookup(ctx, keys[:n])
				return err
			})
			if err != nil {
				if fatal := w.fatalError(ctx, err); fatal != nil {
					return fatal
				}
				w.total.failures.Add(1)
				w.problem("lookup of %d blocks in %s: %v", n, adapter.Name, err)
			}
			for i := range n {
				w.locked[a][at+i] = bits.Test(i)
			}
			keys, at = keys[n:], at+n
		}
	}
	return nil
}

// holder returns the first adapter that has block i, or -1.
func (w *worker) holder(i int) int {
	for a := range w.locked {
		if w.locked[a][i] {
			return a
		}
	}
	return -1
}

// loadRun loads and checks the leading blocks that are there. It returns how
// many of them can be used and how many bytes were loaded.
func (w *worker) loadRun(ctx context.Context) (usable int, bytes int64, err error) {
	for usable < len(w.ids) {
		a := w.holder(usable)
		if a < 0 {
			break
		}
		n := 1
		for n < w.batch && usable+n < len(w.ids) && w.holder(usable+n) == a {
			n++
		}
		good, loaded, err := w.loadBatch(ctx, a, usable, n)
		if err != nil {
			return usable, bytes, err
		}
		usable += good
		bytes += int64(loaded) * int64(w.opts.BlockBytes)
		if good < n {
			break
		}
	}
	return usable, bytes, nil
}

// loadBatch loads n blocks from index first on from adapter a. It returns how
// many leading ones are right, and how many were loaded at all.
func (w *worker) loadBatch(ctx context.Context, a, first, n int) (good, loaded int, err error) {
	adapter := w.opts.Adapters[a]
	bufs, err := w.buffers(n)
	if err != nil {
		return 0, 0, err
	}
	for _, buf := range bufs {
		clear(buf) // what an earlier call left there must not pass for a load
	}
	var bits kv.Bitmap
	err = w.call(ctx, w.load, func() (err error) {
		bits, err = adapter.Load(ctx, w.keys[first:first+n], bufs)
		return err
	})
	if err != nil {
		if fatal := w.fatalError(ctx, err); fatal != nil {
			return 0, 0, fatal
		}
		w.problem("load of %d blocks from %s: %v", n, adapter.Name, err)
		bits = kv.NewBitmap(n)
	}
	good = n
	for i := range n {
		id := w.ids[first+i]
		if !bits.Test(i) {
			w.total.failures.Add(1)
			if err == nil {
				w.problem("load from %s: block %d was locked and did not load", adapter.Name, int64(id))
			}
		} else {
			loaded++
			at := Check(bufs[i], uint64(id))
			if at < 0 {
				continue
			}
			w.total.verifyFailures.Add(1)
			w.problem("load from %s: block %d is wrong from byte %d on", adapter.Name, int64(id), at)
		}
		w.broken[a][first+i] = true
		good = min(good, i)
	}
	w.total.loadedBlocks.Add(int64(loaded))
	return good, loaded, nil
}

// unlockAll takes back every lock.
func (w *worker) unlockAll() {
	for a, adapter := range w.opts.Adapters {
		w.batchKeys = w.batchKeys[:0]
		for i, locked := range w.locked[a] {
			if locked {
				w.batchKeys = append(w.batchKeys, w.keys[i])
			}
		}
		if len(w.batchKeys) > 0 {
			adapter.Unlock(w.batchKeys)
		}
	}
}

// lacks reports whether block i is to be stored in adapter a.
func (w *worker) lacks(a, i int) bool { return !w.locked[a][i] || w.broken[a][i] }

// storeRest stores the blocks from index first on in each adapter that lacks
// them. It returns how many bytes were stored, counting each block once.
func (w *worker) storeRest(ctx context.Context, first int, since uint64) (bytes int64, err error) {
	for i := first; i < len(w.ids); {
		w.todo = w.todo[:0]
		for ; i < len(w.ids) && len(w.todo) < w.batch; i++ {
			lacking := false
			for a := range w.opts.Adapters {
				lacking = lacking || w.lacks(a, i)
			}
			if lacking && (w.claims == nil || w.claims.take(w.tenant, w.ids[i], since)) {
				w.todo = append(w.todo, i)
			}
		}
		n, err := w.storeBatch(ctx)
		if err != nil {
			return bytes, err
		}
		bytes += int64(n) * int64(w.opts.BlockBytes)
	}
	return bytes, nil
}

// storeBatch stores the blocks with the indices in w.todo and returns how many
// of them at least one adapter took.
func (w *worker) storeBatch(ctx context.Context) (n int, err error) {
	if len(w.todo) == 0 {
		return 0, nil
	}
	w.stored = resize(w.stored, len(w.todo))
	if w.claims != nil {
		defer func() {
			w.batchIDs = w.batchIDs[:0]
			for _, i := range w.todo {
				w.batchIDs = append(w.batchIDs, w.ids[i])
			}
			w.claims.done(w.tenant, w.batchIDs, w.stored)
		}()
	}
	for a := range w.opts.Adapters {
		if err := w.storeIn(ctx, a); err != nil {
			return 0, err
		}
	}
	for _, ok := range w.stored {
		if ok {
			n++
		}
	}
	w.total.storedBlocks.Add(int64(n))
	return n, nil
}

// storeIn stores in adapter a those of w.todo that it lacks, and marks in
// w.stored what it took.
func (w *worker) storeIn(ctx context.Context, a int) error {
	adapter := w.opts.Adapters[a]
	all, err := w.buffers(len(w.todo))
	if err != nil {
		return err
	}
	w.batchKeys = w.batchKeys[:0]
	places := make([]int, 0, len(w.todo)) // in w.todo
	for at, i := range w.todo {
		if w.lacks(a, i) {
			Fill(all[len(places)], uint64(w.ids[i]))
			w.batchKeys = append(w.batchKeys, w.keys[i])
			places = append(places, at)
		}
	}
	if len(places) == 0 {
		return nil
	}
	bufs := all[:len(places)]
	var result kv.StoreResult
	err = w.call(ctx, w.store, func() (err error) {
		result, err = adapter.Store(ctx, w.batchKeys, bufs)
		return err
	})
	if err == nil && result.OK {
		for _, at := range places {
			w.stored[at] = true
		}
		return nil
	}
	if err != nil {
		if fatal := w.fatalError(ctx, err); fatal != nil {
			return fatal
		}
		w.problem("store of %d blocks in %s: %v", len(places), adapter.Name, err)
	} else {
		w.problem("store of %d blocks in %s: not all of them were stored", len(places), adapter.Name)
	}
	return w.recount(ctx, a, places)
}

// recount finds out which blocks of a store that failed are there all the same:
// the result of a store is one for the whole batch.
func (w *worker) recount(ctx context.Context, a int, places []int) error {
	adapter := w.opts.Adapters[a]
	bits, err := adapter.Lookup(ctx, w.batchKeys)
	if err != nil {
		if fatal := w.fatalError(ctx, err); fatal != nil {
			return fatal
		}
		bits = kv.NewBitmap(len(places))
	}
	if there := kv.Gather(&bits, w.batchKeys); len(there) > 0 {
		adapter.Unlock(there)
	}
	for i, at := range places {
		// A block that was there before, broken, says nothing about this store.
		if bits.Test(i) && !w.broken[a][w.todo[at]] {
			w.stored[at] = true
		} else {
			w.total.failures.Add(1)
		}
	}
	return nil
}

// call measures f, and repeats it while the adapter has too much in flight.
func (w *worker) call(ctx context.Context, rec *recorder, f func() error) error {
	started := time.Now()
	pause := 50 * time.Microsecond
	for {
		err := f()
		if !errors.Is(err, kv.Busy) {
			rec.add(time.Since(started))
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
			pause = min(2*pause, 10*time.Millisecond)
		}
	}
}

// fatalError returns what ends the replay: its context, or an adapter that is
// closed or was called wrongly. Everything else is the backend's failure.
func (w *worker) fatalError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, kv.Closed) || errors.Is(err, kv.Invalid) {
		return err
	}
	return nil
}

// buffers returns memory for n values, at most w.batch. Memory in which late
// bytes of an abandoned call may still arrive is replaced.
func (w *worker) buffers(n int) ([]kv.Buffer, error) {
	if w.memory != nil && w.memory.Quarantined() {
		w.release()
	}
	if w.memory == nil {
		block, err := w.opts.Arena.Alloc(w.batch * w.stride)
		if err != nil {
			return nil, fmt.Errorf("memory for %d blocks of %d bytes: %w", w.batch, w.opts.BlockBytes, err)
		}
		w.memory = block
		w.bufs = make([]kv.Buffer, 0, w.batch) // an adapter may still hold the old list
		for i := range w.batch {
			start := i * w.stride
			end := start + w.opts.BlockBytes
			w.bufs = append(w.bufs, block.Bytes()[start:end:end])
		}
	}
	return w.bufs[:n], nil
}
