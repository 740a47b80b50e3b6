package main

import (
	"encoding/json"
	"fmt"
	"os"
)

// recorded is one ratio of the guard: operations per second of a program to those of
// sixcall-driver in the same run.
type recorded struct {
	Row     string  `json:"row"`
	Program string  `json:"program"`
	Ratio   float64 `json:"ratio"`
}

const (
	guardFile  = "guard.json"
	guardSlack = 0.8  // of the recorded ratio
	maxAllocs  = 0.05 // per operation; what the runtime does itself is far below
	guardTries = 3    // a row may be disturbed: it fails when it fails so often
)

var guardRows = []workload{lookup(1, 1), lookup(256, 1), lookup(16, 32), move("load", 16, 4<<10, 8), move("load", 1, 64<<10, 1)}

// guard runs a few rows on one CPU, and fails when the bridge allocates, or falls
// more than a fifth below the ratios that are recorded. It compares ratios only: they
// are of programs that took turns, so that another machine gives nearly the same.
func (s *settings) guard() error {
	connectors, err := s.connectorsOf("mem")
	if err != nil {
		return err
	}
	want := map[string]float64{}
	if s.record == "" {
		text, err := os.ReadFile(guardFile)
		if err != nil {
			return err
		}
		var list []recorded
		if err := json.Unmarshal(text, &list); err != nil {
			return fmt.Errorf("%s: %w", guardFile, err)
		}
		for _, r := range list {
			want[r.Row+" "+r.Program] = r.Ratio
		}
	}
	var record []recorded
	failed := 0
	fmt.Printf("\nguard, mem, same\n%s\n", heading)
	for _, w := range guardRows {
		var faults []string
		for range guardTries {
			if err := s.measure("guard", connectors[0], same, w, []string{plain, ctx, events}); err != nil {
				return err
			}
			r := &s.data.Rows[len(s.data.Rows)-1]
			if faults = r.faults(want); len(faults) == 0 {
				for _, p := range []string{ctx, events} {
					record = append(record, recorded{w.String(), p, ratio(r.at(p, ops), r.at(plain, ops))})
				}
				break
			}
		}
		for _, f := range faults {
			fmt.Fprintf(os.Stderr, "bench-guard: %s: %s\n", w, f)
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d figures are below what is recorded in %s; bridge/bench/README.md says how to look into it", failed, guardFile)
	}
	if s.record != "" {
		text, err := json.MarshalIndent(record, "", " ")
		if err != nil {
			return err
		}
		return os.WriteFile(s.record, append(text, '\n'), 0o644)
	}
	return nil
}

// faults says what of a row is worse than wanted, by row and program.
func (r *row) faults(want map[string]float64) (faults []string) {
	for _, p := range []string{ctx, events} {
		if n := r.at(p, allocs); n > maxAllocs {
			faults = append(faults, fmt.Sprintf("%s allocates %.3f times per operation, want at most %v", p, n, maxAllocs))
		}
		least := want[r.workload.String()+" "+p] * guardSlack
		if got := ratio(r.at(p, ops), r.at(plain, ops)); got < least {
			faults = append(faults, fmt.Sprintf("%s does %.2f of the operations per second of sixcall-driver, want at least %.2f", p, got, least))
		}
	}
	return faults
}
