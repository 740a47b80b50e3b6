//go:build linux

package conformance

import (
	"fmt"
	"os"
	"path/filepath"
)

// Manual prepares one check of the probe for a debugger: it returns the command line
// that runs it without limits and prints its verdict. The input file, which holds the
// parameters, stays behind in the folder that is returned.
func Manual(opts Options, id string) (args []string, dir string, err error) {
	if err := opts.prepare(); err != nil {
		return nil, "", err
	}
	c, ok := Lookup(id)
	if !ok || c.how == byFile {
		return nil, "", fmt.Errorf("check %q does not run in the probe", id)
	}
	r := &run{Options: opts}
	if r.Library, err = filepath.Abs(opts.Library); err != nil {
		return nil, "", err
	}
	if r.Seed == 0 {
		r.Seed = 1
	}
	if r.params, err = parseObject(opts.Params); err != nil {
		return nil, "", err
	}
	if len(opts.StallParams) > 0 {
		over, err := parseObject(opts.StallParams)
		if err != nil {
			return nil, "", err
		}
		r.stall = r.params.merge(over)
	}
	if len(opts.OtherParams) > 0 {
		over, err := parseObject(opts.OtherParams)
		if err != nil {
			return nil, "", err
		}
		r.other = r.params.merge(over)
	}
	if r.probe, err = FindProbe(opts.Probe, r.Library, "sixcall-probe"); err != nil {
		return nil, "", err
	}
	if dir, err = os.MkdirTemp("", "sixcall-check-"); err != nil {
		return nil, "", err
	}
	r.tmp = dir
	r.Endpoint = "" // nobody would keep the silent endpoint open
	input, _, err := r.writeInput(dir, id, variant{tools: true})
	if err != nil {
		return nil, "", err
	}
	return []string{r.probe, "--check", id, "--input", input, "--set", "patience_ms", "1000000000", "--set", "catch_faults", "0"}, dir, nil
}
