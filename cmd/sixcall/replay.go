package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sixcall/sixcall/adapters/config"
	"github.com/sixcall/sixcall/adapters/l2/eviction/quota"
	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/engine"
	"github.com/sixcall/sixcall/cmd/sixcall/internal/replay"
	"github.com/sixcall/sixcall/cmd/sixcall/internal/term"
	"github.com/sixcall/sixcall/cmd/sixcall/internal/trace"
)

// defaultAdapter is what is replayed over when no adapter is given.
const defaultAdapter = `{"type":"native_plugin","module_path":"mem","class_name":"mem"}`

// generatedRequests is how many requests are made when no trace is given.
const generatedRequests = 1000

type replayFlags struct {
	adapters    []string
	config      string
	trace       string
	requests    int
	seed        uint64
	blockBytes  int
	concurrency int
	salts       int
	quotaGB     float64
	output      *output
}

func newReplay(a *app) *cobra.Command {
	f := &replayFlags{}
	cmd := &cobra.Command{
		Use:   "replay",
		Short: "Replay serving traffic through adapters and check every byte",
		Long: `Replay sends the requests of a trace through L2 adapters, as a cache manager
would. For each request it looks up and locks the blocks of its prompt, loads the
leading ones that are there and compares every byte, unlocks, and stores the rest.

A trace has one JSON object a line, in the format of Mooncake's published traces:

  {"timestamp": 0, "input_length": 1024, "output_length": 10, "hash_ids": [17, 18]}

Each id stands for the prompt up to the end of one block of 512 tokens. Without a
trace, chat-like traffic with shared prompts is made up; it is the same each time.

With --config the trace goes through a storage manager with the backends of the file:
memory, disk, remotes and plugins, in their order. The leading blocks that any of them
has are loaded; blocks that are written in the background may be found later.

With several adapters all are asked, the first that has a block serves it, and a
block is stored in each adapter that lacks it.

The command fails if a byte that was loaded is wrong.`,
		Example: `  # 1000 made-up requests over memory
  sixcall replay

  # a recorded hour of traffic over a library of your own, 8 requests at a time
  sixcall replay --trace conversation_trace.jsonl --concurrency 8 \
    --l2-adapter '{"type":"native_plugin","module_path":"./libsixcall_acme.so","class_name":"acme"}'

  # the backends of an engine's configuration
  sixcall replay --config lmcache.yaml

  # numbers for a script
  sixcall replay --requests 5000 --format json --output result.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context(), a) },
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&f.adapters, "l2-adapter", nil, "adapter as one `JSON` object, in LMCache's words; may be repeated (default "+defaultAdapter+")")
	flags.StringVar(&f.config, "config", "", "instead of adapters, the storage of LMCache's configuration `file`")
	flags.StringVar(&f.trace, "trace", "", "`file` with the requests, - for the standard input (default: made-up traffic)")
	flags.IntVar(&f.requests, "requests", 0, fmt.Sprintf("replay only the first `n` requests; without a trace, make n of them (default %d)", generatedRequests))
	flags.Uint64Var(&f.seed, "seed", 1, "which traffic to make up; the same seed gives the same requests")
	flags.IntVar(&f.blockBytes, "block-bytes", 4096, "size of the value of each block, in bytes")
	flags.IntVar(&f.concurrency, "concurrency", 1, "requests in flight at a time")
	flags.IntVar(&f.salts, "salts", 0, "spread the conversations over `n` cache salts, as tenants that share nothing")
	flags.Float64Var(&f.quotaGB, "quota-gb", 0, "quota of each salt in `GiB`, for adapters with the IsolatedLRU policy")
	f.output = addOutput(cmd)
	_ = cmd.MarkFlagFilename("trace", "jsonl", "json")
	return cmd
}

func (f *replayFlags) run(ctx context.Context, a *app) (err error) {
	if f.config != "" && len(f.adapters) > 0 {
		return errors.New("--config and --l2-adapter are given, want one of them")
	}
	if len(f.adapters) == 0 && f.config == "" {
		f.adapters = []string{defaultAdapter}
	}
	configs, configErr := parseAdapters(f.adapters)
	if err := errors.Join(
		inRange("requests", f.requests, 0, 1<<31-1),
		inRange("block-bytes", f.blockBytes, 1, 1<<30),
		inRange("concurrency", f.concurrency, 1, 65536),
		inRange("salts", f.salts, 0, 1<<20),
		configErr,
	); err != nil {
		return err
	}
	quotas, err := f.quotas()
	if err != nil {
		return err
	}
	requests, total, source, err := f.source()
	if err != nil {
		return failed(err)
	}
	memory, err := arena.New(arena.Options{})
	if err != nil {
		return failed(err)
	}
	opts := replay.Options{
		Requests:    requests,
		BlockBytes:  f.blockBytes,
		Concurrency: f.concurrency,
		Arena:       memory,
		Salts:       f.salts,
	}
	over := names(configs)
	var closeAll func() error
	if f.config != "" {
		over = filepath.Base(f.config)
		closeAll, err = f.openEngine(ctx, a, &opts)
	} else {
		closeAll, err = openReplayAdapters(ctx, a, configs, &opts, config.Builder{
			Arena: memory, ValueLenHint: int64(f.blockBytes), Quotas: quotas, Logger: a.logger(),
		})
	}
	if err != nil {
		return failed(err)
	}

	progress := term.NewProgress(a.stderr, "requests", total)
	opts.OnRequest = func(_ int, bytes int64) { progress.Add(bytes) }
	result, runErr := replay.Run(ctx, opts)
	progress.Stop()
	closeErr := closeAll()
	if result == nil {
		return failed(errors.Join(runErr, closeErr))
	}

	for _, text := range result.Problems {
		a.complain(text)
	}
	title := fmt.Sprintf("replay of %s over %s, %s bytes a block, %s", source, over,
		term.Count(int64(f.blockBytes)), plural(f.concurrency, "request at a time", "requests at a time"))
	if err := f.output.write(a, false, replayText(title, result, total), result); err != nil {
		return err
	}
	switch {
	case runErr != nil || closeErr != nil:
		return failed(errors.Join(runErr, closeErr))
	case result.Interrupted:
		return failedf("interrupted after %d of %d requests, the result is partial", result.Requests, total)
	case result.VerifyFailures > 0:
		return failedf("%s with wrong bytes", plural(int(result.VerifyFailures), "block was loaded", "blocks were loaded"))
	}
	return nil
}

// openReplayAdapters opens the adapters of a replay.
func openReplayAdapters(ctx context.Context, a *app, configs []config.L2Adapter, opts *replay.Options, b config.Builder) (func() error, error) {
	adapters, closeAll, err := openAdapters(ctx, a, configs, b)
	if err != nil {
		return nil, err
	}
	for i, ad := range adapters {
		opts.Adapters = append(opts.Adapters, replay.Adapter{Name: adapterName(configs, i), Client: ad})
	}
	return closeAll, nil
}

// openEngine opens the storage of --config for a replay.
func (f *replayFlags) openEngine(ctx context.Context, a *app, opts *replay.Options) (func() error, error) {
	c, err := loadConfig(a, f.config)
	if err != nil {
		return nil, err
	}
	meta := metadataOf(c, f.blockBytes)
	h, err := openHost(ctx, a, c, meta)
	if err != nil {
		return nil, err
	}
	if h.Manager.CPU() == nil {
		return nil, errors.Join(errNoMemory, h.Close())
	}
	opts.Adapters = []replay.Adapter{{Name: strings.Join(h.Manager.Names(), "+"), Client: &engineClient{m: h.Manager, meta: meta, pins: map[engine.Key][]string{}}}}
	return h.Close, nil
}

// source returns the requests, how many they are and what they are.
func (f *replayFlags) source() (requests trace.Source, total int, name string, err error) {
	if f.trace == "" {
		n := f.requests
		if n == 0 {
			n = generatedRequests
		}
		return trace.NewGenerator(n, f.seed), n, fmt.Sprintf("made-up traffic (seed %d)", f.seed), nil
	}
	// All of it is read first: a broken line is found before anything runs.
	list, err := trace.ReadFile(f.trace, f.requests)
	return trace.NewRequests(list), len(list), filepath.Base(f.trace), err
}

// quotas returns the limits of the salts, nil if there are none.
func (f *replayFlags) quotas() (*quota.Manager, error) {
	limit, err := quota.Bytes(f.quotaGB)
	if err != nil {
		return nil, fmt.Errorf("--quota-gb is %v, want 0 or more GiB", f.quotaGB)
	}
	if limit == 0 {
		return nil, nil
	}
	m := &quota.Manager{}
	salts := []string{""}
	for i := range f.salts {
		salts = append(salts, replay.SaltOf(i))
	}
	for _, salt := range salts {
		if err := m.Set(salt, limit); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// openAdapters builds all adapters on one arena, so that values move without a
// copy whichever adapter serves them. closeAll closes them.
func openAdapters(ctx context.Context, a *app, configs []config.L2Adapter, b config.Builder) (adapters []adapter, closeAll func() error, err error) {
	closeAll = func() error {
		var errs []error
		for i, ad := range adapters {
			if err := ad.Close(); err != nil {
				errs = append(errs, fmt.Errorf("close %s: %w", adapterName(configs, i), err))
			}
		}
		return errors.Join(errs...)
	}
	for i, cfg := range configs {
		b.Instance = adapterName(configs, i)
		ad, err := a.build(ctx, b, cfg)
		if err != nil {
			return nil, nil, errors.Join(err, closeAll())
		}
		adapters = append(adapters, ad)
	}
	return adapters, closeAll, nil
}

// adapterName returns the class name of adapter i, with its number if there are
// several.
func adapterName(configs []config.L2Adapter, i int) string {
	name := configs[i].ClassName()
	if len(configs) > 1 {
		name = fmt.Sprintf("%s#%d", name, i+1)
	}
	return name
}

func names(configs []config.L2Adapter) string {
	var list []string
	for i := range configs {
		list = append(list, adapterName(configs, i))
	}
	return strings.Join(list, " and ")
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return term.Count(int64(n)) + " " + many
}
