package eviction_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/l2/eviction"
	"github.com/sixcall/sixcall/bridge/kv"
)

// The models are policies written down as plainly as possible: slices of keys,
// oldest first, searched from the front.

// chain is one such slice.
type chain []kv.Key

func (c chain) has(k kv.Key) bool { return slices.Contains(c, k) }

func (c *chain) without(k kv.Key) {
	*c = slices.DeleteFunc(*c, func(o kv.Key) bool { return o == k })
}

func (c *chain) newest(k kv.Key) {
	c.without(k)
	*c = append(*c, k)
}

func reversed(keys []kv.Key) []kv.Key {
	keys = slices.Clone(keys)
	slices.Reverse(keys)
	return keys
}

// model is what the tests need of one.
type model interface {
	created(keys []kv.Key)
	touched(keys []kv.Key)
	removed(keys []kv.Key)
	// order returns the first n victims among those that skip allows.
	order(salt string, n int, skip func(kv.Key) bool) []kv.Key
	len() int
}

// lruModel is LRU, FIFO and, per salt, IsolatedLRU.
type lruModel struct {
	order_ chain
	fifo   bool
}

func (m *lruModel) created(keys []kv.Key) {
	for _, k := range reversed(keys) {
		if !m.fifo || !m.order_.has(k) {
			m.order_.newest(k)
		}
	}
}

func (m *lruModel) touched(keys []kv.Key) {
	for _, k := range reversed(keys) {
		if !m.fifo && m.order_.has(k) {
			m.order_.newest(k)
		}
	}
}

func (m *lruModel) removed(keys []kv.Key) {
	for _, k := range keys {
		m.order_.without(k)
	}
}

func (m *lruModel) order(_ string, n int, skip func(kv.Key) bool) []kv.Key {
	out := slices.DeleteFunc(slices.Clone(m.order_), skip)
	return out[:min(n, len(out))]
}

func (m *lruModel) len() int { return len(m.order_) }

// isolatedModel has a model per salt.
type isolatedModel map[string]*lruModel

func (m isolatedModel) each(keys []kv.Key, f func(*lruModel, []kv.Key)) {
	for _, k := range reversed(keys) {
		if m[k.Salt] == nil {
			m[k.Salt] = &lruModel{}
		}
		f(m[k.Salt], []kv.Key{k})
	}
}

func (m isolatedModel) created(keys []kv.Key) { m.each(keys, (*lruModel).created) }
func (m isolatedModel) touched(keys []kv.Key) { m.each(keys, (*lruModel).touched) }
func (m isolatedModel) removed(keys []kv.Key) { m.each(keys, (*lruModel).removed) }

func (m isolatedModel) order(salt string, n int, skip func(kv.Key) bool) []kv.Key {
	if m[salt] == nil {
		return nil
	}
	return m[salt].order(salt, n, skip)
}

func (m isolatedModel) len() int {
	n := 0
	for _, one := range m {
		n += one.len()
	}
	return n
}

// arcModel follows the contract's words: T1 and T2 stored, B1 and B2 ghosts.
type arcModel struct {
	t1, t2, b1, b2 chain
	asked          map[kv.Key]bool // by order, since they were created
	p              float64
	capacity       int
}

func (m *arcModel) len() int { return len(m.t1) + len(m.t2) }

func (m *arcModel) created(keys []kv.Key) {
	for _, k := range reversed(keys) {
		delete(m.asked, k)
		switch {
		case m.t1.has(k), m.t2.has(k):
			m.t1.without(k)
			m.t2.newest(k)
		case m.b1.has(k):
			m.p = min(m.p+max(1, float64(len(m.b2))/float64(len(m.b1))), float64(m.capacity))
			m.b1.without(k)
			m.t2.newest(k)
		case m.b2.has(k):
			m.p = max(m.p-max(1, float64(len(m.b1))/float64(len(m.b2))), 0)
			m.b2.without(k)
			m.t2.newest(k)
		default:
			m.t1.newest(k)
		}
		m.capacity = max(m.capacity, m.len())
		m.bound()
	}
}

func (m *arcModel) touched(keys []kv.Key) {
	for _, k := range reversed(keys) {
		if m.t1.has(k) || m.t2.has(k) {
			m.t1.without(k)
			m.t2.newest(k)
		}
	}
}

func (m *arcModel) removed(keys []kv.Key) {
	for _, k := range keys {
		one, two := m.t1.has(k), m.t2.has(k)
		m.t1.without(k)
		m.t2.without(k)
		if one && m.asked[k] {
			m.b1.newest(k)
		}
		if two && m.asked[k] {
			m.b2.newest(k)
		}
		delete(m.asked, k)
	}
	m.bound()
}

func (m *arcModel) bound() {
	for len(m.b1) > 0 && len(m.t1)+len(m.b1) > m.capacity {
		m.b1 = m.b1[1:]
	}
	for m.len()+len(m.b1)+len(m.b2) > 2*m.capacity && len(m.b1)+len(m.b2) > 0 {
		if len(m.b2) > 0 {
			m.b2 = m.b2[1:]
		} else {
			m.b1 = m.b1[1:]
		}
	}
}

func (m *arcModel) order(_ string, n int, skip func(kv.Key) bool) (out []kv.Key) {
	one := slices.DeleteFunc(slices.Clone(m.t1), skip)
	two := slices.DeleteFunc(slices.Clone(m.t2), skip)
	for left := len(m.t1); len(out) < n && len(one)+len(two) > 0; {
		if (left >= int(m.p) || len(two) == 0) && len(one) > 0 {
			out, one = append(out, one[0]), one[1:]
			left--
			continue
		}
		out, two = append(out, two[0]), two[1:]
	}
	for _, k := range out {
		m.asked[k] = true
	}
	return out
}

// TestPoliciesAgainstModels does random things to a policy and its model and
// compares every answer.
func TestPoliciesAgainstModels(t *testing.T) {
	for name, pair := range map[string]func() (eviction.Policy, model){
		"LRU":         func() (eviction.Policy, model) { return eviction.NewLRU(), &lruModel{} },
		"FIFO":        func() (eviction.Policy, model) { return eviction.NewFIFO(), &lruModel{fifo: true} },
		"IsolatedLRU": func() (eviction.Policy, model) { return eviction.NewIsolatedLRU(), isolatedModel{} },
		"ARC":         func() (eviction.Policy, model) { return eviction.NewARC(), &arcModel{asked: map[kv.Key]bool{}} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(20) {
				policy, m := pair()
				compare(t, seed, policy, m)
			}
		})
	}
}

func compare(t *testing.T, seed uint64, policy eviction.Policy, m model) {
	rng := rand.New(rand.NewPCG(seed, 1))
	universe := make([]kv.Key, 8<<(seed%5))
	salts := []string{"", "a", "b"}
	for i := range universe {
		universe[i] = salted(rng.IntN(1<<30), salts[rng.IntN(len(salts))])
		switch rng.IntN(8) {
		case 0:
			universe[i].ChunkHash = strings.Repeat(universe[i].ChunkHash, 5) // 40 bytes
		case 1:
			universe[i].KVRank = int64(rng.IntN(3))
		}
	}
	var history []string
	for step := range 600 {
		batch := make([]kv.Key, rng.IntN(6))
		for i := range batch {
			batch[i] = universe[rng.IntN(len(universe))]
		}
		salt := salts[rng.IntN(len(salts))]
		banned := rng.IntN(3)
		skip := func(k kv.Key) bool { return banned > 0 && k.ChunkHash[7]%4 == byte(banned) }
		want := eviction.Want{Keys: rng.IntN(8)}
		if banned > 0 {
			want.Skip = skip
		}
		op := rng.IntN(10)
		history = append(history, fmt.Sprintf("step %d: op %d, salt %q, %d keys, want %d, banned %d", step, op, salt, len(batch), want.Keys, banned))
		switch {
		case op < 4:
			policy.Created(batch, nil)
			m.created(batch)
			if n := policy.Len() - 6; n > 0 && seed%2 == 1 && salt == "" { // pressure
				if _, isolated := policy.(eviction.SaltPolicy); !isolated {
					got := victims(t, policy, eviction.Want{Keys: n})
					require.Equal(t, m.order("", n, func(kv.Key) bool { return false }), got)
					policy.Removed(got)
					m.removed(got)
				}
			}
		case op < 6:
			policy.Touched(batch)
			m.touched(batch)
		case op < 7:
			policy.Removed(batch)
			m.removed(batch)
		default:
			var got []kv.Key
			if p, ok := policy.(eviction.SaltPolicy); ok {
				got = keysOf(p.VictimsOf(salt, want))
			} else {
				got = victims(t, policy, want)
			}
			expected := m.order(salt, want.Keys, skip)
			if !slices.Equal(expected, got) {
				t.Fatalf("seed %d: want victims %v, got %v\n%s", seed, expected, got, strings.Join(history[max(0, len(history)-20):], "\n"))
			}
			if op > 7 { // some of them are really removed
				got = got[:rng.IntN(len(got)+1)]
				policy.Removed(got)
				m.removed(got)
			}
		}
		require.Equal(t, m.len(), policy.Len(), "seed %d, step %d", seed, step)
	}
}
