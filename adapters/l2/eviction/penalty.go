package eviction

import "github.com/sixcall/sixcall/bridge/kv"

const (
	// firstPenalty and maxPenalty are for how many attempts a key is skipped that
	// could not be removed: pinned by a load, or failed. It doubles each time.
	firstPenalty = 4
	maxPenalty   = 64
	// maxPenalties bounds the memory, to about 10 MB per adapter. Where even more
	// keys fail it is not the keys.
	maxPenalties = 1 << 16
)

// penalties remember the keys that could not be removed, so that those behind
// them get their turn. The zero value is empty. One goroutine.
type penalties struct {
	now    int64 // the present attempt
	keys   map[kv.Key]penalty
	purged int64 // the attempt of the last purge
}

type penalty struct {
	until  int64 // the last attempt that skips the key
	length int64 // of this penalty, in attempts
}

// applies reports whether a key is to be skipped now.
func (p *penalties) applies(k kv.Key) bool {
	v, ok := p.keys[k]
	return ok && v.until >= p.now
}

// impose punishes a key, for longer than the last time.
func (p *penalties) impose(k kv.Key) {
	old, known := p.keys[k]
	if !known && len(p.keys) >= maxPenalties && !p.purge() {
		return
	}
	if p.keys == nil {
		p.keys = map[kv.Key]penalty{}
	}
	length := min(max(2*old.length, firstPenalty), maxPenalty)
	p.keys[k] = penalty{until: p.now + length, length: length}
}

// forgive forgets a key.
func (p *penalties) forgive(k kv.Key) { delete(p.keys, k) }

// purge makes room by forgetting penalties that are over, once per attempt.
func (p *penalties) purge() bool {
	if p.purged == p.now {
		return false
	}
	p.purged = p.now
	for k, v := range p.keys {
		if v.until < p.now {
			delete(p.keys, k)
		}
	}
	return len(p.keys) < maxPenalties
}

// active returns how many keys are being skipped.
func (p *penalties) active() int {
	n := 0
	for _, v := range p.keys {
		if v.until >= p.now {
			n++
		}
	}
	return n
}
