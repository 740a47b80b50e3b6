//go:build linux

package conformance

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sixcall/sixcall/bridge/kv"
)

func init() {
	for _, id := range []string{"R06", "R07", "R08", "R09", "R11", "T12"} {
		commandRunners[id] = injected
	}
	commandRunners["Z01"] = checkFuzz
	commandRunners["Z04"] = checkSchedules
	commandRunners["B15"] = checkTornWrite
}

// injectLibrary is the file that lets calls fail, beside the probe.
func (r *run) injectLibrary() (string, error) {
	return FindFile(filepath.Join(filepath.Dir(r.probe), "libsixcall-inject.so"))
}

// injected runs a check with the library that lets calls fail.
func injected(ctx context.Context, r *run, c Check) Result {
	lib, err := r.injectLibrary()
	if err != nil {
		return skip("%v", err)
	}
	return r.probeCheck(ctx, c.ID, variant{env: []string{"LD_PRELOAD=" + lib}, limit: r.Limit + 8*r.Effort})
}

// checkTornWrite is B15.
func checkTornWrite(ctx context.Context, r *run, _ Check) Result {
	if !kv.Caps(r.caps).Has(kv.CapPersistent) {
		return skip("values end with the process: the library does not declare PERSISTENT")
	}
	return r.probeCheck(ctx, "B15", variant{limit: r.Limit + 4*r.Effort})
}

// checkSchedules is Z04: random pauses at locks, on one CPU and on all.
func checkSchedules(ctx context.Context, r *run, _ Check) Result {
	lib, err := r.injectLibrary()
	if err != nil {
		return skip("%v", err)
	}
	started := time.Now()
	for i := range uint64(4) {
		v := variant{env: []string{"LD_PRELOAD=" + lib}, limit: 2 * r.Limit, set: map[string]string{
			"sched_seed": strconv.FormatUint(r.Seed+i, 10), "one_cpu": strconv.FormatUint(i%2, 10),
		}}
		result := r.several(ctx, v, "C01", "F04", "X02", "X05")
		if result.Verdict != Pass {
			result.Text = fmt.Sprintf("pauses seeded with %d, %s: %s", r.Seed+i, map[bool]string{true: "one CPU", false: "all CPUs"}[i%2 == 1], result.Text)
			return result
		}
	}
	return Result{Verdict: Pass, Text: "4 schedules", DurationMS: time.Since(started).Milliseconds()}
}

// checkFuzz is Z01. A walk that fails is shortened: steps are left out as long as it
// still fails in the same way.
func checkFuzz(ctx context.Context, r *run, _ Check) Result {
	const walk = 2000 // steps
	for i := range uint64(3) {
		from := i * walk
		set := map[string]string{"from": strconv.FormatUint(from, 10), "steps": strconv.Itoa(walk)}
		out, limit, err := r.probeChild(ctx, "Z01", variant{set: set})
		if err != nil {
			return verdict(ToolError, "%v", err)
		}
		result := out.verdict(limit)
		if !result.Verdict.Bad() {
			if result.Verdict != Pass || i == 2 {
				return result
			}
			continue
		}
		r.shorten(ctx, out, from, &result)
		return result
	}
	return pass("")
}

// shorten replaces the output of a failed walk by the fewest steps that still fail.
func (r *run) shorten(ctx context.Context, out outcome, from uint64, result *Result) {
	keep := []byte(strings.Repeat("1", out.lastStep(from)+1))
	attempt := func(keep []byte) (outcome, Result) {
		set := map[string]string{"from": strconv.FormatUint(from, 10), "keep": string(keep)}
		out, limit, err := r.probeChild(ctx, "Z01", variant{set: set})
		if err != nil {
			return out, verdict(ToolError, "%v", err)
		}
		return out, out.verdict(limit)
	}
	deadline := time.Now().Add(max(6*r.Effort, 10*time.Second))
	for size := len(keep) / 2; size >= 1 && time.Now().Before(deadline); size /= 2 {
		for at := 0; at < len(keep) && time.Now().Before(deadline); at += size {
			fewer := append([]byte(nil), keep...)
			changed := false
			for i := at; i < min(at+size, len(keep)); i++ {
				changed = changed || fewer[i] == '1'
				fewer[i] = '0'
			}
			if !changed {
				continue
			}
			if o, again := attempt(fewer); again.Verdict == result.Verdict {
				keep, out = fewer, o
				result.Text = again.Text
			}
		}
	}
	var steps []string
	for _, line := range out.lines {
		if line.What != "" {
			steps = append(steps, fmt.Sprintf("%d %s", line.Step, line.What))
		}
	}
	result.Text += fmt.Sprintf(" (seed %d, %d steps)", r.Seed, len(steps))
	result.Output = "the steps that still fail, on two handles:\n" + strings.Join(steps, "\n") + "\n" + result.Output
}

// lastStep is the offset of the last step that a walk announced.
func (o outcome) lastStep(from uint64) int {
	last := 0
	for _, line := range o.lines {
		if line.What != "" && line.Step >= from {
			last = int(line.Step - from)
		}
	}
	return last
}
