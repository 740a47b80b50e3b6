package bridge

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/sixcall/sixcall/bridge/kv"
)

// Listener learns what happened to keys. Calls come one at a time, in the order
// in which operations were accounted, on a goroutine of their own: a listener
// may take its time and may use the bridge, but not close it. A panic is caught,
// logged and counted.
type Listener interface {
	// KeysStored: sizes[i] is what keys[i] added to the usage, in bytes; 0 when
	// it was already stored with that size, negative when it was larger.
	KeysStored(keys []kv.Key, sizes []int64)
	// KeysAccessed: these keys were loaded.
	KeysAccessed(keys []kv.Key)
	// KeysDeleted: these accounted keys are gone.
	KeysDeleted(keys []kv.Key)
}

// event is one call of every listener.
type event struct {
	on    bool // somebody listens
	kind  Kind
	keys  []kv.Key
	sizes []int64
}

// add records key at of the task, if somebody listens.
func (e *event) add(t *task, at int, size int64) {
	if !e.on {
		return
	}
	e.keys = append(e.keys, t.keys[at])
	e.sizes = append(e.sizes, size)
}

// dispatcher runs listeners. Safe for concurrent use.
type dispatcher struct {
	active atomic.Bool // a listener exists
	panics *atomic.Int64
	log    *zap.Logger
	wg     sync.WaitGroup

	mu        sync.Mutex // guards what follows
	wake      sync.Cond
	listeners []Listener
	queue     []event
	stopped   bool
}

func (d *dispatcher) start(panics *atomic.Int64, log *zap.Logger) {
	d.panics, d.log = panics, log
	d.wake.L = &d.mu
	d.wg.Go(d.run)
}

func (d *dispatcher) listening() bool { return d.active.Load() }

func (d *dispatcher) add(l Listener) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.listeners = append(d.listeners, l)
	d.active.Store(true)
}

// post queues an event, if it has keys and anybody listens.
func (d *dispatcher) post(e event) {
	if len(e.keys) == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queue = append(d.queue, e)
	d.wake.Signal()
}

// stop delivers what is queued and ends the goroutine.
func (d *dispatcher) stop() {
	d.mu.Lock()
	d.stopped = true
	d.wake.Signal()
	d.mu.Unlock()
	d.wg.Wait()
}

func (d *dispatcher) run() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		for len(d.queue) == 0 {
			if d.stopped {
				return
			}
			d.wake.Wait()
		}
		queue, listeners := d.queue, slices.Clone(d.listeners)
		d.queue = nil
		d.mu.Unlock()
		for _, e := range queue {
			for _, l := range listeners {
				d.call(l, e)
			}
		}
		d.mu.Lock()
	}
}

func (d *dispatcher) call(l Listener, e event) {
	defer func() {
		if p := recover(); p != nil {
			d.panics.Add(1)
			d.log.Error("listener panicked", zap.String("listener", fmt.Sprintf("%T", l)), zap.Any("panic", p), zap.Stack("stack"))
		}
	}()
	switch e.kind {
	case Store:
		l.KeysStored(e.keys, e.sizes)
	case Load:
		l.KeysAccessed(e.keys)
	case Delete:
		l.KeysDeleted(e.keys)
	}
}
