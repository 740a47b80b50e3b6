package tier

import "github.com/sixcall/sixcall/bridge/kv"

// plan says which cells to load, and from which lease.
type plan struct {
	want   kv.Bitmap
	source []int // by cell; -1 = not found
}

// plan takes what the lookups found and decides: each cell that the policy can
// use is loaded once, from the first member in order that has it.
func (g *grid) plan(leases []*lease) plan {
	p := plan{source: make([]int, g.cells())}
	have := kv.NewBitmap(g.cells())
	for cell := range p.source {
		p.source[cell] = -1
		for i, l := range leases {
			if l.held.Test(cell) {
				p.source[cell] = i
				have.Set(cell)
				break
			}
		}
	}
	p.want, _ = g.usable(&have)
	return p
}

// part returns the wanted cells of one lease, ascending.
func (p *plan) part(lease int) []int {
	var cells []int
	for cell, source := range p.source {
		if source == lease && p.want.Test(cell) {
			cells = append(cells, cell)
		}
	}
	return cells
}

// usable returns the cells of have that the policy can use, and the length of
// the longest prefix that they serve, in columns.
func (g *grid) usable(have *kv.Bitmap) (kv.Bitmap, int) {
	n := g.prefix(have)
	if g.policy == Full {
		return have.Clone(), n
	}
	return g.retained(n), n
}

// prefix returns the longest prefix, in columns, that every row can serve: a row
// serves n columns when it has the last min(window, n) of them.
func (g *grid) prefix(have *kv.Bitmap) int {
	best := 0
	runs := make([]int, g.rows) // cells without a hole up to this column
	for c := range g.columns {
		served := true
		for r := range runs {
			runs[r]++
			if !have.Test(r*g.columns + c) {
				runs[r] = 0
			}
			need := c + 1
			if w := g.windows[r]; w > 0 {
				need = min(need, w)
			}
			served = served && runs[r] >= need
		}
		if served {
			best = c + 1
		}
	}
	return best
}

// retained returns the cells that a prefix of n columns needs.
func (g *grid) retained(n int) kv.Bitmap {
	cells := kv.NewBitmap(g.cells())
	for r, w := range g.windows {
		from := 0
		if w > 0 {
			from = max(n-w, 0)
		}
		cells.SetRange(r*g.columns+from, r*g.columns+n)
	}
	return cells
}

// bytes is the size of the values of some cells.
func (g *grid) bytes(cells *kv.Bitmap) int64 {
	var sum int64
	for cell, size := range g.sizes {
		if cells.Test(cell) {
			sum += int64(size)
		}
	}
	return sum
}
