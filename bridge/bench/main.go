// Command bench compares the bridge with a plain C++ program on the same
// connector library, side by side in one run: rounds of the two alternate, and
// what counts is the ratio of their medians.
//
//	make bench
//
// Placements: "same" runs everything on one CPU and so shows the software path;
// "free" leaves the threads to the scheduler. In "same" the connector has one
// worker, in "free" as many as it likes.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
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
	GBPerS     float64 `json:"gb_per_s"`
	CPU        float64 `json:"cpu_us_per_op"`
	Allocs     float64 `json:"allocs_per_op"`
}

// workload is one row of the table.
type workload struct {
	op         string
	batch      int
	valueBytes int
	depth      int
}

var workloads = []workload{
	{"lookup", 1, 0, 1}, {"lookup", 16, 0, 1}, {"lookup", 256, 0, 1}, {"lookup", 1024, 0, 1},
	{"lookup", 1, 0, 32}, {"lookup", 16, 0, 32}, {"lookup", 256, 0, 32},
	{"load", 1, 4 << 10, 1}, {"load", 16, 4 << 10, 1}, {"load", 1, 4 << 10, 8},
	{"load", 1, 64 << 10, 1}, {"load", 16, 64 << 10, 8}, {"load", 1, 1 << 20, 1}, {"load", 16, 1 << 20, 8},
	{"load", 1, 4 << 20, 1}, {"load", 4, 4 << 20, 4},
	{"store", 1, 4 << 10, 1}, {"store", 1, 64 << 10, 1}, {"store", 1, 1 << 20, 1}, {"store", 16, 1 << 20, 8}, {"store", 4, 4 << 20, 4},
}

type settings struct {
	lib, params, driver, placements, only string
	seconds                               float64
	rounds                                int
	jsonOut                               string
}

func main() {
	var s settings
	var child childSettings
	flag.StringVar(&s.lib, "lib", "", "connector library")
	flag.StringVar(&s.params, "params", "{}", "its configuration, JSON")
	flag.StringVar(&s.driver, "driver", "", "the sixcall-driver program")
	flag.StringVar(&s.placements, "placements", "same,free", "comma-separated: same, free")
	flag.StringVar(&s.only, "only", "", "run only workloads whose name contains this, such as lookup/1/")
	flag.Float64Var(&s.seconds, "seconds", 0.5, "length of a round")
	flag.IntVar(&s.rounds, "rounds", 5, "rounds of each program")
	flag.StringVar(&s.jsonOut, "json", "", "also write all rounds to this file")
	child.register()
	flag.Parse()
	run := func() error { return s.run() }
	if child.op != "" {
		child.lib, child.params, child.seconds = s.lib, s.params, s.seconds
		run = child.run
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// programs are the columns, the yardstick first.
var programs = []string{"c++", "context", "events", "isolated"}

func (s *settings) run() error {
	if s.lib == "" || s.driver == "" {
		return fmt.Errorf("-lib and -driver are needed; `make bench` gives them")
	}
	all := map[string]map[string][]result{} // placement/workload -> program -> rounds
	for _, placement := range strings.Split(s.placements, ",") {
		fmt.Printf("\nplacement %s\n", placement)
		fmt.Printf("%-22s %10s %8s %8s | %9s %8s %8s %6s %7s | %9s %8s %6s | %9s %8s %8s %7s %7s\n", "op/batch/bytes/depth",
			"c++ op/s", "p50 µs", "p99 µs", "ctx op/s", "p50", "p99", "x op/s", "allocs", "fd op/s", "p50", "x op/s",
			"iso op/s", "p50", "p99", "+p50 µs", "x ctx")
		for _, w := range workloads {
			name := fmt.Sprintf("%s/%d/%d/%d", w.op, w.batch, w.valueBytes, w.depth)
			if !strings.Contains(name, s.only) {
				continue
			}
			rounds, err := s.rows(placement, w)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", placement, name, err)
			}
			all[placement+"/"+name] = rounds
			c, ctx, fd, iso := median(rounds["c++"]), median(rounds["context"]), median(rounds["events"]), median(rounds["isolated"])
			fmt.Printf("%-22s %10.0f %8.1f %8.1f | %9.0f %8.1f %8.1f %6.2f %7.3f | %9.0f %8.1f %6.2f | %9.0f %8.1f %8.1f %7.1f %7.2f\n", name,
				c.OpsPerS, c.P50, c.P99, ctx.OpsPerS, ctx.P50, ctx.P99, ctx.OpsPerS/c.OpsPerS, ctx.Allocs,
				fd.OpsPerS, fd.P50, fd.OpsPerS/c.OpsPerS,
				iso.OpsPerS, iso.P50, iso.P99, iso.P50-ctx.P50, iso.OpsPerS/ctx.OpsPerS)
		}
	}
	if s.jsonOut == "" {
		return nil
	}
	data, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(s.jsonOut, append(data, '\n'), 0o644)
}

// rows runs the rounds of one workload, the programs in turn.
func (s *settings) rows(placement string, w workload) (map[string][]result, error) {
	out := map[string][]result{}
	for range s.rounds {
		for _, program := range programs {
			r, err := s.round(program, placement, w)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", program, err)
			}
			out[program] = append(out[program], r)
		}
	}
	return out, nil
}

func (s *settings) round(program, placement string, w workload) (result, error) {
	params := s.params
	if placement == "same" && params == "{}" {
		params = `{"workers":1}`
	}
	args := []string{"--lib", s.lib, "--params", params, "--op", w.op, "--batch", fmt.Sprint(w.batch),
		"--value-bytes", fmt.Sprint(max(w.valueBytes, 1)), "--depth", fmt.Sprint(w.depth), "--seconds", fmt.Sprint(s.seconds)}
	argv := append([]string{s.driver}, args...)
	if program != "c++" {
		self, err := os.Executable()
		if err != nil {
			return result{}, err
		}
		argv = append([]string{self, "--face", program}, args...)
	}
	if placement == "same" {
		argv = append([]string{"taskset", "-c", "0"}, argv...)
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return result{}, fmt.Errorf("%w: %s", err, strings.TrimSpace(stderr.String()))
	}
	var r result
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		return result{}, fmt.Errorf("%q: %w", stdout.String(), err)
	}
	return r, nil
}

// median takes the round with the median rate.
func median(rounds []result) result {
	sorted := slices.Clone(rounds)
	slices.SortFunc(sorted, func(a, b result) int {
		if a.OpsPerS < b.OpsPerS {
			return -1
		}
		return 1
	})
	return sorted[len(sorted)/2]
}
