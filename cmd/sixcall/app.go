package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/sixcall/sixcall/adapters/config"
	"github.com/sixcall/sixcall/adapters/l2"
)

// The exit codes of the command.
const (
	exitOK     = 0
	exitFailed = 1 // it ran and something went wrong
	exitUsage  = 2 // it was called wrongly and nothing ran
)

// app is what the commands share with the world. Tests replace it.
type app struct {
	stdout, stderr io.Writer
	getenv         func(string) string
	// build opens an adapter.
	build func(ctx context.Context, b config.Builder, cfg config.L2Adapter) (adapter, error)

	verbose int // how often -v was given
}

// adapter is an L2 adapter with both faces.
type adapter interface {
	l2.Adapter
	l2.Client
}

func systemApp() *app {
	return &app{
		stdout: os.Stdout,
		stderr: os.Stderr,
		getenv: os.Getenv,
		build: func(ctx context.Context, b config.Builder, cfg config.L2Adapter) (adapter, error) {
			a, err := b.Build(ctx, cfg)
			if err != nil {
				return nil, err // not a, which would be a nil pointer in an interface
			}
			return a, nil
		},
	}
}

// failure is an error after which the command exits with exitFailed; any other
// error means that the command was called wrongly.
type failure struct{ err error }

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func failed(err error) error {
	if err == nil {
		return nil
	}
	return &failure{err}
}

func failedf(format string, args ...any) error { return failed(fmt.Errorf(format, args...)) }

// run carries out one command line and returns the exit code. The first SIGINT
// or SIGTERM ends the command cleanly, the second one kills it.
func run(args []string, a *app) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // from here on signals have their default effect

	root := newRoot(a)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	a.complain(strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "\n  "))
	var f *failure
	if errors.As(err, &f) {
		return exitFailed
	}
	fmt.Fprintf(a.stderr, "hint: run '%s --help'\n", cmd.CommandPath())
	return exitUsage
}

// complain writes a message to stderr. Errors of our packages begin with our
// name, which is said once.
func (a *app) complain(text string) {
	text = strings.ReplaceAll(strings.TrimPrefix(text, "sixcall: "), ": sixcall: ", ": ")
	fmt.Fprintf(a.stderr, "sixcall: %s\n", text)
}

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "sixcall",
		Short: "Exercise KV-cache storage connectors",
		Long: `Sixcall serves storage systems to KV-cache hosts such as LMCache. This command
exercises connectors without a host: it replays serving traffic through them and
checks every byte, measures them, and shows what a library is.

Exit codes: 0 all is well, 1 something failed, 2 the command was called wrongly.`,
		Example: `  sixcall inspect mem
  sixcall replay --requests 2000 --concurrency 8
  sixcall bench l2 --l2-adapter '{"type":"native_plugin","module_path":"mem","class_name":"mem"}'`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.PersistentFlags().CountVarP(&a.verbose, "verbose", "v", "log more to stderr: -v state changes, -vv everything")
	root.AddCommand(newReplay(a), newRun(a), newInspect(a), newNew(a), newCheck(a), newConfig(a), newBench(a), newVersion(a))
	return root
}

// logger returns the logger that adapters write to: stderr, warnings only.
func (a *app) logger() *zap.Logger {
	level := zapcore.WarnLevel
	switch {
	case a.verbose == 1:
		level = zapcore.InfoLevel
	case a.verbose > 1:
		level = zapcore.DebugLevel
	}
	enc := zap.NewDevelopmentEncoderConfig()
	enc.CallerKey, enc.StacktraceKey = "", ""
	return zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(enc), zapcore.Lock(zapcore.AddSync(a.stderr)), level))
}
