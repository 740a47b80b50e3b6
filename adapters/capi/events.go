package main

import (
	"encoding/json"
	"sync"

	"github.com/sixcall/sixcall/bridge/kv"
)

// event is what the host's listeners are told, in the order of the operations.
type event struct {
	Kind  string   `json:"kind"` // stored, accessed or deleted
	Keys  []kv.Key `json:"keys"`
	Sizes []int64  `json:"sizes,omitempty"`
}

// events queues what happened until the host's thread takes it. It is a
// [bridge.Listener].
type events struct {
	mu     sync.Mutex // guards what follows
	wake   *sync.Cond
	queue  []event
	closed bool
}

func newEvents() *events {
	e := &events{}
	e.wake = sync.NewCond(&e.mu)
	return e
}

func (e *events) KeysStored(keys []kv.Key, sizes []int64) { e.post(event{"stored", keys, sizes}) }
func (e *events) KeysAccessed(keys []kv.Key)              { e.post(event{"accessed", keys, nil}) }
func (e *events) KeysDeleted(keys []kv.Key)               { e.post(event{"deleted", keys, nil}) }

func (e *events) post(ev event) {
	ev.Keys, ev.Sizes = append([]kv.Key(nil), ev.Keys...), append([]int64(nil), ev.Sizes...)
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed {
		e.queue = append(e.queue, ev)
		e.wake.Signal()
	}
}

// next waits for events and returns all there are, as JSON; nil after close.
func (e *events) next() []byte {
	e.mu.Lock()
	for len(e.queue) == 0 && !e.closed {
		e.wake.Wait()
	}
	queue := e.queue
	e.queue = nil
	e.mu.Unlock()
	if len(queue) == 0 {
		return nil
	}
	text, err := json.Marshal(queue)
	if err != nil { // a Key always has a JSON form
		return []byte("[]")
	}
	return text
}

func (e *events) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	e.wake.Broadcast()
}
