//go:build linux && (amd64 || arm64)

package native_test

import (
	"runtime"
	"runtime/debug"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/native"
)

// grow moves the calling goroutine's stack, and leaves garbage.
func grow(depth int) int {
	var frame [512]byte
	frame[depth%512] = byte(depth)
	if depth == 0 {
		return int(frame[0])
	}
	return grow(depth-1) + int(frame[depth%512])
}

// TestNothingMovesUnderTheCollector submits from goroutines whose stacks grow
// and shrink while the collector runs all the time and the library calls back
// into Go, and checks every byte.
func TestNothingMovesUnderTheCollector(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(1))
	c := open(t, native.Options{Connector: compile(t, "LOG_IN_SUBMIT"), Log: func(int, string) { _ = grow(50) }})
	const workers, rounds, keys, size = 4, 200, 8, 256
	var waiting [workers]chan kv.Completion
	for i := range waiting {
		waiting[i] = make(chan kv.Completion, 1)
	}
	stop := make(chan struct{})
	var drains, submits sync.WaitGroup
	drains.Go(func() {
		done := make([]kv.Completion, 3)
		for {
			n, err := c.Drain(done)
			if err != nil {
				t.Error(err)
			}
			for _, d := range done[:n] {
				waiting[d.Ticket] <- d
			}
			select {
			case <-stop:
				return
			default:
				runtime.Gosched()
			}
		}
	})
	for w := range workers {
		set, get := newBatch(t, kv.OpSet, uint64(w), keys, size), newBatch(t, kv.OpGet, uint64(w), keys, size)
		for _, b := range []*kv.Batch{set, get} { // keys of its own
			for i := range b.Keys {
				b.Keys[i] += byte(w)
			}
		}
		submits.Go(func() {
			for round := range rounds {
				fill := byte(round*workers + w)
				for i, buf := range set.Bufs {
					copy(buf, repeat(fill+byte(i), size))
					clear(get.Bufs[i])
				}
				for _, b := range []*kv.Batch{set, get} {
					finished := make(chan error, 1)
					go func() { // a fresh goroutine starts with a small stack
						_ = grow(round % 100)
						finished <- c.Submit(b)
					}()
					if err := <-finished; err != nil {
						t.Error(err)
						return
					}
					if d := <-waiting[w]; d.NOK != keys || d.RC != kv.OK {
						t.Errorf("%+v", d)
					}
				}
				for i, buf := range get.Bufs {
					if string(buf) != string(repeat(fill+byte(i), size)) {
						t.Errorf("worker %d round %d key %d has other bytes", w, round, i)
						return
					}
				}
			}
		})
	}
	submits.Wait()
	close(stop)
	drains.Wait()
	require.False(t, t.Failed())
}
