package bridge

import "sync/atomic"

// gate counts the calls that are inside the bridge, and can be closed: then no
// further call comes in, and close waits for those inside. Entering and leaving
// are one atomic addition each. The zero value needs open.
type gate struct {
	state atomic.Int64  // calls inside, plus shut once it is closed
	empty chan struct{} // holds a token when the last call has left a closed gate
}

const shut = -1 << 62

func (g *gate) open() { g.empty = make(chan struct{}, 1) }

// enter lets a call in; false if the gate is closed.
func (g *gate) enter() bool {
	if g.state.Add(1) > 0 {
		return true
	}
	g.leave()
	return false
}

// leave ends a call.
func (g *gate) leave() {
	if g.state.Add(-1) == shut {
		select {
		case g.empty <- struct{}{}:
		default:
		}
	}
}

// close lets nobody in any more and returns when everybody has left. Call it once.
func (g *gate) close() {
	g.state.Add(shut)
	for g.state.Load() != shut {
		<-g.empty
	}
}
