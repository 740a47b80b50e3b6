package eviction

import "github.com/sixcall/sixcall/bridge/kv"

// LRU evicts the key that was stored or loaded longest ago.
//
// The keys of one batch are the chunks of one text: a later one is useless
// without those before it. So a batch is entered in reverse, its last key being
// the oldest: created [1,2,3] is evicted 3, 2, 1. One goroutine.
type LRU struct {
	tracker tracker
	order   list
}

// NewLRU returns an empty LRU.
func NewLRU() *LRU { return &LRU{tracker: newTracker()} }

// Created implements [Policy].
func (p *LRU) Created(keys []kv.Key, sizes []int64) {
	for i := len(keys) - 1; i >= 0; i-- {
		at, fresh := p.tracker.insert(&keys[i])
		if fresh {
			p.tracker.push(&p.order, at)
		} else {
			p.tracker.renew(&p.order, at)
		}
		p.tracker.node(at).add(sizeAt(sizes, i))
	}
}

// Touched implements [Policy].
func (p *LRU) Touched(keys []kv.Key) {
	for i := len(keys) - 1; i >= 0; i-- {
		if at := p.tracker.find(&keys[i]); at != none {
			p.tracker.renew(&p.order, at)
		}
	}
}

// Removed implements [Policy].
func (p *LRU) Removed(keys []kv.Key) {
	for i := range keys {
		if at := p.tracker.find(&keys[i]); at != none {
			p.tracker.unlink(&p.order, at)
			p.tracker.drop(at)
		}
	}
}

// Victims implements [Policy].
func (p *LRU) Victims(want Want) ([]Victim, error) { return p.tracker.oldest(&p.order, want), nil }

// Len implements [Policy].
func (p *LRU) Len() int { return p.order.keys }

// FIFO evicts the key that was first stored longest ago, whatever happened to it
// since. It is here to compare others with; a configuration cannot name it. One
// goroutine.
type FIFO struct{ LRU }

// NewFIFO returns an empty FIFO.
func NewFIFO() *FIFO { return &FIFO{*NewLRU()} }

// Created implements [Policy]. A batch is entered in reverse, as in [LRU].
func (p *FIFO) Created(keys []kv.Key, sizes []int64) {
	for i := len(keys) - 1; i >= 0; i-- {
		at, fresh := p.tracker.insert(&keys[i])
		if fresh {
			p.tracker.push(&p.order, at)
		}
		p.tracker.node(at).add(sizeAt(sizes, i))
	}
}

// Touched implements [Policy].
func (*FIFO) Touched([]kv.Key) {}
