package eviction

import "github.com/sixcall/sixcall/bridge/kv"

// IsolatedLRU is an [LRU] per salt: what one tenant stores never pushes out what
// another one has. One goroutine.
type IsolatedLRU struct {
	tracker tracker
	lists   []list
	bySalt  map[string]uint32 // number in lists; only salts with keys
	free    []uint32
}

var _ SaltPolicy = (*IsolatedLRU)(nil)

// NewIsolatedLRU returns an empty IsolatedLRU.
func NewIsolatedLRU() *IsolatedLRU {
	return &IsolatedLRU{tracker: newTracker(), bySalt: map[string]uint32{}}
}

// Created implements [Policy].
func (p *IsolatedLRU) Created(keys []kv.Key, sizes []int64) {
	for i := len(keys) - 1; i >= 0; i-- {
		at, fresh := p.tracker.insert(&keys[i])
		n := p.tracker.node(at)
		if fresh {
			n.list = p.listOf(p.tracker.families.all[n.family].key.Salt)
			p.tracker.push(&p.lists[n.list], at)
		} else {
			p.tracker.renew(&p.lists[n.list], at)
		}
		n.add(sizeAt(sizes, i))
	}
}

// Touched implements [Policy].
func (p *IsolatedLRU) Touched(keys []kv.Key) {
	for i := len(keys) - 1; i >= 0; i-- {
		if at := p.tracker.find(&keys[i]); at != none {
			p.tracker.renew(&p.lists[p.tracker.node(at).list], at)
		}
	}
}

// Removed implements [Policy].
func (p *IsolatedLRU) Removed(keys []kv.Key) {
	for i := range keys {
		at := p.tracker.find(&keys[i])
		if at == none {
			continue
		}
		number := p.tracker.node(at).list
		p.tracker.unlink(&p.lists[number], at)
		p.tracker.drop(at)
		if p.lists[number].keys == 0 {
			delete(p.bySalt, keys[i].Salt)
			p.free = append(p.free, number)
		}
	}
}

// Victims implements [Policy]; it is always [ErrNoSalt].
func (p *IsolatedLRU) Victims(Want) ([]Victim, error) { return nil, ErrNoSalt }

// VictimsOf implements [SaltPolicy].
func (p *IsolatedLRU) VictimsOf(salt string, want Want) []Victim {
	number, ok := p.bySalt[salt]
	if !ok {
		return nil
	}
	return p.tracker.oldest(&p.lists[number], want)
}

// Len implements [Policy].
func (p *IsolatedLRU) Len() int { return p.tracker.keys }

// LenOf implements [SaltPolicy].
func (p *IsolatedLRU) LenOf(salt string) int {
	number, ok := p.bySalt[salt]
	if !ok {
		return 0
	}
	return p.lists[number].keys
}

// listOf returns the list of a salt, made if it has none. salt is kept.
func (p *IsolatedLRU) listOf(salt string) uint32 {
	number, ok := p.bySalt[salt]
	if ok {
		return number
	}
	if n := len(p.free); n > 0 {
		number, p.free = p.free[n-1], p.free[:n-1] // an empty list
	} else {
		number = uint32(len(p.lists))
		p.lists = append(p.lists, list{})
	}
	p.bySalt[salt] = number
	return number
}
