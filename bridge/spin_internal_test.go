package bridge

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestSpinnerPausesLongerEachTime counts the tasks between looks in vain: 1, 2, 4
// and so on up to a bound, and from the beginning after one that paid.
func TestSpinnerPausesLongerEachTime(t *testing.T) {
	var s spinner
	s.open(time.Microsecond)
	gap := func() int32 {
		n := int32(0)
		for !s.wanted() {
			n++
		}
		return n
	}
	require.Zero(t, gap())
	for want := int32(1); want <= maxSpinPause; want *= 2 {
		s.ended(false)
		require.Equal(t, want, gap())
	}
	s.ended(false)
	require.Equal(t, int32(maxSpinPause), gap(), "the pause is bounded")
	s.ended(true)
	require.Zero(t, gap())
	s.ended(false)
	require.Equal(t, int32(1), gap())
}

func TestSpinnerIsOffWithoutALimit(t *testing.T) {
	var s spinner
	s.open(-1)
	require.False(t, s.wanted())
}
