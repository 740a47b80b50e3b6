package replay

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/cmd/sixcall/internal/trace"
)

// Adapter is one adapter under replay.
type Adapter struct {
	Name string // for messages
	l2.Client
}

// Options configures Run.
type Options struct {
	Requests trace.Source
	// Adapters are asked in this order; at least one.
	Adapters []Adapter
	// BlockBytes is the size of each value, 1 or more.
	BlockBytes int
	// Concurrency is how many requests are in flight, 1 or more.
	Concurrency int
	// Arena is where values live. Adapters that share it move them without a copy.
	Arena *arena.Arena
	// Salts spreads requests over as many cache salts, as tenants that share
	// nothing; requests of one conversation have the same. Default 0: no salt.
	Salts int
	// OnRequest is called after each request, from many goroutines. May be nil.
	OnRequest func(blocks int, movedBytes int64)
}

const (
	maxBatch      = 256       // blocks in one call
	valueMemory   = 256 << 20 // bytes for values, of all workers
	interruptTime = 2 * time.Second
	maxProblems   = 5
)

// Run replays the requests and returns what it measured.
//
// Each request looks up and locks all its blocks, loads and checks the leading
// run of those that are there, unlocks, and stores the blocks after that run that
// are not there or could not be used. Workers take the requests in order.
//
// When ctx ends, no further request begins, those in flight get two seconds, and
// the result is marked as interrupted. An error means that the replay itself
// could not go on, not that an adapter failed.
func Run(ctx context.Context, opts Options) (*Result, error) {
	if opts.Requests == nil || len(opts.Adapters) == 0 || opts.BlockBytes < 1 || opts.Concurrency < 1 {
		return nil, errors.New("replay: want requests, an adapter, a block size and a concurrency")
	}
	r := &run{
		opts:   opts,
		lookup: newRecorder(),
		load:   newRecorder(),
		store:  newRecorder(),
	}
	if opts.Concurrency > 1 {
		r.claims = newClaims()
	}
	// Values start on page boundaries, which is what direct I/O needs.
	r.stride = (opts.BlockBytes + arena.PageSize - 1) / arena.PageSize * arena.PageSize
	r.batch = min(max(valueMemory/opts.Concurrency/r.stride, 1), maxBatch)

	calls, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-calls.Done():
		case <-time.After(interruptTime):
			cancel()
		}
	})
	defer stop()

	started := time.Now()
	var workers sync.WaitGroup
	for range opts.Concurrency {
		workers.Go(func() {
			w := newWorker(r)
			defer w.release()
			for {
				request, ok := r.next(ctx)
				if !ok {
					return
				}
				if err := w.replay(calls, request); err != nil {
					r.fail(err)
				}
			}
		})
	}
	workers.Wait()

	result := r.result(time.Since(started))
	if err := r.fatal; err != nil && ctx.Err() == nil {
		return result, err
	}
	if ctx.Err() != nil {
		_, left := opts.Requests.Next()
		result.Interrupted = left || r.fatal != nil
	}
	return result, nil
}

// run is the state that workers share.
type run struct {
	opts                Options
	stride              int // bytes from one value to the next
	batch               int // values in the memory of a worker
	claims              *claims
	lookup, load, store *recorder

	total counts

	pull  sync.Mutex // guards opts.Requests and ended
	ended bool       // opts.Requests has no more

	mu       sync.Mutex // guards what follows; taken under pull
	problems []string
	fatal    error
}

// next returns the next request, false when there is none to begin.
func (r *run) next(ctx context.Context) (request trace.Request, ok bool) {
	r.pull.Lock()
	defer r.pull.Unlock()
	if ctx.Err() != nil || r.failed() || r.ended {
		return trace.Request{}, false
	}
	request, ok = r.opts.Requests.Next()
	r.ended = !ok
	return request, ok
}

type counts struct {
	requests, blocks, prefixHits, storedBlocks, loadedBlocks, verifyFailures, failures atomic.Int64
}

func (r *run) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fatal == nil {
		r.fatal = err
	}
}

func (r *run) failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.fatal != nil
}

// problem keeps the first few texts.
func (r *run) problem(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.problems) < maxProblems {
		r.problems = append(r.problems, fmt.Sprintf(format, args...))
	}
}

func (r *run) result(took time.Duration) *Result {
	t := &r.total
	res := &Result{
		Requests:       t.requests.Load(),
		Blocks:         t.blocks.Load(),
		PrefixHits:     t.prefixHits.Load(),
		StoredBlocks:   t.storedBlocks.Load(),
		StoredBytes:    t.storedBlocks.Load() * int64(r.opts.BlockBytes),
		LoadedBytes:    t.loadedBlocks.Load() * int64(r.opts.BlockBytes),
		VerifyFailures: t.verifyFailures.Load(),
		Failures:       t.failures.Load(),
		Seconds:        took.Seconds(),
		Problems:       r.problems,
	}
	if res.Blocks > 0 {
		res.HitRate = float64(res.PrefixHits) / float64(res.Blocks)
	}
	res.Latency.Lookup = r.lookup.summary()
	res.Latency.Load = r.load.summary()
	res.Latency.Store = r.store.summary()
	return res
}
