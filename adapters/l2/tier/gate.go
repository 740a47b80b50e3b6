package tier

import (
	"context"
	"slices"
	"sync"
)

// gate lets a limited amount of work in, first come, first served. Work that is
// larger than the limit enters alone. Safe for concurrent use.
type gate struct {
	limit int64 // 0 = none

	mu    sync.Mutex // guards what follows
	used  int64
	queue []*entrant // oldest first
}

// entrant waits at a gate.
type entrant struct {
	amount int64
	in     chan struct{} // closed when it was let in
}

// enter waits until n more fit, or returns the error of ctx. After nil the
// caller must leave.
func (g *gate) enter(ctx context.Context, n int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	g.mu.Lock()
	if len(g.queue) == 0 && g.fits(n) {
		g.used += n
		g.mu.Unlock()
		return nil
	}
	e := &entrant{n, make(chan struct{})}
	g.queue = append(g.queue, e)
	g.mu.Unlock()
	select {
	case <-e.in:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(g.queue, e); i >= 0 {
		g.queue = slices.Delete(g.queue, i, i+1)
	} else {
		g.used -= n // it was let in at the same moment
	}
	g.advance()
	return ctx.Err()
}

// tryEnter lets n more in if they fit now and nobody waits.
func (g *gate) tryEnter(n int64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.queue) > 0 || !g.fits(n) {
		return false
	}
	g.used += n
	return true
}

func (g *gate) leave(n int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.used -= n
	g.advance()
}

func (g *gate) fits(n int64) bool { return g.limit == 0 || g.used == 0 || g.used+n <= g.limit }

// advance lets in who is first and fits. g.mu is held.
func (g *gate) advance() {
	for len(g.queue) > 0 && g.fits(g.queue[0].amount) {
		e := g.queue[0]
		g.queue = slices.Delete(g.queue, 0, 1)
		g.used += e.amount
		close(e.in)
	}
}

// level returns how much is in and how many wait.
func (g *gate) level() (used int64, waiting int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.used, len(g.queue)
}
