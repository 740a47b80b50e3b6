package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// table runs the rows.
func (s *settings) table() error {
	all, err := workloads(s.rows)
	if err != nil {
		return err
	}
	connectors, err := s.connectorsOf(s.connectors)
	if err != nil {
		return err
	}
	for _, placement := range strings.Split(s.placements, ",") {
		if placement != same && placement != cross && placement != free {
			return fmt.Errorf("-placements has %q, want same, cross or free", placement)
		}
		for _, c := range connectors {
			if placement == cross && c.name == "null" {
				continue // it has no threads
			}
			fmt.Printf("\nrows, %s, %s\n%s\n", c.name, placement, heading)
			for _, w := range all {
				if c.skip(w) || w.lent() > maxLent {
					continue
				}
				if err := s.measure("rows", c, placement, w, s.use); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// measure runs the rounds of one workload, the programs in turn, and prints them. A
// program that fails is left out of the row and named.
func (s *settings) measure(part string, c connector, placement string, w workload, use []string) error {
	r := row{Part: part, Connector: c.name, Placement: placement, workload: w, Rounds: map[string][]result{}}
	if !wanted(r.name(), s.only) {
		return nil
	}
	for range s.rounds {
		for _, program := range use {
			if !slices.Contains(s.use, program) {
				continue
			}
			one, err := s.round(program, c, placement, w, s.seconds)
			if err != nil {
				if program == plain || program == ctx {
					return fmt.Errorf("%s, %s: %w", r.name(), program, err)
				}
				fmt.Fprintf(os.Stderr, "bench: %s, %s: %v\n", r.name(), program, err)
				one = result{Error: err.Error()}
			}
			r.Rounds[program] = append(r.Rounds[program], one)
		}
	}
	r.print(os.Stdout)
	s.data.Rows = append(s.data.Rows, r)
	return nil
}

const heading = "op/batch/bytes/depth     | per program: op/s  p50  p99  p99.9 µs  CPU µs/op  GB/s  allocs, x: op/s to c++ or, without it, to context; ±: spread of the rates"

func (r *row) print(to io.Writer) {
	base := plain
	if len(r.Rounds[base]) == 0 {
		base = ctx
	}
	fmt.Fprintf(to, "%s\n", r.workload)
	for _, p := range programs {
		if r.at(p, ops) == 0 {
			continue
		}
		fmt.Fprintf(to, "  %-9s %10.0f %9.1f %9.1f %9.1f %8.2f %7.2f", p, r.at(p, ops), r.at(p, p50), r.at(p, p99), r.at(p, p999), r.at(p, cpu), r.at(p, gbps))
		if p != plain && p != peer {
			fmt.Fprintf(to, " %6.3f", r.at(p, allocs))
		} else {
			fmt.Fprintf(to, " %6s", "")
		}
		fmt.Fprintf(to, "  x%5.2f  ±%2.0f%%\n", ratio(r.at(p, ops), r.at(base, ops)), 100*r.spread(p))
	}
}

// busyTable runs rows with a busy thread in the host.
func (s *settings) busyTable() error {
	connectors, err := s.connectorsOf("mem")
	if err != nil {
		return err
	}
	for _, placement := range []string{same, free} {
		fmt.Printf("\nbusy, mem, %s\n%s\n", placement, heading)
		for _, w := range []workload{lookup(1, 1), lookup(256, 1), lookup(1, 32), move("load", 16, 4<<10, 8), move("load", 1, 64<<10, 8)} {
			w.Busy = true
			if err := s.measure("busy", connectors[0], placement, w, []string{ctx, events, peer}); err != nil {
				return err
			}
		}
	}
	return nil
}

// curves are rows over the connector that does nothing, in which one number grows.
func (s *settings) curves() error {
	connectors, err := s.connectorsOf("null")
	if err != nil {
		return err
	}
	fmt.Printf("\ncurves, null, same\n%s\n", heading)
	run := func(w workload, use ...string) error { return s.measure("curves", connectors[0], same, w, use) }
	for _, n := range []int{1, 4, 16, 64, 256, 1024, 4096} {
		if err := run(lookup(n, 1), plain, ctx, events, peer); err != nil {
			return err
		}
		if err := run(move("load", n, 4<<10, 1), plain, ctx, events, peer); err != nil {
			return err
		}
	}
	seconds := s.seconds
	defer func() { s.seconds = seconds }()
	for _, depth := range []int{8, 32, 128, 1024, 4096, 10000} {
		if depth >= 1024 { // so that each has its turn many times
			s.seconds = max(seconds, 1)
		}
		if err := run(lookup(16, depth), plain, ctx); err != nil {
			return err
		}
	}
	for _, adapters := range []int{1, 2, 4, 8, 16, 32, 64} {
		w := lookup(16, 16*adapters)
		w.Adapters = adapters
		if err := run(w, ctx); err != nil {
			return err
		}
	}
	return nil
}

// The models of simulate: a link of 10^12 bits per second, and none.
const (
	modelLink    = "sim: 125 GB/s, 100 µs"
	modelLatency = "sim: 100 µs"
)

// simulate runs the bridge over a storage system on paper.
func (s *settings) simulate() error {
	connectors, err := s.connectorsOf("null")
	if err != nil {
		return err
	}
	for _, model := range []struct {
		name, params string
		rows         []workload
	}{
		{modelLink, `{"latency_us":100,"gb_per_s":125}`, []workload{
			move("load", 16, 64<<10, 64), move("load", 4, 256<<10, 64), move("load", 1, 1<<20, 64), move("load", 1, 4<<20, 64), move("store", 16, 64<<10, 64)}},
		{modelLatency, `{"latency_us":100}`, []workload{lookup(1, 256), lookup(16, 64), lookup(256, 32)}},
	} {
		c := connectors[0]
		c.name, c.params = model.name, func(string) string { return model.params }
		fmt.Printf("\n%s, free\n%s\n", model.name, heading)
		for _, w := range model.rows {
			if err := s.measure("sim", c, free, w, []string{plain, ctx, events}); err != nil {
				return err
			}
		}
	}
	return nil
}
