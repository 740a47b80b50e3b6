package tier_test

import (
	"context"
	"flag"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/l2/tier"
	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
)

var seed = flag.Uint64("seed", 0, "of TestRandomOperations; 0 draws one")

// chaos makes fakes fail, hold, lie and turn deaf at random.
type chaos struct {
	mu   sync.Mutex // guards what follows
	rnd  *rand.Rand
	open []chan struct{} // holds
	calm bool
}

func (c *chaos) script(op string, keys []kv.Key) fault {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calm {
		return fault{}
	}
	var ft fault
	switch n := c.rnd.IntN(100); {
	case n < 10:
		ft.err, ft.beside = errFault, c.rnd.IntN(2) == 0
	case n < 14 && op != "store":
		ft.longer = 1 - 2*c.rnd.IntN(2)
	case n < 20:
		ft.lose = []kv.Key{keys[c.rnd.IntN(len(keys))]}
	}
	if c.rnd.IntN(5) == 0 {
		hold := make(chan struct{})
		c.open = append(c.open, hold)
		ft.hold, ft.deaf, ft.late = hold, c.rnd.IntN(3) == 0, c.rnd.IntN(2) == 0
	}
	return ft
}

// release ends some holds, or all of them and all faults.
func (c *chaos) release(all bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calm = c.calm || all
	for i := 0; i < len(c.open); i++ {
		if all || c.rnd.IntN(4) == 0 {
			close(c.open[i])
			c.open[i] = c.open[len(c.open)-1]
			c.open = c.open[:len(c.open)-1]
			i--
		}
	}
}

// sizeFor is the size of every value of a row, so that rows differ.
func sizeFor(row int) int { return 1 + row*5000 }

// randomRequest asks for chunks of a small universe, one row per rank.
func randomRequest(rnd *rand.Rand) tier.Request {
	req := tier.Request{Policy: tier.Policy(rnd.IntN(2))}
	columns, first := 1+rnd.IntN(10), rnd.IntN(20)
	for row := range 1 + rnd.IntN(3) {
		r := tier.Row{Size: sizeFor(row)}
		for c := range columns {
			k := bridgetest.Key(first + c)
			k.KVRank = int64(row)
			r.Keys = append(r.Keys, k)
		}
		if req.Policy == tier.Prefix {
			r.Window = rnd.IntN(3)
		}
		req.Rows = append(req.Rows, r)
	}
	return req
}

// randomContext returns a context that may end early.
func randomContext(rnd *rand.Rand) (context.Context, context.CancelFunc) {
	if rnd.IntN(3) > 0 {
		return context.WithCancel(background)
	}
	return context.WithTimeout(background, time.Duration(rnd.IntN(3000))*time.Microsecond)
}

func TestRandomOperations(t *testing.T) {
	seed := *seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-seed=%d", seed)
	f := newFixture(t, tier.Options{
		MaxInFlight: 3, MaxLoadBytes: 100_000, MaxStoreBytes: 60_000,
		Deadlines: deadlines(3 * time.Millisecond), CloseGrace: patience,
	})
	c := &chaos{rnd: rand.New(rand.NewPCG(seed, 0))}
	for _, name := range []string{"a", "b", "c"} {
		m := f.add(t, name, tier.MemberOptions{})
		m.follow(c.script)
		for row := range 3 {
			for i := range 30 {
				if c.rnd.IntN(2) == 0 {
					k := bridgetest.Key(i)
					k.KVRank = int64(row)
					m.put(sizeFor(row), k)
				}
			}
		}
	}

	var workers, helpers sync.WaitGroup
	var stop atomic.Bool
	var hits, misses, failed atomic.Int64
	for w := range uint64(6) {
		workers.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, w+1))
			for range 300 {
				ctx, cancel := randomContext(rnd)
				req := randomRequest(rnd)
				switch rnd.IntN(6) {
				case 0:
					storeRow(ctx, t, f, req.Rows[0])
				case 1:
					_, _ = f.Lookup(ctx, req)
				default:
					r, err := f.Prefetch(ctx, req)
					if err != nil {
						failed.Add(1)
					}
					n := 0
					for i := range r.Hit {
						n += r.Hit[i].Count()
					}
					hits.Add(int64(n))
					misses.Add(int64(len(req.Rows)*len(req.Rows[0].Keys) - n))
					requireValues(t, req, r)
					if rnd.IntN(4) == 0 {
						time.Sleep(time.Millisecond)
						requireValues(t, req, r) // nobody writes into what we hold
					}
					r.Release()
				}
				cancel()
			}
		})
	}
	helpers.Go(func() {
		for !stop.Load() {
			time.Sleep(500 * time.Microsecond)
			c.release(false)
			_ = f.Status()
		}
	})
	helpers.Go(func() { // members come and go
		for i := 0; !stop.Load(); i++ {
			m := newFake("guest", f.arena)
			m.follow(c.script)
			for _, k := range bridgetest.Keys(30) {
				k.KVRank = 0
				m.put(sizeFor(0), k)
			}
			id, err := f.Add("guest", m, tier.MemberOptions{ReadOnly: i%2 == 0})
			if err != nil {
				t.Error(err)
				return
			}
			time.Sleep(5 * time.Millisecond)
			for {
				ctx, cancel := context.WithTimeout(background, time.Millisecond)
				err := f.Remove(ctx, id)
				cancel()
				if err == nil {
					break
				}
				c.release(false)
			}
			m.check(t)
		}
	})
	workers.Wait()
	stop.Store(true)
	c.release(true)
	helpers.Wait()
	require.NoError(t, f.Close())
	for _, m := range f.fakes {
		require.Zero(t, m.pinned(), m.name)
	}
	t.Logf("%d hits, %d misses, %d requests failed as a whole", hits.Load(), misses.Load(), failed.Load())
	require.Positive(t, hits.Load())
	require.Positive(t, misses.Load())
}

// storeRow stores the values of a row and lets go of them at once.
func storeRow(ctx context.Context, t *testing.T, f *fixture, row tier.Row) {
	values, release := f.values(t, row.Keys, row.Size)
	defer release()
	r, err := f.Store(ctx, row.Keys, values)
	for _, m := range r.Members {
		if err == nil && m.Err == nil && m.Stored.Count() != len(row.Keys) {
			t.Errorf("%s: no error, but %s was stored", m.Name, m.Stored.String())
		}
	}
}
