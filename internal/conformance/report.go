//go:build linux

package conformance

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sixcall/sixcall/bridge/kv"
)

// ReportSchema names the form of the JSON report. A later one with more fields keeps
// the number.
const ReportSchema = "sixcall.check/1"

// Report is the outcome of [Run].
type Report struct {
	Schema     string         `json:"schema"`
	Library    string         `json:"library"`
	SHA256     string         `json:"sha256"`
	Connector  string         `json:"connector,omitempty"` // name, version and vendor
	ABI        string         `json:"abi,omitempty"`
	Caps       []string       `json:"capabilities,omitempty"`
	Checker    string         `json:"checker"` // version of this program
	Machine    string         `json:"machine"`
	Level      int            `json:"level"`
	Only       []string       `json:"only,omitempty"`
	Seed       uint64         `json:"seed"`
	Started    time.Time      `json:"started"`
	DurationMS int64          `json:"duration_ms"`
	Counts     map[string]int `json:"counts"` // by verdict; WAIVED for waived ones
	// Conformant: no bad verdict that counts, no check that could not run, and all
	// checks of level 2 or more were run.
	Conformant bool     `json:"conformant"`
	Results    []Result `json:"results"`
}

func (p *Report) describe(r *run) {
	if n := r.file.Note; n != nil {
		p.Connector = fmt.Sprintf("%s %s by %s", n.Product, n.Version, n.Vendor)
		p.ABI = fmt.Sprintf("%d.%d", n.ABIMajor, n.ABIMinor)
		p.Caps = n.CapNames
	}
	if t := r.table; t != nil {
		p.Connector = fmt.Sprintf("%s %s by %s", t.Name, t.Version, t.Vendor)
		p.ABI = t.ABI
		p.Caps = kv.Caps(t.Caps).Names()
	}
}

func (p *Report) conclude() {
	p.Counts = map[string]int{}
	ok := true
	for _, r := range p.Results {
		if r.Waived != "" {
			p.Counts["WAIVED"]++
			continue
		}
		p.Counts[string(r.Verdict)]++
		ok = ok && !r.Verdict.Bad() && r.Verdict != ToolError
	}
	p.Conformant = ok && len(p.Only) == 0 && p.Level >= Conformant
}

// Failed reports whether something counts against the library.
func (p *Report) Failed() bool {
	for _, r := range p.Results {
		if r.Counts() {
			return true
		}
	}
	return false
}

// Broken reports whether a check could not be carried out.
func (p *Report) Broken() bool { return p.Counts[string(ToolError)] > 0 }

// summary is the last line of every form.
func (p *Report) summary() string {
	var parts []string
	for _, v := range []Verdict{Pass, Warn, Skip, Fail, Crash, Timeout, Leak, ToolError, "WAIVED"} {
		if n := p.Counts[string(v)]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, strings.ToLower(string(v))))
		}
	}
	text := strings.Join(parts, ", ")
	switch {
	case p.Failed():
		return text + ": NOT CONFORMANT"
	case p.Broken():
		return text + ": incomplete, a check could not run"
	case p.Conformant:
		return fmt.Sprintf("%s: conformant at level %d", text, p.Level)
	}
	return text + ": no fault found; level 2 decides whether it is conformant"
}

// checkerVersion is the version of the program that checks.
func checkerVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "unknown"
	}
	return info.Main.Version
}

// machine describes where the checks ran: platform, CPUs, kernel.
func machine() string {
	text := fmt.Sprintf("%s/%s, %d CPUs", runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		text += ", kernel " + unix.ByteSliceToString(u.Release[:])
	}
	if host, err := os.ReadFile("/etc/os-release"); err == nil {
		for line := range strings.Lines(string(host)) {
			if name, ok := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); ok {
				text += ", " + strings.Trim(name, `"`)
			}
		}
	}
	return text
}
