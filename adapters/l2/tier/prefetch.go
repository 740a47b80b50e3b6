package tier

import (
	"context"

	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/kv"
)

// Prefetch loads what the members hold of a grid of keys: it asks all of them at
// once, plans by the policy, loads each cell once from the first member in order
// that has it, and folds what was loaded into hits.
//
// # Ownership
//
// Keys are copied. The values of the result lie in the arena and are the
// caller's: release each, or all with [Result.Release].
//
// # Errors
//
// A value that is absent, that a member fails to load or to answer in time, or
// that no memory is left for is a miss, not an error; Result.Members says why.
// An error says why the request failed as a whole, and then the result is all
// miss and need not be released:
//   - [kv.Invalid]: the request is malformed.
//   - [kv.Cancelled], [kv.Timeout]: ctx ended; its error matches too.
//   - [kv.Internal]: a member answered for another number of keys.
//   - [kv.Closed]: Close has begun.
//
// Prefetch is safe for concurrent use. It waits for its turn, see [Options], and
// then at most for one lookup and one load deadline.
func (t *Tier) Prefetch(ctx context.Context, req Request) (*Result, error) {
	const op = "prefetch"
	g, err := newGrid(req, true)
	if err != nil {
		return &Result{}, &kv.Error{Op: op, Connector: "tier", Code: kv.Invalid, Err: err}
	}
	if err := t.enter(op); err != nil {
		return g.miss(), err
	}
	defer t.ops.done()
	run, cancel := scope(ctx, t.reading)
	defer cancel()
	if err := t.slots.enter(run, 1); err != nil {
		t.stats.prefetchesFailed.Add(1)
		return g.miss(), ended(run, op)
	}
	defer t.slots.leave(1)
	r, err := t.prefetch(run, g)
	if err != nil {
		t.stats.prefetchesFailed.Add(1)
		return g.miss(), err
	}
	t.stats.prefetched(r, g)
	return r, nil
}

// prefetch serves a request that has its slot. Every path returns all pins: those
// that were handed to a load by the load, all others by the end of the survey.
func (t *Tier) prefetch(run context.Context, g *grid) (*Result, error) {
	const op = "prefetch"
	s := t.survey(run, g)
	defer s.end()
	if err := s.failure(run, t.reading, op); err != nil {
		return nil, err
	}
	p := g.plan(s.leases)
	s.keep(&p)
	bytes := g.bytes(&p.want)
	if bytes == 0 {
		return g.result(s, &p.want), nil
	}
	if err := t.room.enter(run, bytes); err != nil {
		return nil, ended(run, op)
	}
	defer t.room.leave(bytes)
	blocks := t.reserve(g, &p)
	s.keep(&p)

	filled := t.load(run, g, &p, s, blocks)
	hit, _ := g.usable(&filled)
	err := s.failure(run, t.reading, op)
	if err != nil {
		hit = kv.NewBitmap(g.cells())
	}
	for cell, b := range blocks {
		if b != nil && !hit.Test(cell) {
			// If a member may still write into it, its memory stays lent.
			b.Release()
		}
	}
	if err != nil {
		return nil, err
	}
	r := g.result(s, &hit)
	r.cells = make([]Loaded, g.cells())
	for cell, b := range blocks {
		if !hit.Test(cell) {
			continue
		}
		l := &r.cells[cell]
		from := &s.reports[p.source[cell]]
		l.Row, l.Column, l.Key = cell/g.columns, cell%g.columns, g.keys[cell]
		l.MemberID, l.Member = from.ID, from.Name
		l.block.Store(b)
	}
	return r, nil
}

// reserve allocates a block per wanted cell, column by column, so that what
// little memory there is goes to the beginning of the prefix. Cells without
// memory, and those that are useless without them, are wanted no more.
func (t *Tier) reserve(g *grid, p *plan) []*arena.Block {
	blocks := make([]*arena.Block, g.cells())
	got := kv.NewBitmap(g.cells())
	for i := range blocks {
		row, column := i%g.rows, i/g.rows
		cell := row*g.columns + column
		if !p.want.Test(cell) {
			continue
		}
		b, err := t.arena.Alloc(g.sizes[cell])
		if err != nil {
			t.stats.noMemory.Add(1)
			if g.policy == Prefix {
				break // what comes behind a hole is of no use
			}
			continue
		}
		blocks[cell] = b
		got.Set(cell)
	}
	p.want, _ = g.usable(&got)
	for cell, b := range blocks {
		if b != nil && !p.want.Test(cell) {
			b.Release()
			blocks[cell] = nil
		}
	}
	return blocks
}
