package s3

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

func TestLentReadsLikeItsValue(t *testing.T) {
	value := bytes.Repeat([]byte("0123456789"), 100)
	require.NoError(t, iotest.TestReader(lend(value), value))
}

func TestLentGivesNothingAfterItsEnd(t *testing.T) {
	l := lend([]byte("value"))
	l.end()
	p := []byte("untouched")
	n, err := l.Read(p)
	require.Zero(t, n)
	require.ErrorIs(t, err, errEnded)
	n, err = l.ReadAt(p, 0)
	require.Zero(t, n)
	require.ErrorIs(t, err, errEnded)
	require.Equal(t, "untouched", string(p))
	_, err = l.Seek(-1, io.SeekStart)
	require.Error(t, err)
}

func TestNames(t *testing.T) {
	// Row 123 of the host extensions: the name of LMCache's remote connector.
	remote := Options{Layout: LayoutRemote}
	name, err := remote.name("org/m@2@1@abc@bfloat16@u%b")
	require.NoError(t, err)
	require.Equal(t, "org_m@2@1@abc@bfloat16@u%b", name)

	l2 := Options{Layout: LayoutL2, Prefix: "cache/"}
	name, err = l2.name("org/m@01000100@0@ab")
	require.NoError(t, err)
	require.Equal(t, "cache/org/m@01000100@0@ab", name)

	for _, bad := range []string{"", "a//b", "/a", "a/", "..", "a/../b", "./a", "nul\x00", "line\n", "\xff", string(make([]byte, 2000))} {
		_, err := l2.name(bad)
		require.Error(t, err, "%q", bad)
	}
}

func TestBelongs(t *testing.T) {
	require.True(t, belongs(nil, "org/m"), "an object of LMCache")
	require.True(t, belongs(map[string]string{"sixcall-key": "org%2Fm"}, "org/m"))
	require.False(t, belongs(map[string]string{"Sixcall-Key": "org_m"}, "org/m"))
	require.True(t, belongs(metadata("é\n@"), "é\n@"))
}

func TestBudgetBoundsRetries(t *testing.T) {
	b := &budget{tenths: 10}
	require.True(t, b.spend())
	require.False(t, b.spend())
	for range 9 {
		b.earn()
	}
	require.False(t, b.spend())
	b.earn()
	require.True(t, b.spend())
	for range 2 * maxTenths {
		b.earn()
	}
	require.Equal(t, maxTenths, b.tenths)
}
