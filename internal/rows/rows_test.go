// Package rows holds the test of docs/l2-rows.md: every row of the contract names
// tests, and they exist.
package rows

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const contractRows = 125

var (
	line    = regexp.MustCompile(`^\| (\d+) \| .+ \| (.+) \|$`)
	goTest  = regexp.MustCompile("`([a-z0-9/-]+)` (Test\\w+)")
	cppTest = regexp.MustCompile("`(\\w+)\\.(\\w+)`")
)

func TestEveryRowNamesTestsThatExist(t *testing.T) {
	root := filepath.Join("..", "..")
	text, err := os.ReadFile(filepath.Join(root, "docs", "l2-rows.md"))
	require.NoError(t, err)
	cpp := read(t, filepath.Join(root, "native", "test", "helper", "*.cpp"))
	rows := 0
	for _, l := range strings.Split(string(text), "\n") {
		m := line.FindStringSubmatch(l)
		if m == nil {
			continue
		}
		rows++
		named := 0
		for _, g := range goTest.FindAllStringSubmatch(m[2], -1) {
			named++
			source := read(t, filepath.Join(root, filepath.FromSlash(g[1]), "*_test.go"))
			require.Contains(t, source, "func "+g[2]+"(t *testing.T)", "row %s", m[1])
		}
		for _, c := range cppTest.FindAllStringSubmatch(m[2], -1) {
			named++
			require.Regexp(t, `TEST(_F|_P)?\(`+c[1]+`, *`+c[2]+`\)`, cpp, "row %s", m[1])
		}
		require.Positive(t, named, "row %s names no test", m[1])
	}
	require.Equal(t, contractRows, rows)
}

func read(t *testing.T, pattern string) string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	require.NoError(t, err)
	var all strings.Builder
	for _, f := range files {
		text, err := os.ReadFile(f)
		require.NoError(t, err)
		all.Write(text)
	}
	return all.String()
}
