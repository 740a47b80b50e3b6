//go:build linux

package conformance

import "context"

// commandRunners are the checks that need more than one run of the probe.
var commandRunners = map[string]func(context.Context, *run, Check) Result{
	"S14": checkSchema,
}
