package replay

import (
	"sync"

	"github.com/sixcall/sixcall/cmd/sixcall/internal/trace"
)

// claims keeps requests that run at the same time from storing a block twice, as
// the memory tier of a cache manager does: a block is stored by one request at a
// time, and not by a request whose lookup is older than the block. Safe for
// concurrent use.
type claims struct {
	mu     sync.Mutex // guards what follows
	clock  uint64     // counts finished stores
	blocks map[block]claim
}

// block is what one tenant stores of a block.
type block struct {
	tenant int
	id     trace.BlockID
}

type claim struct {
	storing  bool
	storedAt uint64 // clock of the last store that succeeded, 0 = none
}

func newClaims() *claims { return &claims{blocks: map[block]claim{}} }

// now returns the time to remember before a lookup.
func (c *claims) now() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.clock
}

// take reports whether the caller, whose lookup began at since, is to store the
// block. If so, it must call done.
func (c *claims) take(tenant int, id trace.BlockID, since uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.blocks[block{tenant, id}]
	if b.storing || b.storedAt > since {
		return false
	}
	b.storing = true
	c.blocks[block{tenant, id}] = b
	return true
}

// done ends the caller's claims; stored says which of the blocks are stored.
func (c *claims) done(tenant int, ids []trace.BlockID, stored []bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clock++
	for i, id := range ids {
		b := c.blocks[block{tenant, id}]
		b.storing = false
		if stored[i] {
			b.storedAt = c.clock
		}
		c.blocks[block{tenant, id}] = b
	}
}
