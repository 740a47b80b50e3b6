package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/config"
	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/bridge/bridgetest"
)

// outcome is what one command line did.
type outcome struct {
	code           int
	stdout, stderr string
}

// testApp returns an app whose adapters are on the given connectors, in order.
func testApp(stdout, stderr io.Writer, conns ...*bridgetest.Connector) *app {
	return &app{
		stdout: stdout,
		stderr: stderr,
		getenv: func(string) string { return "" },
		build: func(_ context.Context, b config.Builder, cfg config.L2Adapter) (adapter, error) {
			if len(conns) == 0 {
				return nil, errors.New("the library cannot be found")
			}
			conn := conns[0]
			conns = conns[1:]
			return l2.New(conn, l2.Options{Name: b.Instance, Arena: b.Arena, MaxInFlight: cfg.NativePlugin.Limits.MaxInFlight})
		},
	}
}

// sixcall runs a command line over the connectors.
func sixcall(args []string, conns ...*bridgetest.Connector) outcome {
	var stdout, stderr bytes.Buffer
	code := run(args, testApp(&stdout, &stderr, conns...))
	return outcome{code, stdout.String(), stderr.String()}
}

func args(line string) []string { return strings.Fields(line) }

func TestHelpOfEveryCommand(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"", "--help", "help", "replay --help", "inspect -h", "bench --help", "bench l2 --help", "version --help", "completion bash", "help replay"} {
		t.Run("sixcall "+line, func(t *testing.T) {
			t.Parallel()
			got := sixcall(args(line))
			require.Equal(t, exitOK, got.code, got.stderr)
			require.NotEmpty(t, got.stdout)
			require.Empty(t, got.stderr)
		})
	}
	for _, line := range []string{"replay --help", "inspect --help", "bench l2 --help", "version --help"} {
		require.Contains(t, sixcall(args(line)).stdout, "Examples:")
	}
}

func TestWrongUseExitsWith2(t *testing.T) {
	t.Parallel()
	tests := []struct{ line, want string }{
		{"replya", `unknown command "replya"`},
		{"bench l3", `unknown command "l3"`},
		{"bench", "say what to measure: l2"},
		{"--nope", "unknown flag: --nope"},
		{"replay --nope", "unknown flag: --nope"},
		{"replay extra", "extra"},
		{"replay --requests x", `invalid argument "x"`},
		{"replay --requests -1", "--requests is -1, want 0 to"},
		{"replay --block-bytes 0", "--block-bytes is 0, want 1 to"},
		{"replay --concurrency 0", "--concurrency is 0, want 1 to 65536"},
		{"replay --format xml", "want one of terminal, json"},
		{"replay --l2-adapter", "flag needs an argument"},
		{"replay --l2-adapter {}", "--l2-adapter #1: type is missing"},
		{`replay --l2-adapter {"type":"native_plugin","module_path":"m","class_name":"m","serde":{"type":"fp8"}}`,
			`--l2-adapter #1 ('native_plugin'): serde is not supported in this version`},
		{"replay --concurrency 0 --l2-adapter []", "want a JSON object"},
		{"inspect", "a library is missing"},
		{"inspect a b", "want a library, got 2 arguments"},
		{"version x", `unknown command "x"`},
		{"bench l2", "no adapter: give --l2-adapter JSON or set L2_ADAPTER_JSON"},
		{"bench l2 --num-keys 0", "--num-keys is 0, want 1 to"},
		{"bench l2 --in-flight 0", "--in-flight is 0"},
		{"bench l2 --rounds 0", "--rounds is 0"},
		{"bench l2 --warmup-rounds -1", "--warmup-rounds is -1"},
		{"bench l2 --data-size-kb 0", "--data-size-kb is 0"},
		{"bench l2 --l1-align-bytes 0", "--l1-align-bytes is 0, want 1 or more"},
		{"bench l2 --l1-align-bytes 3", "divides the size of a value, 262144 bytes"},
		{"bench l2 --l1-align-bytes 8192", "a power of two up to 4096"},
		{"bench l2 --lookup-max-hit-rate 1.5", "--lookup-max-hit-rate is 1.5, want 0 to 1"},
		{"bench l2 --lookup-max-hit-rate NaN", "want 0 to 1"},
		{"bench l2 --only delete", "want one of lookup, store, load"},
		{"bench l2 --flamegraph on", "not available in this version"},
		{"bench l2 --no-skip-verify=5", "takes no value"},
	}
	for _, tc := range tests {
		t.Run("sixcall "+tc.line, func(t *testing.T) {
			t.Parallel()
			got := sixcall(args(tc.line))
			require.Equal(t, exitUsage, got.code, got.stderr)
			require.Contains(t, got.stderr, tc.want)
			require.Empty(t, got.stdout)
			require.NotContains(t, got.stderr, "Usage:")
			lines := strings.Split(strings.TrimSpace(got.stderr), "\n")
			require.True(t, strings.HasPrefix(lines[0], "sixcall: "))
			require.True(t, strings.HasPrefix(lines[len(lines)-1], "hint: run 'sixcall"), "the last line is the hint")
		})
	}
}

func TestSeveralUsageProblemsAreReportedAtOnce(t *testing.T) {
	t.Parallel()
	got := sixcall(args("replay --concurrency 0 --block-bytes -5 --l2-adapter [] --l2-adapter {}"))
	for _, want := range []string{"--concurrency is 0", "--block-bytes is -5", "#1: want a JSON object", "#2: type is missing"} {
		require.Contains(t, got.stderr, want)
	}
}

// binaryDir is where binary has put the command, "" when it was not called.
var binaryDir string

// binary builds the command once and returns its path.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "sixcall-test-")
	if err != nil {
		return "", err
	}
	binaryDir = dir
	path := filepath.Join(dir, "sixcall")
	cmd := exec.Command("go", "build", "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", errors.New(string(out))
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if binaryDir != "" {
		_ = os.RemoveAll(binaryDir)
	}
	os.Exit(code)
}

// start starts the built command.
func start(t *testing.T, args ...string) (cmd *exec.Cmd, stdout, stderr *bytes.Buffer) {
	t.Helper()
	path, err := binary()
	require.NoError(t, err)
	cmd = exec.CommandContext(t.Context(), path, args...)
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	require.NoError(t, cmd.Start())
	return cmd, stdout, stderr
}

// exitCode waits for the command; -1 when a signal ended it.
func exitCode(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	err := cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	return cmd.ProcessState.ExitCode()
}

func TestBinaryExitCodes(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]int{
		"version":                           exitOK,
		"replay --help":                     exitOK,
		"inspect /nowhere/libsixcall_x.so":  exitFailed,
		"replay --trace /nowhere/t.jsonl":   exitFailed,
		"replay --frobnicate":               exitUsage,
		"frobnicate":                        exitUsage,
		"inspect":                           exitUsage,
		"replay --l2-adapter {\"type\":1}":  exitUsage,
		"bench l2 --only nothing":           exitUsage,
		"bench l2 --num-keys":               exitUsage,
		"inspect no-such-connector-at-all":  exitFailed,
		"replay --requests 1 --l2-adapter ": exitUsage,
	} {
		t.Run("sixcall "+line, func(t *testing.T) {
			t.Parallel()
			cmd, stdout, stderr := start(t, args(line)...)
			require.Equal(t, want, exitCode(t, cmd), stderr.String())
			if want != exitOK {
				require.Empty(t, stdout.String())
				require.True(t, strings.HasPrefix(stderr.String(), "sixcall: "))
			}
		})
	}
}

// memLibrary skips the test unless the mem connector can be found by name.
func memLibrary(t *testing.T) {
	t.Helper()
	for _, dir := range filepath.SplitList(os.Getenv("SIXCALL_CONNECTOR_PATH")) {
		if _, err := os.Stat(filepath.Join(dir, "libsixcall_mem.so")); err == nil {
			return
		}
	}
	t.Skip("libsixcall_mem.so is not in $SIXCALL_CONNECTOR_PATH; `make cpp` builds it")
}

func TestBinaryEndsCleanlyOnASignal(t *testing.T) {
	t.Parallel()
	memLibrary(t)
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			cmd, stdout, stderr := start(t, args("replay --requests 50000000 --block-bytes 8 --format json")...)
			time.Sleep(2 * time.Second)
			require.NoError(t, cmd.Process.Signal(sig))
			require.Equal(t, exitFailed, exitCode(t, cmd), stderr.String())
			require.Positive(t, decode(t, stdout.String()).Requests)
		})
	}
}
