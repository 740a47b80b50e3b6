package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/bridge/kv"
)

// The operations, in the order in which they run.
const (
	OpStore  = "store"
	OpLookup = "lookup"
	OpLoad   = "load"
)

// Options configures Run. All numbers but WarmupRounds are 1 or more.
type Options struct {
	NumKeys      int // keys in a task
	InFlight     int // tasks in a round
	DataSize     int // bytes of a value
	Rounds       int // that are measured
	WarmupRounds int // that come before them
	// MaxHitRate is the part of the looked-up keys that may be there, [0, 1].
	MaxHitRate float64
	// Only is the one operation to run, "" = all.
	Only string
	// Verify compares what was loaded with what was stored.
	Verify bool
	// StoreMemory and LoadMemory hold the values of one round each; nil when the
	// operation does not run. They are lent to the adapter while Run runs, and
	// stay lent when it returns [ErrTimeout].
	StoreMemory, LoadMemory []byte
	// Log receives a line per round. May be nil.
	Log func(format string, args ...any)

	// Wait is how long a round may take. Default 120s, and 60s for lookups.
	Wait time.Duration
}

// MemoryBytes returns the size that StoreMemory and LoadMemory need.
func (o *Options) MemoryBytes() int { return o.NumKeys * o.InFlight * o.DataSize }

// Runs reports whether op is to be run.
func (o *Options) Runs(op string) bool { return o.Only == "" || o.Only == op }

// ErrTimeout means that tasks were still running at the end of a round's time.
// The adapter may then still touch the values.
var ErrTimeout = errors.New("a round timed out")

// Report is the outcome of Run.
type Report struct {
	Results []*Result // of the operations that ran, in their order
	// Mismatches counts the keys of which the loaded bytes were not those that
	// were stored. 0 when Verify is off.
	Mismatches int
	Verified   int // keys that were compared
	// Failed counts the keys that were not stored.
	Failed int
}

// Run measures the operations. With an error the report holds what was measured
// until then.
func Run(ctx context.Context, adapter l2.Adapter, opts Options) (*Report, error) {
	b := &run{ctx: ctx, adapter: adapter, opts: opts, report: &Report{}}
	if b.opts.Log == nil {
		b.opts.Log = func(string, ...any) {}
	}
	for _, step := range []struct {
		op  string
		run func() error
	}{{OpStore, b.store}, {OpLookup, b.lookup}, {OpLoad, b.load}} {
		if opts.Runs(step.op) {
			if err := step.run(); err != nil {
				return b.report, fmt.Errorf("%s: %w", step.op, err)
			}
		}
	}
	return b.report, nil
}

type run struct {
	ctx     context.Context
	adapter l2.Adapter
	opts    Options
	report  *Report
}

func (b *run) keysPerRound() int { return b.opts.InFlight * b.opts.NumKeys }

// keys returns n keys from index first on. They are those of the peer, so that
// one program can load what the other has stored.
func keys(first, n int) []kv.Key {
	out := make([]kv.Key, n)
	for i := range out {
		var hash [16]byte
		v := uint64(first + i)
		for at := 15; v > 0; at-- {
			hash[at] = byte(v)
			v >>= 8
		}
		out[i] = kv.Key{ChunkHash: string(hash[:]), Model: "bench-model", KVRank: int64(first + i)}
	}
	return out
}

// roundKeys returns the keys that round r stores or loads.
func (b *run) roundKeys(r int) []kv.Key { return keys(r*b.keysPerRound(), b.keysPerRound()) }

// lookupKeys returns the keys that round r looks up: first those that may be
// there, then some that nobody stores.
func (b *run) lookupKeys(r, hits int) []kv.Key {
	misses := b.keysPerRound() - hits
	never := (b.opts.WarmupRounds + b.opts.Rounds) * b.keysPerRound()
	return append(keys(r*hits, hits), keys(never+r*misses, misses)...)
}

// values cuts memory in the buffers of a round.
func (b *run) values(memory []byte) []kv.Buffer {
	out := make([]kv.Buffer, b.keysPerRound())
	for i := range out {
		start, end := i*b.opts.DataSize, (i+1)*b.opts.DataSize
		out[i] = memory[start:end:end]
	}
	return out
}

// pattern is what every byte of the value at position i of a round is. As with
// the peer it restarts with each task.
func (b *run) pattern(i int) byte { return byte(i % b.opts.NumKeys) }

func fill(buf []byte, c byte) {
	for i := range buf {
		buf[i] = c
	}
}

// parts calls f for each task of a round with the range of its keys.
func (b *run) parts(f func(from, to int) error) error {
	for from := 0; from < b.keysPerRound(); from += b.opts.NumKeys {
		if err := f(from, from+b.opts.NumKeys); err != nil {
			return err
		}
	}
	return nil
}

// operation is one kind of task.
type operation struct {
	name   string
	fd     int
	wait   time.Duration
	submit func(round, from, to int) (kv.TaskID, error)
	// collect returns how many keys of a finished task succeeded.
	collect func(pending map[kv.TaskID]int, done func(id kv.TaskID, from, ok int))
	// before and after run outside the measured time. May be nil.
	before func(round int)
	after  func(round int, measured bool)
}

// measure runs all rounds of an operation.
func (b *run) measure(op operation, result *Result) error {
	b.report.Results = append(b.report.Results, result)
	if b.opts.Wait > 0 {
		op.wait = b.opts.Wait
	}
	b.opts.Log("[%s] %d warm-up and %d measured rounds", op.name, b.opts.WarmupRounds, b.opts.Rounds)
	for r := range b.opts.WarmupRounds + b.opts.Rounds {
		measured := r >= b.opts.WarmupRounds
		if op.before != nil {
			op.before(r)
		}
		took, success, err := b.round(op, r)
		timeout := errors.Is(err, ErrTimeout)
		if err != nil && !timeout {
			return err
		}
		if measured {
			result.Success = append(result.Success, success)
			if timeout {
				result.TimedOut++
			} else {
				result.Durations = append(result.Durations, took)
			}
		}
		what := fmt.Sprintf("%.2f ms", took.Seconds()*1e3)
		if timeout {
			what = "timed out"
		}
		b.opts.Log("[%s] round %d: %s, %d of %d keys", op.name, r+1, what, success, b.keysPerRound())
		if timeout {
			// The values are still lent and late results would be taken for
			// those of the next round: nothing more can be measured.
			return err
		}
		if op.after != nil {
			op.after(r, measured)
		}
	}
	return nil
}

// round submits the tasks of one round and waits until all have ended.
func (b *run) round(op operation, r int) (took time.Duration, success int, err error) {
	pending := make(map[kv.TaskID]int, b.opts.InFlight) // the first key of each task
	finished := func(id kv.TaskID, _, ok int) {
		delete(pending, id)
		success += ok
	}
	started := time.Now()
	submitErr := b.parts(func(from, to int) error {
		id, err := op.submit(r, from, to)
		if err == nil {
			pending[id] = from
		}
		return err
	})
	deadline := started.Add(op.wait)
	for len(pending) > 0 {
		if err := waitFD(b.ctx, op.fd, deadline); err != nil {
			return time.Since(started), success, err
		}
		op.collect(pending, finished)
	}
	return time.Since(started), success, submitErr
}

func (b *run) store() error {
	values := b.values(b.opts.StoreMemory)
	for i, v := range values {
		fill(v, b.pattern(i))
	}
	var ks []kv.Key
	return b.measure(operation{
		name:   "Store",
		fd:     b.adapter.StoreEventFD(),
		wait:   120 * time.Second,
		before: func(r int) { ks = b.roundKeys(r) },
		submit: func(_, from, to int) (kv.TaskID, error) {
			return b.adapter.SubmitStoreTask(ks[from:to], values[from:to])
		},
		collect: func(pending map[kv.TaskID]int, done func(kv.TaskID, int, int)) {
			for id, result := range b.adapter.PopCompletedStoreTasks() {
				from, mine := pending[id]
				switch {
				case !mine:
				case result.OK:
					done(id, from, b.opts.NumKeys)
				default:
					b.report.Failed += b.opts.NumKeys
					done(id, from, 0)
				}
			}
		},
	}, b.result("Store", b.opts.DataSize))
}

func (b *run) lookup() error {
	hits := int(float64(b.keysPerRound()) * b.opts.MaxHitRate)
	result := b.result("Lookup", 0)
	result.MaxHitRate = b.opts.MaxHitRate
	result.ExpectedHits = hits * b.opts.Rounds
	var ks, locked []kv.Key
	return b.measure(operation{
		name:   "Lookup",
		fd:     b.adapter.LookupAndLockEventFD(),
		wait:   60 * time.Second,
		before: func(r int) { ks, locked = b.lookupKeys(r, hits), nil },
		submit: func(_, from, to int) (kv.TaskID, error) {
			return b.adapter.SubmitLookupAndLockTask(ks[from:to], map[int64]kv.Layout{0: {}})
		},
		collect: func(pending map[kv.TaskID]int, done func(kv.TaskID, int, int)) {
			for id, from := range pending {
				if bits, ok := b.adapter.QueryLookupAndLockResult(id); ok {
					locked = append(locked, kv.Gather(&bits, ks[from:from+b.opts.NumKeys])...)
					done(id, from, bits.Count())
				}
			}
		},
		after: func(int, bool) {
			if len(locked) > 0 {
				b.adapter.SubmitUnlock(locked)
			}
		},
	}, result)
}

func (b *run) load() error {
	values := b.values(b.opts.LoadMemory)
	loaded := make([]bool, len(values))
	var ks []kv.Key
	return b.measure(operation{
		name: "Load",
		fd:   b.adapter.LoadEventFD(),
		wait: 120 * time.Second,
		before: func(r int) {
			ks = b.roundKeys(r)
			clear(loaded)
			for i, v := range values {
				fill(v, ^b.pattern(i)) // a load that writes nothing must not pass
			}
		},
		submit: func(_, from, to int) (kv.TaskID, error) {
			return b.adapter.SubmitLoadTask(ks[from:to], values[from:to])
		},
		collect: func(pending map[kv.TaskID]int, done func(kv.TaskID, int, int)) {
			for id, from := range pending {
				if bits, ok := b.adapter.QueryLoadResult(id); ok {
					for i := range b.opts.NumKeys {
						loaded[from+i] = bits.Test(i)
					}
					done(id, from, bits.Count())
				}
			}
		},
		after: func(r int, measured bool) {
			if b.opts.Verify && measured {
				b.verify(r, values, loaded)
			}
		},
	}, b.result("Load", b.opts.DataSize))
}

// verify compares what round r has loaded with what its stores wrote. A key that
// did not load counts as wrong only if this run has stored it.
func (b *run) verify(r int, values []kv.Buffer, loaded []bool) {
	wrong := 0
	for i, v := range values {
		if !loaded[i] {
			if b.opts.Runs(OpStore) {
				b.report.Verified++
				wrong++
			}
			continue
		}
		b.report.Verified++
		want := b.pattern(i)
		for at, c := range v {
			if c != want {
				b.opts.Log("[Verify] round %d, key %d: byte %d is %#02x, want %#02x", r+1, i, at, c, want)
				wrong++
				break
			}
		}
	}
	b.report.Mismatches += wrong
	b.opts.Log("[Verify] round %d: %d of %d keys are wrong", r+1, wrong, len(values))
}

func (b *run) result(name string, dataSize int) *Result {
	return &Result{Operation: name, InFlight: b.opts.InFlight, NumKeys: b.opts.NumKeys, DataSize: dataSize}
}
