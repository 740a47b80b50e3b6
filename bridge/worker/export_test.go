//go:build linux && (amd64 || arm64)

package worker

import (
	"testing"
	"time"
)

// ShortenRegistrations bounds Register and Unregister during a test.
func ShortenRegistrations(t testing.TB, to time.Duration) {
	old := registerTimeout
	registerTimeout = to
	t.Cleanup(func() { registerTimeout = old })
}
