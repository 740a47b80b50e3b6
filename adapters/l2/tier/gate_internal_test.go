package tier

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestGateKeepsItsBooksWhateverIsCancelled(t *testing.T) {
	g := &gate{limit: 10}
	var in atomic.Int64
	var wg sync.WaitGroup
	for w := range uint64(8) {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(7, w))
			for range 3000 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rnd.IntN(50))*time.Microsecond)
				n := 1 + rnd.Int64N(14) // some are larger than the limit
				if g.enter(ctx, n) == nil {
					if sum := in.Add(n); sum > g.limit && sum != n {
						t.Errorf("%d are in, the limit is %d", sum, g.limit)
					}
					in.Add(-n)
					g.leave(n)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	used, waiting := g.level()
	require.Zero(t, used)
	require.Zero(t, waiting)
	require.True(t, g.tryEnter(99), "alone")
	require.False(t, g.tryEnter(1))
}
