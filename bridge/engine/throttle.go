package engine

import (
	"sync"
	"time"
)

// Throttle keeps logs readable when something fails again and again: of each kind of
// line one passes in ten seconds. The zero value is ready to use. Safe for
// concurrent use.
type Throttle struct {
	mu   sync.Mutex // guards what follows
	last map[string]*throttled
}

type throttled struct {
	at    time.Time
	quiet int
}

const throttleEvery = 10 * time.Second

// Pass reports whether a line of this kind is written now, and how many of it were
// not since the last one.
func (t *Throttle) Pass(kind string) (ok bool, quiet int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == nil {
		t.last = map[string]*throttled{}
	}
	now := time.Now()
	k := t.last[kind]
	if k == nil {
		t.last[kind] = &throttled{at: now}
		return true, 0
	}
	if now.Sub(k.at) < throttleEvery {
		k.quiet++
		return false, 0
	}
	quiet = k.quiet
	k.at, k.quiet = now, 0
	return true, quiet
}
