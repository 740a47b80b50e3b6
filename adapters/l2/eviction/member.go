package eviction

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/sixcall/sixcall/bridge/kv"
)

// member is one adapter and what eviction knows of it. Safe for concurrent use.
type member struct {
	id     string
	target Target
	config Config
	off    string // why nothing is evicted, "" = it is; set before first use

	// token is held by whoever makes a pass; it guards what follows. It comes
	// before mu, and the adapter, callbacks and the logger are used under it.
	token    chan struct{}
	detached bool
	starving bool // the last pass found nothing to take
	pause    int  // cycles to sit out
	chunk    int  // keys of one delete; smaller after the adapter was busy
	maxChunk int

	mu sync.Mutex // guards what follows; a leaf, held for work in memory only
	// policy is nil once the member was removed.
	policy Policy
	// trial has the keys of the delete that runs, until an event tells their fate.
	trial map[kv.Key]Victim
	heard []Victim // of the trial, those that an event called deleted
	// told has room for one signal: heard has grown.
	told      chan struct{}
	penalties penalties
	stats     Stats
}

func newMember(id string, target Target, config Config, policy Policy, batch int) *member {
	return &member{
		id: id, target: target, config: config, policy: policy,
		token: make(chan struct{}, 1), told: make(chan struct{}, 1),
		chunk: batch, maxChunk: batch,
	}
}

// enter takes the token, unless ctx ends first.
func (m *member) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case m.token <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m *member) leave() { <-m.token }

// detach waits for the pass that runs and makes it the last.
func (m *member) detach() {
	m.token <- struct{}{}
	defer m.leave()
	m.detached = true
	m.mu.Lock()
	defer m.mu.Unlock()
	m.policy, m.penalties = nil, penalties{}
}

// panicked is a panic of an adapter or a callback.
type panicked struct {
	value any
	stack []byte
}

// Error is without the stack, which is for the log.
func (p *panicked) Error() string { return fmt.Sprintf("panic: %v", p.value) }

// guard runs code that is not ours and makes an error of its panic.
func (m *member) guard(op string, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			m.mu.Lock()
			m.stats.Panics++
			m.mu.Unlock()
			err = fmt.Errorf("%s: %w", op, &panicked{p, debug.Stack()})
		}
	}()
	return f()
}

// usage asks the adapter.
func (m *member) usage() (u kv.Usage, err error) {
	err = m.guard("usage", func() error { u = m.target.Usage(); return nil })
	return u, err
}

// count changes the counters.
func (m *member) count(f func(s *Stats)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(&m.stats)
}

// listener hears an adapter for a member: [l2.Listener] without making its
// methods part of the member.
type listener struct{ m *member }

// KeysStored implements [l2.Listener].
func (l listener) KeysStored(keys []kv.Key, sizes []int64) {
	m := l.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.policy == nil {
		return
	}
	m.policy.Created(keys, sizes)
	if len(m.trial) > 0 {
		for _, k := range keys {
			delete(m.trial, k) // it lives, whatever the delete says of it
		}
	}
}

// KeysAccessed implements [l2.Listener].
func (l listener) KeysAccessed(keys []kv.Key) {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	if l.m.policy != nil {
		l.m.policy.Touched(keys)
	}
}

// KeysDeleted implements [l2.Listener].
func (l listener) KeysDeleted(keys []kv.Key) {
	m := l.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.policy == nil {
		return
	}
	m.policy.Removed(keys)
	for _, k := range keys {
		m.penalties.forgive(k)
		if v, ok := m.trial[k]; ok {
			delete(m.trial, k)
			m.heard = append(m.heard, v)
		}
	}
	select {
	case m.told <- struct{}{}:
	default:
	}
}
