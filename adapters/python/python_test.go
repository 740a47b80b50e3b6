//go:build linux && amd64

// Package python_test runs the tests of the Python package: its own, and those
// against LMCache's real package.
package python_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/internal/servers"
)

// limit ends a test program that hangs.
var limit = 8 * time.Minute

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

// inPython leaves out of short runs what is about Python and takes minutes.
func inPython(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: minutes, and no Go in them")
	}
}

// python runs a module of tests with folders on its path before the package.
func python(t *testing.T, library, module string, folders ...string) (printed string) {
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
	return string(out)
}

// lmcache returns the folders with LMCache, torch and stand-ins for CUDA.
func lmcache(t *testing.T) []string {
	t.Helper()
	return servers.LMCacheTorch(t)
}

func TestPackage(t *testing.T) {
	inPython(t)
	for _, module := range []string{"test_abi", "test_search", "test_native", "test_worker"} {
		t.Run(module, func(t *testing.T) { python(t, "", module) })
	}
}

func TestLMCache(t *testing.T) {
	inPython(t)
	folders, library := lmcache(t), bridge(t)
	for _, module := range []string{"test_lmcache_native", "test_lmcache_adapter", "test_adapter", "test_lmcache_server", "test_lmcache_remote", "test_lmcache_worker", "test_versions"} {
		t.Run(module, func(t *testing.T) { python(t, library, module, folders...) })
	}
}

// versions are older versions of LMCache, and what runs on each. Its types plugin and
// native_plugin came between 0.4.1 and 0.4.7.
var versions = []struct {
	version string
	modules []string
}{
	{"0.5.5", []string{"test_versions", "test_lmcache_remote"}},
	{"0.5.0", []string{"test_versions", "test_lmcache_remote"}},
	{"0.4.7", []string{"test_versions", "test_lmcache_remote"}},
	{"0.4.1", []string{"test_lmcache_remote"}},
	{"0.3.15", []string{"test_lmcache_remote"}},
}

// TestLMCacheVersions is run by make test-lmcache-versions.
func TestLMCacheVersions(t *testing.T) {
	if os.Getenv("SIXCALL_LMCACHE_VERSIONS") == "" {
		t.Skip("set SIXCALL_LMCACHE_VERSIONS; it installs five versions of LMCache")
	}
	folders, library := lmcache(t), bridge(t)
	for _, v := range versions {
		older := []string{folders[0], servers.Deps(t, "lmcache-"+v.version), folders[1]}
		for _, module := range v.modules {
			t.Run(v.version+"/"+module, func(t *testing.T) { python(t, library, module, older...) })
		}
	}
}

// TestSoak is run by make soak-lmcache.
func TestSoak(t *testing.T) {
	seconds, _ := strconv.Atoi(os.Getenv("SIXCALL_SOAK_SECONDS"))
	if seconds <= 0 {
		t.Skip("set SIXCALL_SOAK_SECONDS; it takes that long")
	}
	servers.Program(t, "redis-server", "redis-server")
	limit = time.Duration(seconds)*time.Second + 5*time.Minute
	for line := range strings.Lines(python(t, bridge(t), "soak", lmcache(t)...)) {
		if strings.HasPrefix(line, "{\"seconds\"") || strings.Contains(line, "most of each quarter") {
			t.Log(strings.TrimSpace(line))
		}
	}
}

func TestWheel(t *testing.T) {
	inPython(t)
	library, connectors := bridge(t), t.TempDir()
	for _, name := range []string{"mem", "fs"} {
		path := servers.Connector(t, name)
		require.NoError(t, copyFile(path, filepath.Join(connectors, filepath.Base(path))), "%s", path)
	}
	python := servers.Program(t, "python3.11", "python3")
	worker := os.Getenv("SIXCALL_WORKER")
	if _, err := os.Stat(worker); err != nil {
		servers.Require(t, "the worker is not built: %v", err)
	}
	run := func(env []string, name string, args ...string) string {
		cmd := exec.Command(name, args...)
		cmd.Env = env
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s %v: %s", name, args, out)
		return strings.TrimSpace(string(out))
	}
	out := t.TempDir()
	wheel := run(nil, python, "build_wheel.py", out, library, worker, connectors)
	require.Regexp(t, `^sixcall-[0-9.]+-py3-none-manylinux_2_\d+_x86_64\.whl$`, filepath.Base(wheel))
	before, err := os.ReadFile(wheel)
	require.NoError(t, err)
	run(nil, python, "build_wheel.py", out, library, worker, connectors)
	again, err := os.ReadFile(wheel)
	require.NoError(t, err)
	require.Equal(t, before, again, "the same input gives the same bytes")

	// No compiler, no settings, not the source tree.
	program, err := filepath.Abs("tests/installed.py")
	require.NoError(t, err)
	copied := filepath.Join(t.TempDir(), "installed.py")
	text, err := os.ReadFile(program)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(copied, text, 0o600))
	pythons := []string{python}
	for _, name := range []string{"python3.10", "python3.12", "python3.13"} { // the others that this machine has
		if path, err := exec.LookPath(name); err == nil && exec.Command(path, "-c", "import ensurepip").Run() == nil {
			pythons = append(pythons, path)
		}
	}
	for _, python := range pythons {
		venv := filepath.Join(t.TempDir(), "venv")
		run(os.Environ(), python, "-m", "venv", venv)
		run(os.Environ(), filepath.Join(venv, "bin", "pip"), "install", "--quiet", "--no-index", "--disable-pip-version-check", wheel)
		clean := []string{"PATH=" + filepath.Join(venv, "bin"), "HOME=" + t.TempDir()}
		require.Contains(t, run(clean, filepath.Join(venv, "bin", "python"), "-I", copied), "installed", python)
	}
}

// copyFile copies a file, with the rights of a library.
func copyFile(from, to string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o755)
}
