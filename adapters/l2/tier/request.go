package tier

import (
	"errors"
	"fmt"

	"github.com/sixcall/sixcall/bridge/kv"
)

// Policy says which of the values that were found a prefetch loads.
type Policy int

// The policies.
const (
	// Prefix loads what serves the longest prefix of columns that all rows can
	// serve. A hole makes everything behind it useless.
	Prefix Policy = iota
	// Full loads everything that was found, holes or not.
	Full
)

// String returns LMCache's word for the policy.
func (p Policy) String() string {
	if p == Full {
		return "full"
	}
	return "prefix"
}

// Request is what a prefetch asks for: a grid with one row per object group and
// rank, and one column per chunk of text.
type Request struct {
	Rows   []Row // of equal length, at least one
	Policy Policy
}

// Row is the chunks of one object group at one rank.
type Row struct {
	Keys []kv.Key
	// Size is the exact size of each value, in bytes, at least 1.
	Size int
	// Sizes has the size of each value if they differ; Size is ignored then.
	Sizes []int
	// Window is how many chunks at the end of a prefix the group needs to serve
	// it (sliding-window attention). 0: all of them (full attention). Only with
	// [Prefix].
	Window int
}

// List is the request for a flat list of values of one size, by prefix.
func List(keys []kv.Key, size int) Request {
	return Request{Rows: []Row{{Keys: keys, Size: size}}}
}

// grid is a checked request. Cell row*columns+column is the key of that place;
// its keys are copies, because a call that was left may still read them.
type grid struct {
	policy        Policy
	rows, columns int
	keys          []kv.Key
	sizes         []int // bytes; nil for a lookup
	windows       []int // by row; 0 = all
}

// newGrid flattens a request, row after row, and reports every problem at once.
func newGrid(req Request, sized bool) (*grid, error) {
	g := &grid{policy: req.Policy, rows: len(req.Rows)}
	if g.rows == 0 || len(req.Rows[0].Keys) == 0 {
		return nil, errors.New("keys list is empty, want 1 key or more")
	}
	var errs []error
	if req.Policy != Prefix && req.Policy != Full {
		errs = append(errs, fmt.Errorf("Policy is %d, want Prefix or Full", req.Policy))
	}
	g.columns = len(req.Rows[0].Keys)
	g.keys = make([]kv.Key, 0, g.rows*g.columns)
	for i, row := range req.Rows {
		if len(row.Keys) != g.columns {
			errs = append(errs, fmt.Errorf("row %d has %d keys, want %d as in row 0", i, len(row.Keys), g.columns))
		}
		if row.Window < 0 || row.Window > 0 && req.Policy == Full {
			errs = append(errs, fmt.Errorf("row %d: Window is %d, want 0, or 1 or more with Prefix", i, row.Window))
		}
		if err := checkKeys(row.Keys); err != nil {
			errs = append(errs, fmt.Errorf("row %d: %w", i, err))
		}
		g.keys = append(g.keys, row.Keys...)
		g.windows = append(g.windows, row.Window)
		if sized {
			if err := g.addSizes(row); err != nil {
				errs = append(errs, fmt.Errorf("row %d: %w", i, err))
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return g, nil
}

func (g *grid) addSizes(row Row) error {
	if row.Sizes != nil && len(row.Sizes) != len(row.Keys) {
		return fmt.Errorf("%d sizes for %d keys, want one per key", len(row.Sizes), len(row.Keys))
	}
	for i := range row.Keys {
		size := row.Size
		if row.Sizes != nil {
			size = row.Sizes[i]
		}
		if size < 1 {
			return fmt.Errorf("the size of value %d is %d, want 1 or more", i, size)
		}
		g.sizes = append(g.sizes, size)
	}
	return nil
}

func checkKeys(keys []kv.Key) error {
	for i := range keys {
		if err := keys[i].Validate(); err != nil {
			return fmt.Errorf("key %d: %w", i, err)
		}
	}
	return nil
}

// cells is the number of cells.
func (g *grid) cells() int { return len(g.keys) }

// split cuts a bitmap over all cells into one per row.
func (g *grid) split(flat *kv.Bitmap) []kv.Bitmap {
	rows := make([]kv.Bitmap, g.rows)
	for r := range rows {
		rows[r] = kv.NewBitmap(g.columns)
		for c := range g.columns {
			if flat.Test(r*g.columns + c) {
				rows[r].Set(c)
			}
		}
	}
	return rows
}
