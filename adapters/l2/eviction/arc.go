package eviction

import "github.com/sixcall/sixcall/bridge/kv"

// ARC balances recency and frequency: the adaptive replacement cache of Megiddo
// and Modha, without a fixed capacity and without a miss that asks for the room.
//
// T1 has the stored keys that were seen once, T2 those seen more often. B1 and B2
// remember ghosts: keys that left T1 or T2 because ARC chose them. A ghost that
// is stored again says that its list was cut too short, and moves the target size
// of T1. Capacity is the largest number of stored keys so far; T1 and B1 together
// hold no more than that, all four lists no more than twice that.
//
// Keys count, not bytes. A batch is entered in reverse, as in [LRU]. One goroutine.
type ARC struct {
	tracker  tracker
	lists    [4]list
	target   float64 // of T1, in keys, 0..capacity
	capacity int
}

// The lists of ARC, oldest key first.
const (
	t1 = iota
	t2
	b1
	b2
)

// chosen marks a key that Victims returned: its removal makes it a ghost.
const chosen = 1

// NewARC returns an empty ARC.
func NewARC() *ARC { return &ARC{tracker: newTracker()} }

// Created implements [Policy]. Storing a stored key again counts as a load.
func (p *ARC) Created(keys []kv.Key, sizes []int64) {
	for i := len(keys) - 1; i >= 0; i-- {
		at, fresh := p.tracker.insert(&keys[i])
		n := p.tracker.node(at)
		switch {
		case fresh:
			p.enter(at, t1)
		case n.list == b1:
			p.target = min(p.target+p.step(b1, b2), float64(p.capacity))
			p.move(at, t2)
		case n.list == b2:
			p.target = max(p.target-p.step(b2, b1), 0)
			p.move(at, t2)
		default:
			p.move(at, t2)
		}
		n.add(sizeAt(sizes, i))
		n.flags &^= chosen
		p.capacity = max(p.capacity, p.Len())
		p.trim()
	}
}

// step is how far a hit in one ghost list moves the target.
func (p *ARC) step(hit, other int) float64 {
	return max(1, float64(p.lists[other].keys)/float64(p.lists[hit].keys))
}

// Touched implements [Policy].
func (p *ARC) Touched(keys []kv.Key) {
	for i := len(keys) - 1; i >= 0; i-- {
		if at := p.stored(&keys[i]); at != none {
			p.move(at, t2)
		}
	}
}

// Removed implements [Policy]. A key that Victims chose becomes a ghost, another
// one is forgotten. Ghosts are not stored, so they are unknown here.
func (p *ARC) Removed(keys []kv.Key) {
	for i := range keys {
		at := p.stored(&keys[i])
		if at == none {
			continue
		}
		n := p.tracker.node(at)
		if n.flags&chosen == 0 {
			p.forget(at)
			continue
		}
		n.flags &^= chosen
		n.size = 0
		p.move(at, n.list+b1-t1)
	}
	p.trim()
}

// Victims implements [Policy]. They come from T1 while it is not smaller than its
// target, then from T2; from the other one when there is nothing to take.
func (p *ARC) Victims(want Want) ([]Victim, error) {
	pick := picker{want: want}
	recent, frequent, left := p.lists[t1].head, p.lists[t2].head, p.lists[t1].keys
	for !pick.done() {
		at := uint32(none)
		if left >= int(p.target) {
			if at = pick.next(&p.tracker, &recent); at != none {
				left--
			}
		}
		if at == none {
			at = pick.next(&p.tracker, &frequent)
		}
		if at == none {
			if at = pick.next(&p.tracker, &recent); at == none {
				break
			}
			left--
		}
		p.tracker.node(at).flags |= chosen
	}
	return pick.victims, nil
}

// Len implements [Policy].
func (p *ARC) Len() int { return p.lists[t1].keys + p.lists[t2].keys }

// stored returns the node of a key in T1 or T2.
func (p *ARC) stored(k *kv.Key) uint32 {
	at := p.tracker.find(k)
	if at != none && p.tracker.node(at).list >= b1 {
		return none
	}
	return at
}

func (p *ARC) enter(at uint32, to uint32) {
	p.tracker.node(at).list = to
	p.tracker.push(&p.lists[to], at)
}

func (p *ARC) move(at uint32, to uint32) {
	p.tracker.unlink(&p.lists[p.tracker.node(at).list], at)
	p.enter(at, to)
}

func (p *ARC) forget(at uint32) {
	p.tracker.unlink(&p.lists[p.tracker.node(at).list], at)
	p.tracker.drop(at)
}

// trim bounds the ghosts.
func (p *ARC) trim() {
	for p.lists[b1].keys > 0 && p.lists[t1].keys+p.lists[b1].keys > p.capacity {
		p.forget(p.lists[b1].head)
	}
	for p.tracker.keys > 2*p.capacity {
		switch {
		case p.lists[b2].keys > 0:
			p.forget(p.lists[b2].head)
		case p.lists[b1].keys > 0:
			p.forget(p.lists[b1].head)
		default:
			return
		}
	}
}
