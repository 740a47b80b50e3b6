package main

import (
	"fmt"
	"io"
)

// goal is a promise as a number over the results of a run.
type goal struct {
	text  string
	limit float64
	upper bool // the limit is the most that is allowed, not the least
	// measured returns the figure, and false when the run does not have it.
	measured func(d *data) (float64, bool)
}

func (g goal) met(v float64) bool {
	if g.upper {
		return v <= g.limit
	}
	return v >= g.limit
}

// find returns a row of the first part that has it.
func (d *data) find(connector, placement string, w workload) *row {
	for i := range d.Rows {
		if r := &d.Rows[i]; r.Connector == connector && r.Placement == placement && r.workload == w {
			return r
		}
	}
	return nil
}

// between compares a figure of two programs in a row.
func between(placement string, w workload, a, b string, figure func(result) float64) func(d *data) (float64, bool) {
	return func(d *data) (float64, bool) {
		r := d.find("mem", placement, w)
		if r == nil || r.at(a, figure) == 0 || r.at(b, figure) == 0 {
			return 0, false
		}
		return r.at(a, figure) / r.at(b, figure), true
	}
}

// better is between for the better of the two faces in this process, of which a host
// uses one.
func better(placement string, w workload, b string, figure func(result) float64) func(d *data) (float64, bool) {
	return func(d *data) (float64, bool) {
		first, ok := between(placement, w, ctx, b, figure)(d)
		second, _ := between(placement, w, events, b, figure)(d)
		return max(first, second), ok
	}
}

func busy(w workload) workload { w.Busy = true; return w }

// goals are those of the benchmark: ratios in one run. Rates are of the better face.
func goals() (all []goal) {
	least := func(limit float64, text string, f func(d *data) (float64, bool)) {
		all = append(all, goal{text, limit, false, f})
	}
	most := func(limit float64, text string, f func(d *data) (float64, bool)) {
		all = append(all, goal{text, limit, true, f})
	}

	most(1.25, "a call of the connector, to cgo", func(d *data) (float64, bool) {
		var cgo, ours float64
		for i := range d.Calls {
			switch d.Calls[i].Path {
			case "cgo":
				cgo = d.Calls[i].median()
			case "own":
				ours = d.Calls[i].median()
			case "trampoline":
				if ours == 0 {
					ours = d.Calls[i].median()
				}
			}
		}
		return ratio(ours, cgo), cgo > 0
	})
	most(1.5, "lookup of 1 key, depth 1, same: p50 to c++", between(same, lookup(1, 1), ctx, plain, p50))
	most(1.5, "lookup of 256 keys, depth 1, same: p50 to c++", between(same, lookup(256, 1), ctx, plain, p50))
	for _, batch := range []int{1, 16, 256} {
		least(0.8, fmt.Sprintf("lookup of %d, depth 32, same: op/s to c++", batch), better(same, lookup(batch, 32), plain, ops))
	}
	least(0.9, "load of 64 KiB, same: GB/s to c++", better(same, move("load", 1, 64<<10, 1), plain, gbps))
	least(0.9, "load of 16 x 64 KiB, depth 8, same: GB/s to c++", better(same, move("load", 16, 64<<10, 8), plain, gbps))
	for _, bytes := range []int{1 << 20, 4 << 20} {
		for _, op := range []string{"load", "store"} {
			least(0.97, fmt.Sprintf("%s of %s, same: GB/s to c++", op, size(bytes)), better(same, move(op, 1, bytes, 1), plain, gbps))
		}
	}
	least(0.95, "load of 4 MiB, same: GB/s to memcpy", func(d *data) (float64, bool) {
		r := d.find("mem", same, move("load", 1, 4<<20, 1))
		if r == nil {
			return 0, false
		}
		return ratio(r.at(ctx, gbps), d.Machine.Memcpy), true
	})
	for _, g := range []struct {
		batch int
		limit float64
	}{{1, 3}, {16, 5}, {256, 10}} {
		least(g.limit, fmt.Sprintf("lookup of %d, depth 1, same: op/s to lmcache", g.batch), better(same, lookup(g.batch, 1), peer, ops))
	}
	for _, batch := range []int{1, 16, 256} {
		least(8, fmt.Sprintf("lookup of %d, depth 32, same: op/s to lmcache", batch), better(same, lookup(batch, 32), peer, ops))
	}
	least(4, "load of 4 KiB, depth 8, same: op/s to lmcache", better(same, move("load", 1, 4<<10, 8), peer, ops))
	for _, placement := range []string{same, free} {
		least(30, "lookup of 256 beside a busy thread, "+placement+": p99 of lmcache to ours", between(placement, busy(lookup(256, 1)), peer, ctx, p99))
	}
	least(1, "no row slower than lmcache: the worst op/s to lmcache of all rows", func(d *data) (float64, bool) {
		worst, some := 0.0, false
		for i := range d.Rows {
			r := &d.Rows[i]
			if r.Part != "rows" || r.at(peer, ops) == 0 {
				continue
			}
			if x := max(r.at(ctx, ops), r.at(events, ops)) / r.at(peer, ops); !some || x < worst {
				worst, some = x, true
			}
		}
		return worst, some
	})
	for _, w := range []workload{lookup(1, 1), lookup(256, 1), move("load", 1, 64<<10, 1)} {
		most(5, w.String()+", same: isolated adds to p50, µs", func(d *data) (float64, bool) {
			r := d.find("mem", same, w)
			if r == nil || r.at(isolated, p50) == 0 {
				return 0, false
			}
			return r.at(isolated, p50) - r.at(ctx, p50), true
		})
	}
	least(0.95, "load of 1 MiB, same: isolated GB/s to in process", between(same, move("load", 1, 1<<20, 1), isolated, ctx, gbps))
	least(0.9, "load of 16 x 64 KiB, depth 8, same: isolated GB/s to in process", between(same, move("load", 16, 64<<10, 8), isolated, ctx, gbps))
	most(0.05, "allocations per operation, lookup of 256, same (what the runtime does itself included)", func(d *data) (float64, bool) {
		r := d.find("mem", same, lookup(256, 1))
		if r == nil {
			return 0, false
		}
		return max(r.at(ctx, allocs), r.at(events, allocs)), true
	})
	most(100, "heap bytes per tracked key, of a million", func(d *data) (float64, bool) {
		if d.Keys == nil {
			return 0, false
		}
		return d.Keys.BytesPerKey, true
	})
	most(200, "GC pause p99 with a million keys, µs", func(d *data) (float64, bool) {
		if d.Keys == nil {
			return 0, false
		}
		return d.Keys.Pause99, true
	})
	least(100, "over the model of 125 GB/s: equivalent GB/s of the best row", bestOf(modelLink, gbps, 1))
	least(1, "over the model of 100 µs: million lookups of one key per second", func(d *data) (float64, bool) {
		r := d.find(modelLatency, free, lookup(1, 256))
		if r == nil {
			return 0, false
		}
		return max(r.at(ctx, ops), r.at(events, ops)) / 1e6, true
	})
	least(1, "over the model of 100 µs: million keys looked up per second, best row", bestOf(modelLatency, func(r result) float64 { return r.KeysPerS }, 1e6))
	return all
}

// bestOf is the largest figure of the bridge over a model, in units.
func bestOf(connector string, figure func(result) float64, unit float64) func(d *data) (float64, bool) {
	return func(d *data) (best float64, some bool) {
		for i := range d.Rows {
			if r := &d.Rows[i]; r.Connector == connector {
				best, some = max(best, r.at(ctx, figure)/unit, r.at(events, figure)/unit), true
			}
		}
		return best, some
	}
}

// printGoals writes the goals that the run has figures for.
func printGoals(to io.Writer, d *data) {
	head := false
	for _, g := range goals() {
		v, ok := g.measured(d)
		if !ok {
			continue
		}
		if !head {
			fmt.Fprintf(to, "\ngoals\n")
			head = true
		}
		sign, verdict := "≥", "not met"
		if g.upper {
			sign = "≤"
		}
		if g.met(v) {
			verdict = "met"
		}
		fmt.Fprintf(to, "  %-7s  %9.3f  %s %-6g %s\n", verdict, v, sign, g.limit, g.text)
	}
}
