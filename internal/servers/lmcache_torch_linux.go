package servers

import (
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// LMCacheTorch returns the folders for PYTHONPATH with LMCache, torch and stand-ins for
// CUDA's libraries, for CPython 3.11, or ends the test as [Require] does.
func LMCacheTorch(t testing.TB) []string {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		Require(t, "the list has LMCache's wheel for amd64 only, this is %s", runtime.GOARCH)
	}
	deps := Deps(t, "lmcache-torch")
	Program(t, "readelf", "binutils")
	stubs := t.TempDir()
	out, err := exec.Command(Program(t, "python3.11", "python3"), filepath.Join(root(), "adapters/python/tests/cuda_stubs.py"), stubs, filepath.Join(deps, "torch")).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return []string{stubs, deps}
}
