//go:build linux

package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// Levels. A library that has no bad verdict up to Conformant may be called conformant.
const (
	Smoke      = 1
	Conformant = 2
	Strict     = 3
	Soak       = 4
)

// Options says what [Run] checks and how. Library is required.
type Options struct {
	// Library is the path of the file.
	Library string
	// Params is the connector's configuration, one JSON object; nil is {}.
	// {"$env": "NAME"} and {"$file": "/path"} stand for secrets.
	Params json.RawMessage
	// StallParams, merged over Params, make every operation take at least a minute.
	StallParams json.RawMessage
	// OtherParams, merged over Params, choose another namespace of the same backend.
	OtherParams json.RawMessage

	// Level runs all checks up to it, 1 to 4. Default 2. Only, when set, names the
	// checks to run instead.
	Level int
	Only  []string
	// Waive maps a check id to the written reason for which its verdict does not count.
	Waive map[string]string
	// Seed makes a run repeatable. 0 chooses one.
	Seed uint64

	// Endpoint is the host:port of the backend and EndpointParam the one or two
	// parameters that hold it ("endpoint", or "host,port"), so that a proxy which
	// injects faults can be put in between.
	Endpoint      string
	EndpointParam []string
	// Fixture holds shell commands that control the backend.
	Fixture Fixture

	// Probe is the path of sixcall-probe; "" looks for it, see [FindProbe].
	Probe string
	// Self is the command line that makes this program run [GoHost]; nil skips L14.
	Self []string

	// Env is added to the environment of every child.
	Env []string

	// Patience bounds the wait for what should come at once. Default 15s.
	Patience time.Duration
	// Effort is how long each repeating check goes on. Default by level, 1s to 5s.
	Effort time.Duration
	// Soak is how long each check of level 4 runs. Default 1h.
	Soak time.Duration
	// Limit is the wall time of one child. Default from Patience and Effort.
	Limit time.Duration

	// Describe, if set, is called once, before the first check, with a report that
	// says what is checked.
	Describe func(*Report)
	// Progress, if set, is called with each result, in order.
	Progress func(Result)
	// Starting, if set, is called before each check.
	Starting func(Check)
}

// Fixture holds commands for `sh -c`; "" = not given.
type Fixture struct {
	Start, Stop, Pause, Resume string
}

// prepare fills defaults and reports every problem at once.
func (o *Options) prepare() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if o.Library == "" {
		bad("no library is given")
	}
	if o.Level == 0 {
		o.Level = Conformant
	}
	if o.Level < Smoke || o.Level > Soak {
		bad("level is %d, want 1 to 4", o.Level)
	}
	for _, p := range []struct {
		name string
		raw  *json.RawMessage
	}{{"params", &o.Params}, {"stall params", &o.StallParams}, {"other params", &o.OtherParams}} {
		if len(*p.raw) == 0 {
			continue
		}
		var object map[string]any
		if err := json.Unmarshal(*p.raw, &object); err != nil || object == nil {
			bad("the %s are no JSON object: %v", p.name, err)
		}
	}
	for id, reason := range o.Waive {
		if _, ok := Lookup(id); !ok {
			bad("cannot waive %q: there is no such check", id)
		}
		if strings.TrimSpace(reason) == "" {
			bad("cannot waive %s without a reason", id)
		}
	}
	if o.Endpoint != "" {
		if _, _, err := net.SplitHostPort(o.Endpoint); err != nil {
			bad("endpoint is %q, want host:port", o.Endpoint)
		}
		if len(o.EndpointParam) == 0 || len(o.EndpointParam) > 2 {
			bad("endpoint param is %q, want the one or two parameters that hold the endpoint, such as host,port", strings.Join(o.EndpointParam, ","))
		}
	} else if len(o.EndpointParam) > 0 {
		bad("endpoint param is given without an endpoint")
	}
	for _, d := range []time.Duration{o.Patience, o.Effort, o.Soak, o.Limit} {
		if d < 0 {
			bad("a time is %v, want 0 or more", d)
		}
	}
	if o.Patience == 0 {
		o.Patience = 15 * time.Second
	}
	if o.Effort == 0 {
		o.Effort = []time.Duration{0, time.Second, 3 * time.Second, 5 * time.Second, 5 * time.Second}[min(max(o.Level, 1), 4)]
	}
	if o.Soak == 0 {
		o.Soak = time.Hour
	}
	if o.Limit == 0 {
		o.Limit = 2*o.Patience + 8*o.Effort + 15*time.Second
	}
	return errors.Join(errs...)
}
