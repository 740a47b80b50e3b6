//go:build linux && (amd64 || arm64)

package native_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// usage is what a test must not leave behind.
type usage struct {
	fds, threads, goroutines int
}

func currentUsage(t testing.TB) usage {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	tasks, err := filepath.Glob("/proc/self/task/*/comm")
	require.NoError(t, err)
	u := usage{fds: len(fds), goroutines: runtime.NumGoroutine()}
	for _, task := range tasks {
		// The runtime's own threads come and go as it likes.
		if name, err := os.ReadFile(task); err == nil && strings.HasPrefix(string(name), "sixcall:") {
			u.threads++
		}
	}
	return u
}

// leakCheck returns a function that fails the test unless descriptors, library
// threads and goroutines are back to what they were.
func leakCheck(t testing.TB) func() {
	t.Helper()
	before := currentUsage(t)
	return func() {
		t.Helper()
		var now usage
		for deadline := time.Now().Add(3 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			if now = currentUsage(t); now.fds <= before.fds && now.threads <= before.threads && now.goroutines <= before.goroutines {
				return
			}
		}
		require.Equal(t, before, now, "left behind")
	}
}
