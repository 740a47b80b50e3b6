package tier

import (
	"iter"
	"sync/atomic"

	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/kv"
)

// Result is the outcome of a prefetch. With an error it is all miss and holds
// nothing.
type Result struct {
	// PrefixLen is how many leading columns every row can serve.
	PrefixLen int
	// Hit has one bit per column of each row: the cells that were loaded and that
	// the policy can use. Under [Prefix] nothing behind a hole is a hit.
	Hit []kv.Bitmap
	// Found has the cells that a lookup found, loaded or not.
	Found []kv.Bitmap
	// Members says what each member did, in their order.
	Members []MemberResult

	columns int
	cells   []Loaded // row after row; those without a block are misses
}

// MemberResult is one member's part in a prefetch.
type MemberResult struct {
	ID      int
	Name    string
	Found   int // cells that its lookup found
	Planned int // cells that it was to load
	Loaded  int // cells that it did load
	// Err is why its lookup or load failed, nil if neither did.
	Err error
}

// Loaded is one value in memory of the arena. It is the caller's until Release.
// Safe for concurrent use.
type Loaded struct {
	Row, Column int
	Key         kv.Key
	// MemberID and Member name who served it.
	MemberID int
	Member   string

	block atomic.Pointer[arena.Block]
}

// Value returns the bytes, of exactly the size that was asked for, or nil after
// Release. They can be stored again without a copy.
func (l *Loaded) Value() kv.Buffer {
	if b := l.block.Load(); b != nil {
		return b.Bytes()
	}
	return nil
}

// Release gives the memory back; Value must not be used after it. Further calls
// do nothing.
func (l *Loaded) Release() {
	if b := l.block.Swap(nil); b != nil {
		b.Release()
	}
}

// Cell returns the value at a place of the grid, or nil for a miss.
func (r *Result) Cell(row, column int) *Loaded {
	if row < 0 || row >= len(r.Hit) || column < 0 || !r.Hit[row].Test(column) || r.cells == nil {
		return nil
	}
	return &r.cells[row*r.columns+column]
}

// Cells iterates over the loaded values, row after row.
func (r *Result) Cells() iter.Seq[*Loaded] {
	return func(yield func(*Loaded) bool) {
		for i := range r.cells {
			l := &r.cells[i]
			if r.Hit[i/r.columns].Test(i%r.columns) && !yield(l) {
				return
			}
		}
	}
}

// Release releases all values that were not released before.
func (r *Result) Release() {
	for i := range r.cells {
		r.cells[i].Release()
	}
}

// miss is the result of a request of which nothing came.
func (g *grid) miss() *Result {
	none := kv.NewBitmap(g.cells())
	return &Result{Hit: g.split(&none), Found: g.split(&none), columns: g.columns}
}

// result is the outcome with the given hits, without values.
func (g *grid) result(s *survey, hit *kv.Bitmap) *Result {
	return &Result{
		PrefixLen: g.prefix(hit), Hit: g.split(hit), Found: g.split(&s.found),
		Members: s.reports, columns: g.columns,
	}
}
