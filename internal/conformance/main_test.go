//go:build linux

package conformance_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/internal/conformance"
	"github.com/sixcall/sixcall/internal/servers"
)

// goHostEnv makes the test program the Go host of check L14.
const goHostEnv = "SIXCALL_TEST_GO_HOST"

func TestMain(m *testing.M) {
	if os.Getenv(goHostEnv) != "" {
		if err := conformance.GoHost(os.Args[1], os.Args[2]); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// mutants builds the libraries with mistakes in the build folder that holds the
// connectors, once, and returns their folder.
var mutants = sync.OnceValues(func() (string, error) {
	for _, dir := range filepath.SplitList(os.Getenv("SIXCALL_CONNECTOR_PATH")) {
		build := filepath.Dir(dir)
		if _, err := os.Stat(filepath.Join(build, "CMakeCache.txt")); err != nil {
			continue
		}
		out, err := exec.Command("cmake", "--build", build, "-j2", "--target", "sixcall-mutants").CombinedOutput()
		if err != nil {
			return string(out), err
		}
		return filepath.Join(build, "mutants"), nil
	}
	return "$SIXCALL_CONNECTOR_PATH names no lib folder of a CMake build; `make cpp` makes one", os.ErrNotExist
})

// mutant returns the path of a library with mistakes.
func mutant(t testing.TB, name string) string {
	t.Helper()
	dir, err := mutants()
	if err != nil {
		servers.Require(t, "the mutants cannot be built: %v: %s", err, dir)
	}
	path := filepath.Join(dir, "libsixcall_"+name+".so")
	require.FileExists(t, path)
	return path
}

// quick are options with which a check of a library that is at fault ends soon.
func quick(library string) conformance.Options {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return conformance.Options{
		Library: library, Seed: 7, Effort: 600 * time.Millisecond, Patience: 2 * time.Second, Limit: 20 * time.Second,
		Env: []string{goHostEnv + "=1"}, Self: []string{self},
	}
}

// run runs the checks and returns the report.
func run(t testing.TB, opts conformance.Options) *conformance.Report {
	t.Helper()
	report, err := conformance.Run(context.Background(), opts)
	require.NoError(t, err)
	return report
}

func params(t testing.TB, values map[string]any) json.RawMessage {
	t.Helper()
	data, err := json.Marshal(values)
	require.NoError(t, err)
	return data
}

// copyFile copies a library into a folder of the test, changed by edit.
func copyFile(t testing.TB, from string, edit func([]byte) []byte) string {
	t.Helper()
	data, err := os.ReadFile(from)
	require.NoError(t, err)
	if edit != nil {
		data = edit(bytes.Clone(data))
	}
	to := filepath.Join(t.TempDir(), filepath.Base(from))
	require.NoError(t, os.WriteFile(to, data, 0o755))
	return to
}

// probe returns the path of sixcall-probe.
func probe(t testing.TB) string {
	t.Helper()
	path, err := conformance.FindProbe("", "/", "sixcall-probe")
	if err != nil {
		servers.Require(t, "%v", err)
	}
	return path
}
