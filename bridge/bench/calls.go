package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// call is one way into C and back.
type call struct {
	Path   string    `json:"path"`
	Rounds []float64 `json:"ns"`
	Allocs float64   `json:"allocs"`
}

func (c *call) median() float64 {
	sorted := slices.Sorted(slices.Values(c.Rounds))
	return sorted[len(sorted)/2]
}

var benchLine = regexp.MustCompile(`^BenchmarkCall/path=(\S+?)(?:-\d+)?\s+\d+\s+([\d.]+) ns/op.*\s(\d+) allocs/op`)

// calls compares the call of package native, without cgo, with the same call
// through cgo. The two test binaries are built beforehand, and take turns.
func (s *settings) calls() error {
	fmt.Printf("\ncalls: four integers into C and back, one CPU\n")
	at := map[string]*call{}
	for range max(s.rounds, 3) {
		for _, binary := range []string{"calls-cgo.test", "calls-native.test"} {
			cmd := exec.Command("taskset", "-c", "0", s.build+"/"+binary, "-test.run", "-", "-test.bench", "BenchmarkCall", "-test.benchtime", "200ms")
			cmd.Dir = s.build
			if binary == "calls-native.test" {
				cmd.Dir = s.build + "/../../native" // its C source is compiled from there
			}
			cmd.Stderr = os.Stderr
			out, err := cmd.Output()
			if err != nil {
				return fmt.Errorf("%s: %w\n%s", binary, err, out)
			}
			for line := range strings.Lines(string(out)) {
				m := benchLine.FindStringSubmatch(line)
				if m == nil {
					continue
				}
				ns, _ := strconv.ParseFloat(m[2], 64)
				allocs, _ := strconv.ParseFloat(m[3], 64)
				if at[m[1]] == nil {
					at[m[1]] = &call{Path: m[1]}
				}
				at[m[1]].Rounds = append(at[m[1]].Rounds, ns)
				at[m[1]].Allocs = max(at[m[1]].Allocs, allocs)
			}
		}
	}
	for _, path := range []string{"cgo", "own", "trampoline", "pooled", "syscalln"} {
		c := at[path]
		if c == nil && path == "own" {
			continue // another architecture
		}
		if c == nil {
			return fmt.Errorf("no result of path=%s", path)
		}
		fmt.Printf("  %-24s %6.1f ns  %.0f allocs  x%.2f of cgo\n", path, c.median(), c.Allocs, ratio(c.median(), at["cgo"].median()))
		s.data.Calls = append(s.data.Calls, *c)
	}
	return nil
}
