//go:build !linux

package plugintest

import (
	"testing"
	"time"
)

func await(t testing.TB, _ int, _ time.Duration) bool {
	t.Skip("event fds are supported on Linux only")
	return false
}
