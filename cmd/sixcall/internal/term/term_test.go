package term_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/cmd/sixcall/internal/term"
)

func TestNumbers(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 288500: "288,500", -1234567: "-1,234,567"} {
		require.Equal(t, want, term.Count(n))
	}
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 4096: "4.1 kB", 999_999: "1.0 MB", 748_707_840: "748.7 MB", 1 << 62: "4.6 EB"} {
		require.Equal(t, want, term.Bytes(n))
	}
	for us, want := range map[float64]string{0.5: "0.5 µs", 999.9: "999.9 µs", 1500: "1.50 ms", 2e6: "2.00 s"} {
		require.Equal(t, want, term.Micros(us))
	}
	require.Equal(t, "2.00", term.Rate(2e9, time.Second))
	require.Equal(t, "-", term.Rate(0, time.Second))
	require.Equal(t, "-", term.Rate(5, 0))
	require.Equal(t, "36.6 %", term.Percent(0.36641))
}

func TestTable(t *testing.T) {
	t.Parallel()
	table := term.Table{Left: []int{0, 2}}
	table.Row("a", "1", "one")
	table.Row("longer", "1,000", "µ")
	require.Equal(t, "  a           1  one\n  longer  1,000  µ\n", table.String())
}

func TestWriteFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := filepath.Join(dir, "f")
	require.NoError(t, term.WriteFile(name, []byte("one")))
	info, err := os.Stat(name)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o644), info.Mode().Perm())
	require.NoError(t, os.Chmod(name, 0o600))
	require.NoError(t, term.WriteFile(name, []byte("two")))
	data, err := os.ReadFile(name)
	require.NoError(t, err)
	require.Equal(t, "two", string(data))
	info, err = os.Stat(name)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), "a file keeps its mode")

	// A folder cannot be replaced; nothing may be left behind.
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "sub", "x"), 0o700))
	require.Error(t, term.WriteFile(filepath.Join(dir, "sub"), []byte("x")))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 2)
}

func TestProgressIsSilentWithoutATerminal(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	p := term.NewProgress(&b, "requests", 3)
	p.Add(10)
	p.Stop()
	require.Empty(t, b.String())
}
