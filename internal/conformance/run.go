//go:build linux

package conformance

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sixcall/sixcall/native"
)

// Table is what the library says about itself when it is loaded.
type Table struct {
	Name         string `json:"name"`
	Version      string `json:"version"`
	Vendor       string `json:"vendor"`
	ABI          string `json:"abi"`
	Caps         uint64 `json:"caps,string"`
	ThreadModel  int    `json:"thread_model"`
	ConfigSchema string `json:"config_schema"`
}

// run is one call of Run.
type run struct {
	Options
	tmp    string
	probe  string
	params object
	stall  object // nil = not given
	other  object // nil = not given
	file   *native.Report
	image  *image // nil when the file is no library
	table  *Table // nil when it could not be read
	schema *schema
	caps   uint64
}

// Run checks a library. An error means that nothing could be checked: a wrong option,
// no such file, no probe. What is wrong with the library is in the report.
func Run(ctx context.Context, opts Options) (*Report, error) {
	if err := opts.prepare(); err != nil {
		return nil, err
	}
	checks, err := opts.choose()
	if err != nil {
		return nil, err
	}
	r := &run{Options: opts}
	if r.Library, err = filepath.Abs(opts.Library); err != nil {
		return nil, err
	}
	if r.Seed == 0 {
		r.Seed = rand.Uint64N(1<<31) + 1
	}
	if r.params, err = parseObject(opts.Params); err != nil {
		return nil, fmt.Errorf("params: %w", err)
	}
	if len(opts.StallParams) > 0 {
		over, err := parseObject(opts.StallParams)
		if err != nil {
			return nil, fmt.Errorf("stall params: %w", err)
		}
		r.stall = r.params.merge(over)
	}
	if len(opts.OtherParams) > 0 {
		over, err := parseObject(opts.OtherParams)
		if err != nil {
			return nil, fmt.Errorf("other params: %w", err)
		}
		r.other = r.params.merge(over)
	}
	if r.file, err = native.Inspect(r.Library, false); err != nil {
		return nil, err
	}
	r.image, _ = readImage(r.Library) // S01 says what is wrong with it
	if slices.ContainsFunc(checks, func(c Check) bool { return c.how != byFile }) {
		if r.probe, err = FindProbe(opts.Probe, r.Library, "sixcall-probe"); err != nil {
			return nil, err
		}
	}
	if r.tmp, err = os.MkdirTemp("", "sixcall-check-"); err != nil {
		return nil, err
	}
	defer os.RemoveAll(r.tmp)
	if r.probe != "" {
		r.describe(ctx)
	}

	report := &Report{
		Schema: ReportSchema, Library: r.Library, SHA256: r.file.SHA256, Checker: checkerVersion(), Machine: machine(),
		Level: r.Level, Only: opts.Only, Seed: r.Seed, Started: time.Now().UTC(),
	}
	report.describe(r)
	if r.Describe != nil {
		r.Describe(report)
	}
	for _, c := range checks {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if r.Starting != nil {
			r.Starting(c)
		}
		result := r.one(ctx, c)
		report.Results = append(report.Results, result)
		if r.Progress != nil {
			r.Progress(result)
		}
	}
	report.DurationMS = time.Since(report.Started).Milliseconds()
	report.conclude()
	return report, nil
}

// choose returns the checks to run.
func (o *Options) choose() ([]Check, error) {
	if len(o.Only) > 0 {
		ids, err := ParseIDs(o.Only)
		if err != nil {
			return nil, err
		}
		var list []Check
		for _, c := range Catalogue() {
			if slices.Contains(ids, c.ID) {
				list = append(list, c)
			}
		}
		return list, nil
	}
	var list []Check
	for _, c := range Catalogue() {
		if c.Level <= o.Level {
			list = append(list, c)
		}
	}
	return list, nil
}

// one carries out one check.
func (r *run) one(ctx context.Context, c Check) Result {
	started := time.Now()
	var result Result
	switch c.how {
	case byFile:
		result = staticRunners[c.ID](r)
	case byCommand:
		if f := commandRunners[c.ID]; f != nil {
			result = f(ctx, r, c)
		} else {
			result = Result{Verdict: Skip, Text: "not in this version"}
		}
	case byProbe:
		result = r.probeCheck(ctx, c.ID, variant{})
	case notYet:
		result = Result{Verdict: Skip, Text: "not in this version"}
	}
	result.ID, result.Name, result.Level = c.ID, c.Name, c.Level
	if result.DurationMS == 0 {
		result.DurationMS = time.Since(started).Milliseconds()
	}
	if result.Verdict.Bad() {
		result.Means, result.Fix = c.Means, c.Fix
		result.Waived = r.Waive[c.ID]
	}
	return result
}

// variant changes how the probe runs a check.
type variant struct {
	probe   string   // another flavour
	library string   // another file
	before  []string // a command in front, such as valgrind
	env     []string
	params  object            // instead of the given ones
	set     map[string]string // more input
	limit   time.Duration
	during  func(ctx context.Context)
	tools   bool // slow tools: no memory limit, more time
}

// probeCheck runs one check of the probe in a child.
func (r *run) probeCheck(ctx context.Context, id string, v variant) Result {
	out, limit, err := r.probeChild(ctx, id, v)
	if err != nil {
		return Result{Verdict: ToolError, Text: err.Error()}
	}
	return out.verdict(limit)
}

func (r *run) probeChild(ctx context.Context, id string, v variant) (outcome, time.Duration, error) {
	dir, err := os.MkdirTemp(r.tmp, id+"-")
	if err != nil {
		return outcome{}, 0, err
	}
	defer os.RemoveAll(dir)
	input, closeInput, err := r.writeInput(dir, id, v)
	if err != nil {
		return outcome{}, 0, err
	}
	defer closeInput()
	limit := r.Limit
	if v.limit != 0 {
		limit = v.limit
	}
	if strings.HasPrefix(id, "K") {
		limit += r.Soak
	}
	probe := r.probe
	if v.probe != "" {
		probe = v.probe
	}
	args := append(slices.Clone(v.before), probe, "--check", id, "--input", input, "--result-fd", "3", "--state-fd", "4")
	return child{args: args, env: slices.Concat(r.Env, v.env), dir: dir, limit: limit, during: v.during}.run(ctx), limit, nil
}

// writeInput writes the probe's input file into dir.
func (r *run) writeInput(dir, id string, v variant) (path string, closeAll func(), err error) {
	var b bytes.Buffer
	put := func(name, value string) { fmt.Fprintf(&b, "%s\t%d\n%s\n", name, len(value), value) }
	library, params := r.Library, r.params
	if v.library != "" {
		library = v.library
	}
	if v.params != nil {
		params = v.params
	}
	put("library", library)
	put("params", params.text())
	put("seed", strconv.FormatUint(r.Seed, 10))
	put("tmp", dir)
	put("patience_ms", strconv.FormatInt(r.Patience.Milliseconds(), 10))
	put("effort_ms", strconv.FormatInt(r.Effort.Milliseconds(), 10))
	put("soak_ms", strconv.FormatInt(r.Soak.Milliseconds(), 10))
	if !v.tools {
		put("limit_data_bytes", strconv.Itoa(16<<30))
	}
	if r.stall != nil {
		put("params_stall", r.stall.text())
	}
	if r.other != nil {
		put("params_other", r.other.text())
	}
	if r.Fixture.Pause != "" && r.Fixture.Resume != "" {
		put("fixture_pause", r.Fixture.Pause)
		put("fixture_resume", r.Fixture.Resume)
	}
	put("unknown_key", unknownKey)
	put("params_unknown_key", params.with(unknownKey, 1).text())
	put("params_x_key", params.with("x-sixcall-check", []any{1, "two"}).text())
	put("secret", canary)
	put("params_secret", r.withSecrets(params).with(unknownKey, 1).text())
	for _, bad := range badValues(params, r.schema) {
		put("bad_value", bad.config.text())
		put("bad_value_text", bad.text)
		put("bad_value_key", bad.key)
		if isSecret(bad.key) {
			put("bad_value_secret", params.with(bad.key, []any{canary}).text())
		}
	}
	for _, folder := range params.folders() {
		put("watch", folder)
	}
	for _, other := range r.otherLibraries() {
		put("other_library", other)
	}
	closeAll = func() {}
	if r.Endpoint != "" {
		if closeAll, err = r.putUnreachable(put, id); err != nil {
			return "", nil, err
		}
	}
	for name, value := range v.set {
		put(name, value)
	}
	path = filepath.Join(dir, "input")
	return path, closeAll, os.WriteFile(path, b.Bytes(), 0o600)
}

const (
	unknownKey = "no_such_key"
	canary     = "s3cr3t-canary-of-the-check"
)

// isSecret tells by its name whether a parameter is one.
func isSecret(name string) bool {
	return slices.ContainsFunc([]string{"pass", "secret", "token", "credential", "auth"}, func(word string) bool {
		return strings.Contains(strings.ToLower(name), word)
	})
}

// withSecrets gives every secret parameter a value that must never be seen again.
func (r *run) withSecrets(params object) object {
	c := params.with("x-password", canary)
	if r.schema != nil {
		for name, p := range r.schema.Properties {
			if isSecret(name) && slices.Contains(p.Types, "string") {
				c[name] = canary
			}
		}
	}
	return c
}

// otherLibraries finds bundled connectors that need no configuration, to be loaded
// beside the library under test.
func (r *run) otherLibraries() (paths []string) {
	for _, dir := range append(filepath.SplitList(os.Getenv(native.SearchPathEnv)), filepath.Dir(r.Library)) {
		path := filepath.Join(dir, "libsixcall_mem.so")
		if _, err := os.Stat(path); err == nil && path != r.Library && !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
	}
	return paths
}

// describe loads the library in a child and keeps what it says about itself.
func (r *run) describe(ctx context.Context) {
	out, _, err := r.probeChild(ctx, "TABLE", variant{})
	if err != nil {
		return
	}
	for _, line := range out.lines {
		if line.Table != nil {
			r.table = line.Table
			r.caps = line.Table.Caps
		}
	}
	if r.table != nil && r.table.ConfigSchema != "" {
		r.schema, _ = parseSchema(r.table.ConfigSchema) // S14 says what is wrong with it
	}
}

// hashFile returns the SHA-256 of a file in hex.
func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

var errNoImage = errors.New("the file is no shared library for this machine; see check S01")
