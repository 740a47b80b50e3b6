package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sixcall/sixcall/adapters/config"
	"github.com/sixcall/sixcall/cmd/sixcall/internal/term"
	"github.com/sixcall/sixcall/native"
)

func newInspect(a *app) *cobra.Command {
	var noLoad bool
	cmd := &cobra.Command{
		Use:   "inspect LIB|NAME",
		Short: "Show what a connector library is and whether it can be loaded",
		Long: `Inspect looks at a connector library: the note that can be read without running
any of its code, the libraries it needs, its function table, its capabilities and
the parameters it accepts. The verdict says whether it can be loaded.

LIB is a path (it contains a '/'). NAME is looked up as libsixcall_NAME.so in
$SIXCALL_CONNECTOR_PATH, $XDG_CONFIG_HOME/sixcall/connectors and the system's
folders.

Without --no-load the library is loaded into this process, which runs its
initialisers; no connection is opened. A library that embeds a Go runtime is not.

"auto" says where a configuration without "isolation" runs it, and why.`,
		Example: `  sixcall inspect mem
  sixcall inspect ./build/libsixcall_acme.so --no-load --format json`,
		Args: exactlyOne("a library"),
	}
	cmd.Flags().BoolVar(&noLoad, "no-load", false, "do not run any code of the library")
	out := addOutput(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		path, err := native.Find(args[0], nil)
		if err != nil {
			return failed(err)
		}
		// What cannot share a process with this program is looked at from outside.
		report, err := native.InspectIsolated(path, "")
		if err == nil && !noLoad && len(report.GoRuntime) == 0 {
			report, err = native.Inspect(path, true)
		}
		if err != nil {
			return failed(err)
		}
		found := inspection{Report: report}
		found.Auto.Isolation, found.Auto.Why = config.ChooseIsolation(config.IsolationAuto, report)
		if err := out.write(a, false, inspectText(found), found); err != nil {
			return err
		}
		if report.Verdict == native.VerdictRefused {
			return failed(report.Err())
		}
		return nil
	}
	return cmd
}

// inspection is what the command says of a library.
type inspection struct {
	*native.Report
	// Auto is where "isolation": "auto" runs it.
	Auto struct {
		Isolation config.Isolation `json:"isolation"`
		Why       string           `json:"why"`
	} `json:"auto"`
}

// exactlyOne is cobra.ExactArgs(1) in words.
func exactlyOne(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch len(args) {
		case 0:
			return fmt.Errorf("%s is missing", what)
		case 1:
			return nil
		}
		return fmt.Errorf("want %s, got %d arguments", what, len(args))
	}
}

func inspectText(r inspection) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", r.Path)
	t := term.Table{Left: []int{0, 1}}
	t.Row("file", fmt.Sprintf("%s, %s", term.Bytes(r.Size), r.Machine))
	if r.SHA256 != "" {
		t.Row("sha256", r.SHA256)
	}
	if n := r.Note; n != nil {
		t.Row("note", fmt.Sprintf("%s %s by %s, ABI %d.%d", n.Product, n.Version, n.Vendor, n.ABIMajor, n.ABIMinor))
		t.Row("", "capabilities: "+list(n.CapNames))
	} else {
		t.Row("note", "none: what the library is cannot be told without running it")
	}
	if tab := r.Table; tab != nil {
		t.Row("table", fmt.Sprintf("%s %s by %s, ABI %d.%d, %d bytes, threads: %s", tab.Name, tab.Version, tab.Vendor, tab.ABIMajor, tab.ABIMinor, tab.Size, tab.ThreadModel))
		t.Row("", "capabilities: "+list(tab.Caps))
		t.Row("", "calls: "+list(tab.Slots))
	} else {
		t.Row("table", "not read, because the library was not loaded")
	}
	for i, n := range r.Needed {
		t.Row(label(i, "needs"), neededText(n))
	}
	for i, g := range r.GoRuntime {
		t.Row(label(i, "Go runtime"), fmt.Sprintf("in %s (%s)", g.Path, g.Evidence))
	}
	if r.Auto.Isolation != "" {
		where := "this process"
		if r.Auto.Isolation == config.IsolationProcess {
			where = "a worker process"
		}
		t.Row("auto", fmt.Sprintf("runs in %s: %s", where, r.Auto.Why))
	}
	for i, c := range r.Changed {
		t.Row(label(i, "changed"), c)
	}
	b.WriteString(t.String())
	if r.Table != nil && r.Table.ConfigSchema != "" {
		b.WriteString("\n" + schemaText(r.Table.ConfigSchema))
	}
	b.WriteByte('\n')
	for _, p := range r.Problems {
		fmt.Fprintf(&b, "%s: %s\n", p.Severity, p.Text)
	}
	b.WriteString("verdict: " + verdictText(r.Verdict) + "\n")
	return b.String()
}

func verdictText(verdict string) string {
	switch verdict {
	case native.VerdictOK:
		return "ok, this library can be used"
	case native.VerdictWarnings:
		return "usable, with the warnings above"
	case native.VerdictRefused:
		return "refused, this library will not be loaded"
	}
	return verdict
}

// label returns name for the first row of a group and nothing for the others.
func label(i int, name string) string {
	if i > 0 {
		return ""
	}
	return name
}

func list(items []string) string {
	if len(items) == 0 {
		return "none"
	}
	return strings.Join(items, ", ")
}

func neededText(n native.Needed) string {
	if n.Path == "" {
		return fmt.Sprintf("%s: NOT FOUND, needed by %s", n.Name, n.By)
	}
	return fmt.Sprintf("%s: %s", n.Name, n.Path)
}

// schemaText lists the parameters of a JSON Schema; a schema that is no object
// of properties is shown as it is.
func schemaText(schema string) string {
	var s struct {
		Properties map[string]struct {
			Type        any    `json:"type"`
			Default     any    `json:"default"`
			Description string `json:"description"`
			Enum        []any  `json:"enum"`
		} `json:"properties"`
		Required []string `json:"required"`
	}
	if err := json.Unmarshal([]byte(schema), &s); err != nil || len(s.Properties) == 0 {
		return "adapter_params: " + schema + "\n"
	}
	required := map[string]bool{}
	for _, name := range s.Required {
		required[name] = true
	}
	t := term.Table{Left: []int{0, 1, 2, 3}}
	for _, name := range sortedKeys(s.Properties) {
		p := s.Properties[name]
		kind := ""
		if p.Type != nil {
			kind = fmt.Sprint(p.Type)
		}
		if len(p.Enum) > 0 {
			kind = strings.Trim(strings.ReplaceAll(fmt.Sprint(p.Enum), " ", "|"), "[]")
		}
		value := ""
		switch {
		case required[name]:
			value = "required"
		case p.Default != nil:
			text, _ := json.Marshal(p.Default)
			value = "default " + string(text)
		}
		t.Row(name, kind, value, p.Description)
	}
	return "adapter_params that it accepts:\n" + t.String()
}
