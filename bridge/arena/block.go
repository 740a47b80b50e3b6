package arena

import "sync/atomic"

// Block is one allocation. Its memory is page-aligned and stays in place until
// Release. Safe for concurrent use.
type Block struct {
	seg   *segment
	off   int // bytes, in seg
	pages int
	bytes []byte

	// state is the number of loans, plus released when the owner is done.
	state       atomic.Int64
	quarantined atomic.Int32
}

const released = int64(1) << 62

// Bytes returns the memory, of exactly the length that was asked for.
func (b *Block) Bytes() []byte { return b.bytes }

// Release gives the block back. Its memory must not be used after that; it is
// reused at once, or when the last loan ends. Call it once.
func (b *Block) Release() {
	if b.state.Add(released) == released {
		b.seg.arena.free(b)
	}
}

// Lend counts one loan. The bridge calls it when a connector gets the memory.
func (b *Block) Lend() { b.state.Add(1) }

// Return ends one loan.
func (b *Block) Return() {
	if b.state.Add(-1) == released {
		b.seg.arena.free(b)
	}
}

// Quarantine marks the memory as possibly written late; Pardon undoes it. The
// bridge brackets an early answer with them, so they nest.
func (b *Block) Quarantine() { b.quarantined.Add(1) }

// Pardon undoes one Quarantine.
func (b *Block) Pardon() { b.quarantined.Add(-1) }

// Quarantined reports whether late bytes may still arrive in the block.
func (b *Block) Quarantined() bool { return b.quarantined.Load() > 0 }

// Lent returns the number of loans.
func (b *Block) Lent() int { return int(b.state.Load() &^ released) }
