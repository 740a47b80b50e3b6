package engine_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge/engine"
)

func TestThrottlePassesTheFirstLineOfEachKind(t *testing.T) {
	var throttle engine.Throttle
	for _, kind := range []string{"a", "b"} {
		ok, quiet := throttle.Pass(kind)
		require.True(t, ok)
		require.Zero(t, quiet)
	}
	passed := 0
	for range 1000 {
		if ok, _ := throttle.Pass("a"); ok {
			passed++
		}
	}
	require.Less(t, passed, 1000)
}
