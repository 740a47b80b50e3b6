package config

import (
	"fmt"
	"slices"

	"github.com/sixcall/sixcall/native"
)

// lightConnectors are the bundled connectors that "auto" runs in this process:
// they bring no foreign client library.
var lightConnectors = []string{"fs", "infinistore", "mem", "redis"}

const bundledVendor = "Sixcall"

// ChooseIsolation says where a library runs, [IsolationNone] or
// [IsolationProcess], and why, in a few words. report is what [native.Inspect] says
// of it without running it.
func ChooseIsolation(setting Isolation, report *native.Report) (where Isolation, why string) {
	switch {
	case setting != IsolationAuto:
		return setting, "the configuration says so"
	case len(report.GoRuntime) > 0:
		return IsolationProcess, fmt.Sprintf("%q embeds a Go runtime", report.GoRuntime[0].Path)
	case report.Note == nil:
		return IsolationProcess, "it has no note that says what it is"
	case report.Note.Vendor == bundledVendor && slices.Contains(lightConnectors, report.Note.Product):
		return IsolationNone, "it is a bundled connector without a foreign client library"
	}
	return IsolationProcess, fmt.Sprintf("it is not one of the light bundled connectors (%q of %q)", report.Note.Product, report.Note.Vendor)
}
