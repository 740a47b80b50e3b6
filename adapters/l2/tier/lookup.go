package tier

import (
	"context"

	"github.com/sixcall/sixcall/bridge/kv"
)

// Lookup says what Prefetch would find and load at this moment: the result has
// no loaded cells, and its Hit marks those that would be. Sizes are not looked
// at. No pin is left when it returns, so the answer may be out of date at once.
//
// Errors are those of [Tier.Prefetch].
func (t *Tier) Lookup(ctx context.Context, req Request) (*Result, error) {
	const op = "lookup"
	g, err := newGrid(req, false)
	if err != nil {
		return &Result{}, &kv.Error{Op: op, Connector: "tier", Code: kv.Invalid, Err: err}
	}
	if err := t.enter(op); err != nil {
		return g.miss(), err
	}
	defer t.ops.done()
	run, cancel := scope(ctx, t.reading)
	defer cancel()
	s := t.survey(run, g)
	defer s.end()
	if err := s.failure(run, t.reading, op); err != nil {
		return g.miss(), err
	}
	p := g.plan(s.leases)
	return g.result(s, &p.want), nil
}

// survey is what the lookups of one request found.
type survey struct {
	leases  []*lease // in the order of the members; ended by end
	reports []MemberResult
	found   kv.Bitmap
	broken  error // a member broke its contract
}

// end returns all pins that are still held.
func (s *survey) end() {
	for _, l := range s.leases {
		l.end()
	}
}

// keep returns the pins of what is not planned.
func (s *survey) keep(p *plan) {
	for i, l := range s.leases {
		want := kv.NewBitmap(len(l.keys))
		want.SetAll(p.part(i)...)
		l.keep(&want)
	}
}

// failure says why the request failed as a whole, if it did.
func (s *survey) failure(run, life context.Context, op string) error {
	if err := over(run, life, op); err != nil {
		return err
	}
	if s.broken != nil {
		return fail(op, kv.Internal, "%w", s.broken)
	}
	return nil
}

// answer is what a lookup or load returned.
type answer struct {
	bits kv.Bitmap
	err  error
}

// survey asks all live members at once for all cells and waits until each has
// answered or the deadline is over. The caller ends the survey.
func (t *Tier) survey(run context.Context, g *grid) *survey {
	members := t.acquire(nil)
	s := &survey{reports: make([]MemberResult, len(members)), found: kv.NewBitmap(g.cells())}
	phase, cancel := within(run, t.opts.Deadlines.Lookup)
	defer cancel()
	calls := make([]*call[answer], len(members))
	for i, m := range members {
		calls[i] = begin(func() answer {
			bits, err := m.Lookup(phase, g.keys)
			return answer{bits, err}
		}, func(a answer) {
			m.giveBack(g.keys, &a.bits)
			m.stats.strays.Add(-1)
			m.uses.done()
		})
	}
	for i, m := range members {
		report := &s.reports[i]
		report.ID, report.Name = m.id, m.name
		a, ok := calls[i].wait(phase)
		l := &lease{m: m, keys: g.keys, held: kv.NewBitmap(g.cells()), over: !ok}
		s.leases = append(s.leases, l)
		if !ok {
			m.stats.strays.Add(1)
			report.Err = m.silent(run, "lookup", t.opts.Deadlines.Lookup)
		} else {
			report.Err = a.err
			l.held.SetAll(a.bits.Indices()...)
			if n := a.bits.Len(); n != g.cells() && a.err == nil {
				report.Err = m.wrongLength("lookup", n, g.cells())
				s.broken = report.Err
			}
		}
		report.Found = l.held.Count()
		s.found.SetAll(l.held.Indices()...)
		m.stats.lookup(report, g.cells())
		t.watch(run, m, classLookup, report.Err)
	}
	return s
}
