package faultinject

import (
	"errors"
	"maps"
	"sync"

	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/bridge/kv"
)

const typeName = "FaultInjectL2Adapter"

// Adapter is an adapter that drops keys from the results of its loads. Their
// values are loaded all the same, and listeners hear of them. All else is the
// inner adapter's. Safe for concurrent use.
type Adapter struct {
	l2.Adapter
	opts Options

	mu sync.Mutex // guards dropped
	// dropped holds the positions of each load that loses some, until its result
	// is taken.
	dropped map[kv.TaskID]kv.Bitmap
}

// New returns an adapter on inner, which it owns from now on: Close closes it.
// After a failed New inner is still the caller's.
func New(inner l2.Adapter, opts Options) (*Adapter, error) {
	if inner == nil {
		return nil, &kv.Error{Op: "create", Connector: typeName, Code: kv.Config, Err: errors.New("inner is nil, want an adapter")}
	}
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	return &Adapter{Adapter: inner, opts: opts.clone(), dropped: map[kv.TaskID]kv.Bitmap{}}, nil
}

// Inner returns the adapter that does the work.
func (a *Adapter) Inner() l2.Adapter { return a.Adapter }

// SubmitLoadTask implements [l2.Adapter].
func (a *Adapter) SubmitLoadTask(keys []kv.Key, bufs []kv.Buffer) (kv.TaskID, error) {
	dropped := a.opts.Dropped(keys) // before the submit: keys are the caller's after it
	id, err := a.Adapter.SubmitLoadTask(keys, bufs)
	if err == nil && dropped.Count() > 0 {
		a.mu.Lock()
		a.dropped[id] = dropped
		a.mu.Unlock()
	}
	return id, err
}

// QueryLoadResult implements [l2.Adapter], without the dropped bits.
func (a *Adapter) QueryLoadResult(id kv.TaskID) (kv.Bitmap, bool) {
	bits, ok := a.Adapter.QueryLoadResult(id)
	if !ok {
		return bits, false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	dropped := a.dropped[id]
	delete(a.dropped, id)
	for _, i := range dropped.Indices() {
		bits.Clear(i)
	}
	return bits, true
}

// Status implements [l2.Adapter]: the inner adapter's, and what is injected.
func (a *Adapter) Status() map[string]any {
	status := maps.Clone(a.Adapter.Status())
	if status == nil {
		status = map[string]any{}
	}
	opts := a.opts.clone()
	status["fault_inject"] = map[string]any{
		"rate":            opts.Rate,
		"seed":            opts.Seed,
		"gap_indices":     opts.GapIndices,
		"gap_tail_ratios": opts.GapTailRatios,
	}
	return status
}
