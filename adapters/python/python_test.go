//go:build linux && amd64 && !race

// Package python_test runs the tests of the Python package: its own, and those
// against LMCache's real package.
package python_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/internal/servers"
)

// limit ends a test program that hangs.
const limit = 8 * time.Minute

// bridge builds libsixcall.so.
func bridge(t *testing.T) string {
	t.Helper()
	servers.Program(t, "cc", "gcc")
	path := filepath.Join(t.TempDir(), "libsixcall.so")
	cmd := exec.Command("go", "build", "-trimpath", "-buildmode=c-shared", "-o", path, "../capi")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return path
}

// python runs a module of tests with folders on its path before the package.
func python(t *testing.T, library, module string, folders ...string) {
	t.Helper()
	here, err := os.Getwd()
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, servers.Program(t, "python3.11", "python3"), "-m", "unittest", "-v", module)
	cmd.Dir = filepath.Join(here, "tests")
	cmd.WaitDelay = time.Second
	path := append(folders, here)
	cmd.Env = append(os.Environ(),
		"SIXCALL_LIBRARY="+library,
		"SIXCALL_TEST_FAULTY="+filepath.Join(filepath.Dir(servers.Connector(t, "mem")), "test", "libsixcall_faulty.so"),
		"PYTHONPATH="+strings.Join(path, string(os.PathListSeparator)),
		"PYTHONDONTWRITEBYTECODE=",
		"LMCACHE_TRACK_USAGE=false", "LMCACHE_LOG_LEVEL=WARNING",
	)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "\nOK", "%s", out) // and not "OK (skipped=...)" alone
	require.NotContains(t, string(out), "skipped=", "%s", out)
}

// lmcache returns the folders with LMCache, torch and stand-ins for CUDA.
func lmcache(t *testing.T) []string {
	t.Helper()
	deps := servers.Deps(t, "lmcache-torch")
	servers.Program(t, "readelf", "binutils")
	stubs := t.TempDir()
	out, err := exec.Command(servers.Program(t, "python3.11", "python3"), "tests/cuda_stubs.py", stubs, filepath.Join(deps, "torch")).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return []string{stubs, deps}
}

func TestPackage(t *testing.T) {
	for _, module := range []string{"test_abi", "test_search", "test_native"} {
		t.Run(module, func(t *testing.T) { python(t, "", module) })
	}
}

func TestLMCache(t *testing.T) {
	folders, library := lmcache(t), bridge(t)
	for _, module := range []string{"test_lmcache_native", "test_lmcache_adapter", "test_adapter", "test_lmcache_server"} {
		t.Run(module, func(t *testing.T) { python(t, library, module, folders...) })
	}
}
