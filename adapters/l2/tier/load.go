package tier

import (
	"context"

	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/kv"
)

// share is what one member has to load for a request.
type share struct {
	cells  []int
	keys   []kv.Key
	bufs   []kv.Buffer
	blocks []*arena.Block
	call   *call[answer]
}

// load runs one load task per member and returns the cells that were filled by
// the deadline. The blocks of the others can be released; a member that has not
// returned keeps them lent.
func (t *Tier) load(run context.Context, g *grid, p *plan, s *survey, blocks []*arena.Block) kv.Bitmap {
	filled := kv.NewBitmap(g.cells())
	phase, cancel := within(run, t.opts.Deadlines.Load)
	defer cancel()
	shares := make([]share, len(s.leases))
	for i, l := range s.leases {
		cells := p.part(i)
		if len(cells) == 0 {
			l.end()
			continue
		}
		n := len(cells)
		sh := share{cells: cells, keys: make([]kv.Key, n), bufs: make([]kv.Buffer, n), blocks: make([]*arena.Block, n)}
		for j, cell := range cells {
			sh.keys[j], sh.bufs[j], sh.blocks[j] = g.keys[cell], blocks[cell].Bytes(), blocks[cell]
		}
		sh.begin(phase, l.handOver())
		shares[i] = sh
	}
	for i, l := range s.leases {
		sh := &shares[i]
		if sh.call == nil {
			continue
		}
		m, report := l.m, &s.reports[i]
		report.Planned = len(sh.cells)
		var bytes int64
		a, ok := sh.call.wait(phase)
		var err error
		switch n := a.bits.Len(); {
		case !ok:
			m.stats.strays.Add(1)
			err = m.silent(run, "load", t.opts.Deadlines.Load)
		case n != len(sh.cells) && a.err == nil:
			err = m.wrongLength("load", n, len(sh.cells))
			s.broken = err
		case n != len(sh.cells):
			err = a.err
		default:
			err = a.err
			for j, cell := range sh.cells {
				// A block in quarantine may still be written, whatever its bit says.
				if a.bits.Test(j) && !sh.blocks[j].Quarantined() {
					filled.Set(cell)
					report.Loaded++
					bytes += int64(len(sh.bufs[j]))
				}
			}
		}
		if err != nil {
			report.Err = err
		}
		m.stats.load(report, bytes)
		t.watch(run, m, classLoad, err)
	}
	return filled
}

// begin starts the load. Its goroutine ends the loans and the lease when the
// member has returned, whether or not somebody waits.
func (sh *share) begin(phase context.Context, l *lease) {
	keys, bufs, blocks := sh.keys, sh.bufs, sh.blocks
	for _, b := range blocks {
		b.Lend()
	}
	sh.call = begin(func() answer {
		bits, err := l.m.Load(phase, keys, bufs)
		for _, b := range blocks {
			b.Return()
		}
		l.end()
		return answer{bits, err}
	}, func(answer) { l.m.stats.strays.Add(-1) })
}
