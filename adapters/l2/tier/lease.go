package tier

import "github.com/sixcall/sixcall/bridge/kv"

// lease is what one lookup left with a request: pins at one member, each of
// which is returned exactly once. It counts as a use of the member until its
// end. One goroutine at a time.
type lease struct {
	m    *member
	keys []kv.Key  // of the whole request
	held kv.Bitmap // the cells whose pin is still ours
	over bool
}

// keep returns the pins of all cells but those of want, with one call.
func (l *lease) keep(want *kv.Bitmap) {
	others := want.Not()
	drop := l.held.And(&others)
	l.m.giveBack(l.keys, &drop)
	l.held = l.held.And(want)
}

// end returns what is left and lets go of the member. Further calls do nothing.
func (l *lease) end() {
	if l.over {
		return
	}
	l.over = true
	l.m.giveBack(l.keys, &l.held)
	l.m.uses.done()
}

// handOver moves the pins, and the use of the member, into a lease of its own
// for another goroutine.
func (l *lease) handOver() *lease {
	moved := *l
	l.held, l.over = kv.NewBitmap(len(l.keys)), true
	return &moved
}
