package native

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sixcall/sixcall/bridge/kv"
)

// The verdicts of a [Report].
const (
	VerdictOK       = "ok"       // nothing to say
	VerdictWarnings = "warnings" // loads, but breaks a rule or may fail
	VerdictRefused  = "refused"  // will not be loaded into this process
)

// Report is what is known about one library.
type Report struct {
	Path    string `json:"path"` // absolute, symbolic links resolved
	SHA256  string `json:"sha256,omitempty"`
	Size    int64  `json:"size"` // bytes
	Machine string `json:"machine,omitempty"`
	// Note is what the library says about itself without being run; nil when
	// it has none.
	Note *Note `json:"note,omitempty"`
	// Needed is the closure of needed libraries, nearest first.
	Needed []Needed `json:"needed,omitempty"`
	// GoRuntime lists where an embedded Go runtime was found. A library with
	// one cannot share a process with this program.
	GoRuntime []GoRuntime `json:"go_runtime,omitempty"`
	// Exports are the dynamic symbols that the library defines; nil when its
	// section headers are stripped.
	Exports []string `json:"exports,omitempty"`
	// Table is what the library says when it is loaded; nil when it was not.
	Table *Table `json:"table,omitempty"`
	// Changed names what loading or opening the library changed in the process
	// and was put back: signal handlers, the thread's mask and signal stack.
	Changed  []string  `json:"changed,omitempty"`
	Problems []Problem `json:"problems,omitempty"`
	Verdict  string    `json:"verdict"`
}

// Note is the content of the ELF note .note.sixcall.
type Note struct {
	ABIMajor  uint16   `json:"abi_major"`
	ABIMinor  uint16   `json:"abi_minor"`
	TableSize uint32   `json:"table_size"` // bytes
	Caps      kv.Caps  `json:"-"`
	CapNames  []string `json:"caps"`
	Vendor    string   `json:"vendor"`
	Product   string   `json:"product"`
	Version   string   `json:"version"`
}

// Needed is one library of the closure.
type Needed struct {
	Name string `json:"name"`
	// Path is where it was found, "" when it was not.
	Path string `json:"path,omitempty"`
	// By is the file that needs it.
	By string `json:"by"`
}

// GoRuntime says which file embeds a Go runtime and by what it was recognised.
type GoRuntime struct {
	Path     string `json:"path"`
	Evidence string `json:"evidence"`
}

// Table is the content of the library's function table.
type Table struct {
	Size         uint32   `json:"size"` // bytes, as the library declares
	ABIMajor     uint16   `json:"abi_major"`
	ABIMinor     uint16   `json:"abi_minor"`
	MinorInUse   uint16   `json:"abi_minor_in_use"` // the lower one of the library's and ours
	Name         string   `json:"name"`
	Version      string   `json:"version"`
	Vendor       string   `json:"vendor"`
	Caps         []string `json:"caps"`
	UnknownCaps  []int    `json:"unknown_caps,omitempty"` // bit numbers
	Needs        uint64   `json:"needs"`
	ThreadModel  string   `json:"thread_model"`
	Slots        []string `json:"slots"` // those that are not NULL
	ConfigSchema string   `json:"config_schema,omitempty"`
}

// Problem is one finding about a library.
type Problem struct {
	// Severity is "error" when the library is refused because of it, else "warning".
	Severity string `json:"severity"`
	Text     string `json:"text"`

	code kv.Code
}

func (r *Report) refuse(code kv.Code, format string, args ...any) {
	r.Problems = append(r.Problems, Problem{Severity: "error", Text: fmt.Sprintf(format, args...), code: code})
}

func (r *Report) warn(format string, args ...any) {
	r.Problems = append(r.Problems, Problem{Severity: "warning", Text: fmt.Sprintf(format, args...)})
}

// Warnings returns the texts of the problems that did not refuse the library.
func (r *Report) Warnings() []string {
	var texts []string
	for _, p := range r.Problems {
		if p.Severity == "warning" {
			texts = append(texts, p.Text)
		}
	}
	return texts
}

// Err returns nil, or one error with everything for which the library is refused.
func (r *Report) Err() error {
	var texts []string
	code := kv.OK
	for _, p := range r.Problems {
		if p.Severity != "error" {
			continue
		}
		if code == kv.OK {
			code = p.code
		}
		texts = append(texts, p.Text)
	}
	if code == kv.OK {
		return nil
	}
	return &kv.Error{Op: "load", Connector: r.Path, Code: code, Err: errors.New(strings.Join(texts, "; "))}
}

// conclude sets the verdict from the problems.
func (r *Report) conclude() *Report {
	switch {
	case r.Err() != nil:
		r.Verdict = VerdictRefused
	case len(r.Problems) > 0:
		r.Verdict = VerdictWarnings
	default:
		r.Verdict = VerdictOK
	}
	return r
}

// clone returns a copy whose lists can grow without touching r's.
func (r *Report) clone() *Report {
	c := *r
	c.Problems = append([]Problem(nil), r.Problems...)
	c.Changed = append([]string(nil), r.Changed...)
	return &c
}
