package main

import (
	"fmt"
	"slices"
)

// result is one round, in the words of sixcall-driver.
type result struct {
	Op         string  `json:"op"`
	Batch      int     `json:"batch"`
	ValueBytes int     `json:"value_bytes"`
	Depth      int     `json:"depth"`
	OpsPerS    float64 `json:"ops_per_s"`
	KeysPerS   float64 `json:"keys_per_s"`
	P50        float64 `json:"p50_us"`
	P99        float64 `json:"p99_us"`
	P999       float64 `json:"p999_us"`
	GBPerS     float64 `json:"gb_per_s"`
	CPU        float64 `json:"cpu_us_per_op"`
	// Of the Go programs.
	Allocs    float64 `json:"allocs_per_op,omitempty"`
	GCs       int     `json:"gc_runs,omitempty"`
	GCPause99 float64 `json:"gc_pause_p99_us,omitempty"`
	Error     string  `json:"error,omitempty"`
}

// workload is what a round does.
type workload struct {
	Op         string `json:"op"`
	Batch      int    `json:"batch"`
	ValueBytes int    `json:"value_bytes"`
	Depth      int    `json:"depth"`
	Adapters   int    `json:"adapters,omitempty"` // 0 = one
	Busy       bool   `json:"busy,omitempty"`     // a busy thread beside
}

func (w workload) String() string {
	s := fmt.Sprintf("%s/%d/%s/%d", w.Op, w.Batch, size(w.ValueBytes), w.Depth)
	if w.Adapters > 1 {
		s += fmt.Sprintf("/adapters=%d", w.Adapters)
	}
	if w.Busy {
		s += "/busy"
	}
	return s
}

// lent is how many bytes of values are in flight at a time.
func (w workload) lent() int { return w.Batch * w.ValueBytes * w.Depth }

func size(bytes int) string {
	switch {
	case bytes >= 1<<20:
		return fmt.Sprintf("%dMiB", bytes>>20)
	case bytes >= 1<<10:
		return fmt.Sprintf("%dKiB", bytes>>10)
	}
	return fmt.Sprint(bytes)
}

// row is one workload at one place, with the rounds of all programs.
type row struct {
	Part      string `json:"part"` // rows, curves, busy, sim or guard
	Connector string `json:"connector"`
	Placement string `json:"placement"`
	workload
	Rounds map[string][]result `json:"rounds"` // by program
}

func (r *row) name() string { return r.Connector + " " + r.Placement + " " + r.workload.String() }

// at returns the median of one figure over the rounds of a program, 0 if it has
// none.
func (r *row) at(program string, figure func(result) float64) float64 {
	var all []float64
	for _, one := range r.Rounds[program] {
		if one.Error == "" {
			all = append(all, figure(one))
		}
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// spread is (largest - smallest) / median of the rates of a program.
func (r *row) spread(program string) float64 {
	low, high := 0.0, 0.0
	for _, one := range r.Rounds[program] {
		if low == 0 || one.OpsPerS < low {
			low = one.OpsPerS
		}
		high = max(high, one.OpsPerS)
	}
	if median := r.at(program, ops); median > 0 {
		return (high - low) / median
	}
	return 0
}

func ops(r result) float64    { return r.OpsPerS }
func p50(r result) float64    { return r.P50 }
func p99(r result) float64    { return r.P99 }
func p999(r result) float64   { return r.P999 }
func gbps(r result) float64   { return r.GBPerS }
func cpu(r result) float64    { return r.CPU }
func allocs(r result) float64 { return r.Allocs }

// ratio is a to b, 0 if either is missing.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}
