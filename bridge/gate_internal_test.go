package bridge

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestGateClosesBehindTheLastCall lets calls come and go while the gate closes:
// none is inside afterwards, and none gets in.
func TestGateClosesBehindTheLastCall(t *testing.T) {
	for range 50 {
		var g gate
		g.open()
		var inside, entered atomic.Int64
		var callers sync.WaitGroup
		for range 4 {
			callers.Go(func() {
				for g.enter() {
					inside.Add(1)
					entered.Add(1)
					inside.Add(-1)
					g.leave()
				}
			})
		}
		for entered.Load() < 4 {
			runtime.Gosched()
		}
		g.close()
		require.Zero(t, inside.Load())
		require.False(t, g.enter())
		callers.Wait()
	}
}

func TestGateWaitsForACallInside(t *testing.T) {
	var g gate
	g.open()
	require.True(t, g.enter())
	closed := make(chan struct{})
	go func() {
		g.close()
		close(closed)
	}()
	for g.enter() { // until the close has begun
		g.leave()
	}
	select {
	case <-closed:
		t.Fatal("closed with a call inside")
	default:
	}
	g.leave()
	<-closed
}
