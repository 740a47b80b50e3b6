package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/sixcall/sixcall/cmd/sixcall/internal/term"
	"github.com/sixcall/sixcall/internal/conformance"
	"github.com/sixcall/sixcall/native"
)

// checkFlags are the flags of the check command as they were given.
type checkFlags struct {
	params, stall, other string
	level                int
	only, waive          []string
	seed                 uint64
	endpoint             string
	endpointParam        []string
	fixture              conformance.Fixture
	probe, attest        string
	soak                 time.Duration
	list, inProcess      bool
	goHost               bool
}

func newCheck(a *app) *cobra.Command {
	var f checkFlags
	cmd := &cobra.Command{
		Use:   "check LIB|NAME",
		Short: "Check whether a connector library keeps the contract",
		Long: `Check runs named checks of a connector library, each in a process of its own with
limits, and says for each failure what it means for a host and what to do. Without
a bad verdict at level 2 the library may be called conformant.

LIB is a path (it contains a '/'); NAME is looked up as for 'sixcall inspect'. The
storage behind it is the one that --params name: it should be a scratch one, as
thousands of small keys are stored, read and deleted.

Levels: 1 smoke, some seconds; 2 conformant, up to two minutes; 3 strict: faults,
fuzzing, valgrind, sanitizer twins; 4 soak. 'sixcall check --list' shows all checks.

Exit codes: 0 nothing bad, 1 a check failed or could not run, 2 called wrongly.`,
		Example: `  sixcall check ./build/libsixcall_acme.so --params '{"endpoint":"127.0.0.1:7000"}' --level 1
  sixcall check ./libsixcall_acme.so --only B01,F --seed 7
  sixcall check ./libsixcall_acme.so --format markdown --output CARD.md --attest libsixcall_acme.so.check.json
  sixcall check ./libsixcall_acme.so --only C01 --in-process   # a command line for gdb`,
	}
	flags := cmd.Flags()
	flags.StringVar(&f.params, "params", "", "the connector's configuration, one JSON object")
	flags.StringVar(&f.stall, "stall-params", "", "parameters, merged over --params, with which every operation takes a minute or more")
	flags.StringVar(&f.other, "other-params", "", "parameters, merged over --params, of another namespace of the same storage")
	flags.IntVar(&f.level, "level", conformance.Conformant, "run all checks up to this level, 1 to 4")
	flags.StringSliceVar(&f.only, "only", nil, "run only these checks: ids such as B01, or a letter for a group")
	flags.StringArrayVar(&f.waive, "waive", nil, "ID=REASON: a bad verdict of this check does not count; repeatable")
	flags.Uint64Var(&f.seed, "seed", 0, "seed of random choices, 0 = a new one")
	flags.StringVar(&f.endpoint, "endpoint", "", "host:port of the storage, so that a proxy can inject faults")
	flags.StringSliceVar(&f.endpointParam, "endpoint-param", nil, "the parameter that holds the endpoint, or the two with host and port")
	flags.StringVar(&f.fixture.Start, "fixture-start", "", "shell command that starts the storage")
	flags.StringVar(&f.fixture.Stop, "fixture-stop", "", "shell command that stops the storage")
	flags.StringVar(&f.fixture.Pause, "fixture-pause", "", "shell command that makes the storage stop answering")
	flags.StringVar(&f.fixture.Resume, "fixture-resume", "", "shell command that undoes --fixture-pause")
	flags.StringVar(&f.probe, "probe", "", "path of sixcall-probe (default: found beside this program or by $"+conformance.ProbeEnv+")")
	flags.StringVar(&f.attest, "attest", "", "write an attestation to this file when nothing is bad")
	flags.DurationVar(&f.soak, "soak", time.Hour, "how long each check of level 4 runs")
	flags.BoolVar(&f.inProcess, "in-process", false, "with one id in --only: run it in this process without limits, for a debugger")
	flags.BoolVar(&f.list, "list", false, "list all checks and run none")
	flags.BoolVar(&f.goHost, "go-host", false, "for check L14: LIB PARAMS-FILE, use the library in this process")
	_ = flags.MarkHidden("go-host")
	out := &output{format: addChoice(cmd, "format", "form of the result", false, "terminal", "json", "junit", "markdown")}
	flags.StringVar(&out.file, "output", "", "also write the result to this file, in the same form, whole or not at all")
	cmd.Args = func(_ *cobra.Command, args []string) error {
		switch {
		case f.goHost && len(args) == 2, f.list && len(args) == 0:
			return nil
		}
		return exactlyOne("a library")(cmd, args)
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case f.goHost:
			return failed(conformance.GoHost(args[0], args[1]))
		case f.list:
			return out.write(a, false, catalogueText(), conformance.Catalogue())
		}
		opts, err := f.options()
		if err != nil {
			return err
		}
		if opts.Library, err = native.Find(args[0], nil); err != nil {
			return failed(err)
		}
		if f.inProcess {
			return runInProcess(a, opts)
		}
		return runCheck(cmd.Context(), a, f, opts, out)
	}
	return cmd
}

// options turns flags into options and reports every problem at once.
func (f *checkFlags) options() (conformance.Options, error) {
	var errs []error
	opts := conformance.Options{
		Level: f.level, Only: f.only, Seed: f.seed, Endpoint: f.endpoint, EndpointParam: f.endpointParam,
		Fixture: f.fixture, Probe: f.probe, Soak: f.soak, Waive: map[string]string{},
		Params: json.RawMessage(f.params), StallParams: json.RawMessage(f.stall), OtherParams: json.RawMessage(f.other),
	}
	if _, err := conformance.ParseIDs(f.only); err != nil {
		errs = append(errs, fmt.Errorf("--only: %w", err))
	}
	if f.level < conformance.Smoke || f.level > conformance.Soak {
		errs = append(errs, inRange("level", f.level, conformance.Smoke, conformance.Soak))
	}
	for _, w := range f.waive {
		id, reason, ok := strings.Cut(w, "=")
		if _, known := conformance.Lookup(id); !ok || !known || strings.TrimSpace(reason) == "" {
			errs = append(errs, fmt.Errorf("--waive is %q, want ID=REASON with the id of a check", w))
			continue
		}
		opts.Waive[id] = reason
	}
	for name, text := range map[string]string{"params": f.params, "stall-params": f.stall, "other-params": f.other} {
		var object map[string]any
		if text != "" && (json.Unmarshal([]byte(text), &object) != nil || object == nil) {
			errs = append(errs, fmt.Errorf("--%s is no JSON object", name))
		}
	}
	if f.inProcess && len(f.only) != 1 {
		errs = append(errs, errors.New("--in-process wants one id in --only"))
	}
	if f.endpoint != "" && len(f.endpointParam) == 0 {
		errs = append(errs, errors.New("--endpoint wants --endpoint-param, the parameter that holds it"))
	}
	if self, err := os.Executable(); err == nil {
		opts.Self = []string{self, "check", "--go-host"}
	}
	return opts, errors.Join(errs...)
}

func runCheck(ctx context.Context, a *app, f checkFlags, opts conformance.Options, out *output) error {
	live := out.format.value == "terminal" && out.file == ""
	var shown bool
	if live {
		opts.Describe = func(p *conformance.Report) { fmt.Fprint(a.stdout, p.Head()) }
		opts.Progress = func(r conformance.Result) {
			shown = true
			fmt.Fprint(a.stdout, r.Line())
		}
	} else {
		opts.Progress = func(r conformance.Result) {
			if r.Counts() {
				fmt.Fprint(a.stderr, r.Line())
			}
		}
	}
	report, err := conformance.Run(ctx, opts)
	if err != nil {
		return failed(err)
	}
	switch out.format.value {
	case "terminal":
		if live && shown {
			fmt.Fprint(a.stdout, report.Foot())
		} else if err := out.write(a, false, report.Terminal(), nil); err != nil {
			return err
		}
	case "junit":
		err = out.write(a, false, report.JUnit(), nil)
	case "markdown":
		err = out.write(a, false, report.Markdown(), nil)
	default:
		err = out.write(a, false, "", report)
	}
	if err != nil {
		return err
	}
	if f.attest != "" {
		if err := writeAttestation(report, f.attest); err != nil {
			return failed(err)
		}
	}
	switch {
	case report.Failed():
		return failedf("the library is not conformant")
	case report.Broken():
		return failedf("a check could not run")
	}
	return nil
}

func writeAttestation(report *conformance.Report, path string) error {
	attestation, err := report.Attest()
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(attestation, "", "  ")
	if err != nil {
		return err
	}
	return term.WriteFile(path, append(data, '\n'))
}

// runInProcess becomes the probe.
func runInProcess(a *app, opts conformance.Options) error {
	ids, err := conformance.ParseIDs(opts.Only)
	if err != nil {
		return err
	}
	if len(ids) != 1 {
		return fmt.Errorf("--in-process wants one id in --only, got %d", len(ids))
	}
	args, dir, err := conformance.Manual(opts, ids[0])
	if err != nil {
		return failed(err)
	}
	fmt.Fprintf(a.stderr, "under a debugger: gdb --args %s\n(the folder %s holds the parameters; remove it afterwards)\n", strings.Join(args, " "), dir)
	return failed(syscall.Exec(args[0], args, os.Environ()))
}

func catalogueText() string {
	t := term.Table{Left: []int{0, 1, 2, 3}}
	for _, c := range conformance.Catalogue() {
		t.Row(c.ID, fmt.Sprint(c.Level), c.Name, c.Does)
	}
	return t.String()
}
