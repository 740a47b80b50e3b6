package main

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/spf13/cobra"

	"github.com/sixcall/sixcall/adapters/config"
	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/cmd/sixcall/internal/bench"
)

// adapterEnv holds an adapter when no flag gives one.
const adapterEnv = "L2_ADAPTER_JSON"

type benchL2Flags struct {
	adapters     []string
	numKeys      int
	inFlight     int
	dataSizeKB   int
	alignBytes   int
	hugePages    bool
	rounds       int
	warmupRounds int
	maxHitRate   float64
	skipVerify   bool
	only         *choice
	flamegraph   *choice
	quiet        bool
	output       *output
}

func newBenchL2(a *app) *cobra.Command {
	f := &benchL2Flags{}
	cmd := &cobra.Command{
		Use:   "l2",
		Short: "Measure store, lookup and load of an L2 adapter",
		Long: `Bench l2 drives an L2 adapter through its event fds, as a host does, and measures
store, lookup and load. Its flags, its keys and its JSON are those of
"lmcache bench l2", so that two results can be compared, and one program can load
what the other has stored.

An operation runs in rounds. A round submits --in-flight tasks of --num-keys keys
each and is timed from the first submit to the last end. Warm-up rounds come first
and are not counted.

The command fails if a round times out, a store fails, or, with --no-skip-verify,
loaded bytes are not those that were stored.`,
		Example: `  sixcall bench l2 --num-keys 64 --data-size-kb 1024 --rounds 10 --no-skip-verify \
    --l2-adapter '{"type":"native_plugin","module_path":"mem","class_name":"mem"}'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context(), a) },
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&f.adapters, "l2-adapter", nil, "adapter as one `JSON` object, in LMCache's words; the first is measured (default: $"+adapterEnv+")")
	flags.IntVar(&f.numKeys, "num-keys", 32, "keys in a task")
	flags.IntVar(&f.inFlight, "in-flight", 1, "tasks in a round")
	flags.IntVar(&f.dataSizeKB, "data-size-kb", 256, "size of each value in KiB")
	flags.IntVar(&f.alignBytes, "l1-align-bytes", 1, "alignment of the values in memory; 4096 for direct I/O")
	flags.BoolVar(&f.hugePages, "l1-use-hugepages", false, "keep the values in 2 MiB pages")
	addNoFlag(flags, "l1-use-hugepages", &f.hugePages)
	flags.IntVar(&f.rounds, "rounds", 1, "rounds that are measured, per operation")
	flags.IntVar(&f.warmupRounds, "warmup-rounds", 1, "rounds before them, per operation")
	flags.Float64Var(&f.maxHitRate, "lookup-max-hit-rate", 0, "part of the looked-up keys that may be there, 0 to 1")
	flags.BoolVar(&f.skipVerify, "skip-verify", true, "do not compare what is loaded with what was stored")
	addNoFlag(flags, "skip-verify", &f.skipVerify)
	f.only = addChoice(cmd, "only", "run one operation only", true, bench.OpLookup, bench.OpStore, bench.OpLoad)
	f.flamegraph = addChoice(cmd, "flamegraph", "flame graphs are not available in this version", false, "off", "on")
	for _, name := range []string{"flamegraph-mode", "flamegraph-output", "flamegraph-scripts-dir"} {
		flags.String(name, "", "only with --flamegraph on")
		_ = flags.MarkHidden(name)
	}
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "write nothing but errors; the exit code tells")
	f.output = addOutput(cmd)
	return cmd
}

// check returns everything that is wrong with the flags.
func (f *benchL2Flags) check() error {
	const most = math.MaxInt32
	errs := []error{
		inRange("num-keys", f.numKeys, 1, most),
		inRange("in-flight", f.inFlight, 1, 65536),
		inRange("data-size-kb", f.dataSizeKB, 1, most),
		inRange("rounds", f.rounds, 1, most),
		inRange("warmup-rounds", f.warmupRounds, 0, most),
	}
	switch n := f.alignBytes; {
	case n < 1:
		errs = append(errs, fmt.Errorf("--l1-align-bytes is %d, want 1 or more", n))
	case f.dataSizeKB > 0 && f.dataSizeKB*1024%n != 0:
		errs = append(errs, fmt.Errorf("--l1-align-bytes is %d, want a number that divides the size of a value, %d bytes", n, f.dataSizeKB*1024))
	case arena.PageSize%n != 0:
		errs = append(errs, fmt.Errorf("--l1-align-bytes is %d, want a power of two up to %d", n, arena.PageSize))
	}
	if !(f.maxHitRate >= 0 && f.maxHitRate <= 1) {
		errs = append(errs, fmt.Errorf("--lookup-max-hit-rate is %v, want 0 to 1", f.maxHitRate))
	}
	if f.flamegraph.value == "on" {
		errs = append(errs, errors.New("--flamegraph on is not available in this version, run the command under a profiler such as perf"))
	}
	return errors.Join(errs...)
}

func (f *benchL2Flags) run(ctx context.Context, a *app) error {
	if len(f.adapters) == 0 {
		if text := a.getenv(adapterEnv); text != "" {
			f.adapters = []string{text}
		}
	}
	flagErr := f.check()
	if len(f.adapters) == 0 {
		return errors.Join(flagErr, errors.New("no adapter: give --l2-adapter JSON or set "+adapterEnv))
	}
	configs, configErr := parseAdapters(f.adapters)
	if err := errors.Join(flagErr, configErr); err != nil {
		return err
	}
	if len(configs) > 1 {
		a.complain(fmt.Sprintf("%d adapters are given, the first one is measured", len(configs)))
		configs = configs[:1]
	}

	opts := bench.Options{
		NumKeys:      f.numKeys,
		InFlight:     f.inFlight,
		DataSize:     f.dataSizeKB * 1024,
		Rounds:       f.rounds,
		WarmupRounds: f.warmupRounds,
		MaxHitRate:   f.maxHitRate,
		Only:         f.only.value,
		Verify:       !f.skipVerify,
	}
	if !f.quiet {
		opts.Log = func(format string, args ...any) { fmt.Fprintf(a.stderr, format+"\n", args...) }
	}
	memory, err := f.memory(a, &opts)
	if err != nil {
		return failed(err)
	}
	adapters, closeAll, err := openAdapters(ctx, a, configs, config.Builder{
		Arena: memory, ValueLenHint: int64(opts.DataSize), Logger: a.logger(),
	})
	if err != nil {
		return failed(err)
	}
	report, runErr := bench.Run(ctx, adapters[0], opts)
	closeErr := closeAll()
	if p := configs[0].NativePlugin; errors.Is(runErr, kv.Busy) && p != nil {
		runErr = fmt.Errorf("%w; --in-flight is %d and limits.max_inflight of the adapter is %d", runErr, f.inFlight, p.Limits.MaxInFlight)
	}
	if err := f.output.write(a, f.quiet, f.text(report), f.json(report)); err != nil {
		return err
	}
	switch {
	case ctx.Err() != nil:
		return failedf("interrupted, the result is partial")
	case runErr != nil || closeErr != nil:
		return failed(errors.Join(runErr, closeErr))
	case report.Mismatches > 0:
		return failedf("%d of %d keys were not loaded as they were stored", report.Mismatches, report.Verified)
	case report.Failed > 0:
		return failedf("%d keys could not be stored", report.Failed)
	}
	return nil
}

// memory makes the memory for the values of one round of stores and of loads.
func (f *benchL2Flags) memory(a *app, opts *bench.Options) (*arena.Arena, error) {
	size := float64(opts.NumKeys) * float64(opts.InFlight) * float64(opts.DataSize)
	if size > 1<<46 {
		return nil, fmt.Errorf("a round has %.0f bytes of values, want at most 64 TiB", size)
	}
	memory, err := arena.New(arena.Options{HugePages: f.hugePages, Prefault: true})
	if err != nil {
		return nil, err
	}
	for op, dst := range map[string]*[]byte{bench.OpStore: &opts.StoreMemory, bench.OpLoad: &opts.LoadMemory} {
		if !opts.Runs(op) {
			continue
		}
		// Never released: it lives as long as the command.
		block, err := memory.Alloc(opts.MemoryBytes())
		if err != nil {
			return nil, err
		}
		*dst = block.Bytes()
	}
	for _, s := range memory.Segments() {
		if f.hugePages && !s.Huge {
			a.complain("no 2 MiB pages are reserved (sysctl vm.nr_hugepages), the system's choice of pages is used")
			break
		}
	}
	return memory, nil
}

// shownAdapter is the adapter as it was given, without its secrets.
func (f *benchL2Flags) shownAdapter() string { return config.Params(f.adapters[0]).String() }
