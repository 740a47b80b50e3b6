//go:build linux

package conformance

// Verdict is the outcome of one check.
type Verdict string

// The verdicts. Fail, Crash, Timeout and Leak mean that the library is not conformant.
const (
	Pass      Verdict = "PASS"
	Warn      Verdict = "WARN"       // works, with something a host should know
	Skip      Verdict = "SKIP"       // not applicable, or something for it was not given
	Fail      Verdict = "FAIL"       // breaks the contract
	Crash     Verdict = "CRASH"      // the process died
	Timeout   Verdict = "TIMEOUT"    // a call did not return, or a ticket never completed
	Leak      Verdict = "LEAK"       // something is left behind
	ToolError Verdict = "TOOL-ERROR" // the check itself could not run; says nothing about the library
)

// Bad reports whether the library is at fault.
func (v Verdict) Bad() bool { return v == Fail || v == Crash || v == Timeout || v == Leak }

// Result is what one check found.
type Result struct {
	ID      string  `json:"id"`
	Name    string  `json:"name"`
	Level   int     `json:"level"`
	Verdict Verdict `json:"verdict"`
	// Text says what was seen.
	Text string `json:"text,omitempty"`
	// Means and Fix are set when the library is at fault: what that means for a host,
	// and what to do.
	Means string `json:"means,omitempty"`
	Fix   string `json:"fix,omitempty"`
	// Waived is the reason for which a bad verdict does not count.
	Waived     string             `json:"waived,omitempty"`
	Figures    map[string]float64 `json:"figures,omitempty"`
	DurationMS int64              `json:"duration_ms"`
	// Output is the end of what the process printed; only with a bad verdict.
	Output string `json:"output,omitempty"`
}

// Counts reports whether the result makes the library not conformant.
func (r Result) Counts() bool { return r.Verdict.Bad() && r.Waived == "" }
