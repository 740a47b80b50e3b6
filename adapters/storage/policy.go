package storage

import (
	"container/list"
	"fmt"
	"strings"

	"github.com/sixcall/sixcall/bridge/engine"
)

// policy keeps the order in which keys are evicted. The caller has a mutex.
type policy interface {
	added(k engine.Key)
	used(k engine.Key)
	removed(k engine.Key)
	// victim returns the first key for which ok is true.
	victim(ok func(engine.Key) bool) (engine.Key, bool)
}

// newPolicy returns the policy of that name, in any case.
func newPolicy(name string) (policy, error) {
	switch strings.ToUpper(name) {
	case "LRU":
		return newListPolicy(true, false), nil
	case "FIFO":
		return newListPolicy(false, false), nil
	case "MRU":
		return newListPolicy(true, true), nil
	case "LFU":
		return &lfu{counts: map[engine.Key]*list.Element{}, order: list.New()}, nil
	}
	return nil, fmt.Errorf("cache_policy is %q, want LRU, LFU, FIFO or MRU", name)
}

// listPolicy is LRU, FIFO and MRU: a list, oldest first.
type listPolicy struct {
	order  *list.List
	places map[engine.Key]*list.Element
	moves  bool // a use makes a key the newest
	newest bool // the newest goes first
}

func newListPolicy(moves, newest bool) *listPolicy {
	return &listPolicy{order: list.New(), places: map[engine.Key]*list.Element{}, moves: moves, newest: newest}
}

func (p *listPolicy) added(k engine.Key) {
	if e := p.places[k]; e != nil {
		p.order.Remove(e)
	}
	p.places[k] = p.order.PushBack(k)
}

func (p *listPolicy) used(k engine.Key) {
	if e := p.places[k]; e != nil && p.moves {
		p.order.MoveToBack(e)
	}
}

func (p *listPolicy) removed(k engine.Key) {
	if e := p.places[k]; e != nil {
		p.order.Remove(e)
		delete(p.places, k)
	}
}

func (p *listPolicy) victim(ok func(engine.Key) bool) (engine.Key, bool) {
	first, next := p.order.Front(), (*list.Element).Next
	if p.newest {
		first, next = p.order.Back(), (*list.Element).Prev
	}
	for e := first; e != nil; e = next(e) {
		if k := e.Value.(engine.Key); ok(k) {
			return k, true
		}
	}
	return engine.Key{}, false
}

// lfu evicts what was used least, and of those the oldest. Its list is sorted by
// uses, and by age among equals.
type lfu struct {
	order  *list.List // of *counted
	counts map[engine.Key]*list.Element
}

type counted struct {
	key  engine.Key
	uses int
}

func (p *lfu) added(k engine.Key) {
	p.removed(k)
	p.place(&counted{key: k, uses: 1}, p.order.Front())
}

// place puts c behind all with as many uses, looking from e on.
func (p *lfu) place(c *counted, e *list.Element) {
	for ; e != nil; e = e.Next() {
		if e.Value.(*counted).uses > c.uses {
			p.counts[c.key] = p.order.InsertBefore(c, e)
			return
		}
	}
	p.counts[c.key] = p.order.PushBack(c)
}

func (p *lfu) used(k engine.Key) {
	e := p.counts[k]
	if e == nil {
		return
	}
	c, next := e.Value.(*counted), e.Next()
	p.order.Remove(e)
	c.uses++
	p.place(c, next)
}

func (p *lfu) removed(k engine.Key) {
	if e := p.counts[k]; e != nil {
		p.order.Remove(e)
		delete(p.counts, k)
	}
}

func (p *lfu) victim(ok func(engine.Key) bool) (engine.Key, bool) {
	for e := p.order.Front(); e != nil; e = e.Next() {
		if k := e.Value.(*counted).key; ok(k) {
			return k, true
		}
	}
	return engine.Key{}, false
}
