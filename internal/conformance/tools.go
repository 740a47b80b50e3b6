//go:build linux

package conformance

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

func init() {
	commandRunners["N01"] = checkMemcheck
	commandRunners["N02"] = checkHelgrind
	commandRunners["N03"] = checkASan
	commandRunners["N04"] = checkTSan
	commandRunners["N05"] = checkLSan
	commandRunners["M05"] = checkUninitialised
}

// checkLSan is N05: the shipped library in the probe that has LeakSanitizer.
func checkLSan(ctx context.Context, r *run, _ Check) Result {
	probe, err := FindProbe(r.Probe, r.Library, "sixcall-probe-asan")
	if err != nil {
		return skip("no sixcall-probe-asan was built")
	}
	result := r.probeCheck(ctx, "N05", variant{probe: probe, tools: true, env: []string{asanOptions("detect_leaks=1")}})
	if strings.Contains(result.Output, "LeakSanitizer has encountered a fatal error") {
		return skip("LeakSanitizer does not work in this environment (ptrace is not allowed)")
	}
	return result
}

func asanOptions(more string) string {
	return "ASAN_OPTIONS=abort_on_error=0:allocator_may_return_null=1:" + more
}

// twin returns the path of libX_KIND.so beside libX.so, "" when there is none.
func (r *run) twin(kind string) string {
	path := strings.TrimSuffix(r.Library, ".so") + "_" + kind + ".so"
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	return path
}

// several runs checks of the probe one after the other and returns the first bad
// result, with the id in front.
func (r *run) several(ctx context.Context, v variant, ids ...string) Result {
	started := time.Now()
	ran := 0
	for _, id := range ids {
		result := r.probeCheck(ctx, id, v)
		result.DurationMS = time.Since(started).Milliseconds()
		if result.Verdict.Bad() || result.Verdict == ToolError {
			result.Text = id + ": " + result.Text
			return result
		}
		if result.Verdict != Skip {
			ran++
		}
	}
	return Result{Verdict: Pass, Text: fmt.Sprintf("%d checks", ran), DurationMS: time.Since(started).Milliseconds()}
}

// underTools are the checks that are worth their time under a slow tool.
var underTools = []string{"O02", "O03", "O08", "C01", "C04", "B03", "B06", "B10", "M04", "X02", "X09", "P01", "P03", "P04", "P05", "P06"}

func checkASan(ctx context.Context, r *run, _ Check) Result {
	library := r.twin("asan")
	if library == "" {
		return skip("there is no %s", filepath.Base(strings.TrimSuffix(r.Library, ".so")+"_asan.so"))
	}
	probe, err := FindProbe(r.Probe, r.Library, "sixcall-probe-asan")
	if err != nil {
		return skip("no sixcall-probe-asan was built")
	}
	v := variant{probe: probe, library: library, tools: true, limit: 3 * r.Limit,
		env: []string{asanOptions("detect_leaks=0:detect_stack_use_after_return=1"), "UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1"}}
	return r.several(ctx, v, underTools...)
}

func checkTSan(ctx context.Context, r *run, _ Check) Result {
	library := r.twin("tsan")
	if library == "" {
		return skip("there is no %s", filepath.Base(strings.TrimSuffix(r.Library, ".so")+"_tsan.so"))
	}
	probe, err := FindProbe(r.Probe, r.Library, "sixcall-probe-tsan")
	if err != nil {
		return skip("no sixcall-probe-tsan was built")
	}
	seed := r.Seed
	defer func() { r.Seed = seed }()
	var result Result
	for i := range uint64(5) {
		r.Seed = seed + i
		v := variant{probe: probe, library: library, tools: true, limit: 3 * r.Limit, env: []string{"TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1"}}
		result = r.several(ctx, v, "C01", "T04", "F04", "X05", "B06")
		if result.Verdict != Pass {
			result.Text = fmt.Sprintf("seed %d: %s", r.Seed, result.Text)
			return result
		}
	}
	result.Text = "5 seeds"
	return result
}

// valgrind returns its path, "" when it is not installed or cannot run the probe.
func valgrind() string {
	path, err := exec.LookPath("valgrind")
	if err != nil {
		return ""
	}
	return path
}

// underValgrind runs checks under a valgrind tool; a report of errors is a FAIL.
func (r *run) underValgrind(ctx context.Context, tool []string, ids ...string) Result {
	path := valgrind()
	if path == "" {
		return skip("valgrind is not installed")
	}
	effort, patience := r.Effort, r.Patience
	defer func() { r.Effort, r.Patience = effort, patience }()
	r.Effort, r.Patience = min(effort, 2*time.Second), 4*patience // it is 20 to 50 times slower
	known, err := knownReports(r.tmp)
	if err != nil {
		return verdict(ToolError, "%v", err)
	}
	before := append([]string{path, "--error-exitcode=99", "--num-callers=20", "--fair-sched=yes", "--quiet", "--suppressions=" + known}, tool...)
	started := time.Now()
	for _, id := range ids {
		v := variant{before: before, tools: true, limit: 5 * time.Minute, set: map[string]string{"catch_faults": "0"}}
		out, limit, err := r.probeChild(ctx, id, v)
		if err != nil {
			return verdict(ToolError, "%v", err)
		}
		if report, whole := valgrindReport(out.output); report != "" {
			v := Fail
			if strings.Contains(report, "lost in loss record") {
				v = Leak
			}
			return Result{Verdict: v, Text: id + ": " + report, Output: whole, DurationMS: time.Since(started).Milliseconds()}
		}
		result := out.verdict(limit)
		if result.Verdict.Bad() || result.Verdict == ToolError {
			result.Text = id + ": " + result.Text
			result.DurationMS = time.Since(started).Milliseconds()
			return result
		}
	}
	return Result{Verdict: Pass, Text: fmt.Sprintf("%d checks", len(ids)), DurationMS: time.Since(started).Milliseconds()}
}

// knownReports writes a file with what valgrind reports of every library that loads
// others: the loader compares "$ORIGIN" in a run path by words.
func knownReports(dir string) (path string, err error) {
	var text strings.Builder
	for _, kind := range []string{"Addr8", "Addr16", "Cond"} {
		fmt.Fprintf(&text, "{\n  the loader's run path\n  Memcheck:%s\n  fun:strncmp\n  fun:is_dst\n}\n", kind)
	}
	path = filepath.Join(dir, "valgrind.supp")
	return path, os.WriteFile(path, []byte(text.String()), 0o600)
}

// valgrindHeads are how valgrind's reports begin.
var valgrindHeads = []string{
	"Possible data race", "Invalid ", "Conditional jump", "Use of uninitialised", "Syscall param", "Mismatched free", "Source and destination overlap",
	"Process terminating", "lock order", "Exiting thread", "Jump to the invalid",
}

// valgrindReport returns the head of valgrind's first report, or "", and the whole
// report without what else was printed.
func valgrindReport(output string) (head, whole string) {
	var lines []string
	for line := range strings.Lines(output) {
		_, text, found := strings.Cut(strings.TrimRight(line, "\n"), "== ")
		if !found || !strings.HasPrefix(line, "==") {
			continue
		}
		text = strings.TrimRight(text, " ")
		switch {
		case head == "":
			if head = reportHead(strings.TrimSpace(text)); head != "" {
				lines = append(lines, text)
			}
		case text == "" || len(lines) == reportLines: // ends a report
			return head, strings.Join(lines, "\n")
		default:
			lines = append(lines, text)
		}
	}
	return head, strings.Join(lines, "\n")
}

// reportLines is how much of a report is shown: the end of a deep stack says least.
const reportLines = 24

// reportHead returns a line of valgrind's that begins a report, "" for any other.
func reportHead(text string) string {
	if strings.Contains(text, "lost in loss record") {
		return text
	}
	for _, head := range valgrindHeads {
		if strings.HasPrefix(text, head) {
			return text
		}
	}
	return ""
}

func checkMemcheck(ctx context.Context, r *run, _ Check) Result {
	tool := []string{"--tool=memcheck", "--leak-check=full", "--show-leak-kinds=definite", "--errors-for-leak-kinds=definite", "--undef-value-errors=yes"}
	return r.underValgrind(ctx, tool, "O08", "C02", "B03", "B10", "M04", "X09", "P01", "P05")
}

func checkHelgrind(ctx context.Context, r *run, _ Check) Result {
	tool := []string{"--tool=helgrind", "--history-level=approx"}
	result := r.underValgrind(ctx, tool, "C01", "T04")
	if result.Verdict == Fail && strings.Contains(result.Text, "Possible data race") {
		// It does not know the atomics of C++ and C11, so it cannot decide.
		result.Verdict = Warn
		result.Text += "; helgrind does not know atomics, a ThreadSanitizer twin (N04) decides"
	}
	return result
}

// checkUninitialised is M05: what a store sends must be initialised.
func checkUninitialised(ctx context.Context, r *run, _ Check) Result {
	tool := []string{"--tool=memcheck", "--leak-check=no", "--undef-value-errors=yes", "--track-origins=yes"}
	result := r.underValgrind(ctx, tool, "C02")
	if result.Verdict.Bad() && !strings.Contains(result.Text, "uninitialised") {
		return pass("nothing uninitialised; valgrind reports something else, see check N01")
	}
	return result
}
