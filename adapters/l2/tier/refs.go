package tier

import (
	"context"
	"sync"
)

// refs counts uses of something that may end only when nobody uses it. The zero
// value is ready. Safe for concurrent use.
type refs struct {
	mu   sync.Mutex // guards what follows
	n    int
	idle chan struct{} // closed when n falls to 0; nil while nobody waits
}

func (r *refs) add(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n += n
}

func (r *refs) done() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n--
	switch {
	case r.n < 0:
		panic("tier: a use was ended twice")
	case r.n == 0 && r.idle != nil:
		close(r.idle)
		r.idle = nil
	}
}

func (r *refs) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.n
}

// wait returns nil when nobody uses it, or the error of ctx.
func (r *refs) wait(ctx context.Context) error {
	for {
		r.mu.Lock()
		if r.n == 0 {
			r.mu.Unlock()
			return nil
		}
		if r.idle == nil {
			r.idle = make(chan struct{})
		}
		idle := r.idle
		r.mu.Unlock()
		select {
		case <-idle:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
