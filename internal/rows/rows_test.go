// Package rows holds the tests of docs/l2-rows.md and docs/host-rows.md: every row of
// a contract names tests, and they exist.
package rows

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The contracts and how many rows they have.
var contracts = map[string]int{"l2-rows.md": 125, "host-rows.md": 136}

var (
	line    = regexp.MustCompile(`^\| (\d+) \| .+ \| (.+) \|$`)
	goTest  = regexp.MustCompile("`([a-z0-9/-]+)` (Test\\w+)")
	cppTest = regexp.MustCompile("`(\\w+)\\.(\\w+)`")
)

func TestEveryRowNamesTestsThatExist(t *testing.T) {
	root := filepath.Join("..", "..")
	cpp := read(t, filepath.Join(root, "native", "test", "helper", "*.cpp"))
	for name, want := range contracts {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(root, "docs", name))
			require.NoError(t, err)
			rows := 0
			for _, l := range strings.Split(string(text), "\n") {
				m := line.FindStringSubmatch(l)
				if m == nil {
					continue
				}
				rows++
				require.Equal(t, strconv.Itoa(rows), m[1], "rows are in order, each once")
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
			require.Equal(t, want, rows)
		})
	}
}

// TestEverySchemeNamesTestsThatExist is about the second table of host-rows.md.
func TestEverySchemeNamesTestsThatExist(t *testing.T) {
	root := filepath.Join("..", "..")
	text, err := os.ReadFile(filepath.Join(root, "docs", "host-rows.md"))
	require.NoError(t, err)
	_, table, ok := strings.Cut(string(text), "## URL schemes")
	require.True(t, ok)
	source := read(t, filepath.Join(root, "adapters", "config", "host", "*_test.go"))
	schemes := regexp.MustCompile("`[a-z0-9-]+://[a-z_]*`")
	var seen []string
	for _, l := range strings.Split(table, "\n") {
		found := schemes.FindAllString(l, -1)
		seen = append(seen, found...)
		tests := regexp.MustCompile(`Test\w+`).FindAllString(l, -1)
		require.Equal(t, len(found) > 0, len(tests) > 0, l)
		for _, name := range tests {
			require.Contains(t, source, "func "+name+"(t *testing.T)", l)
		}
	}
	makers := read(t, filepath.Join(root, "adapters", "remote", "schemes.go"))
	for _, m := range regexp.MustCompile(`(?m)^\t\t"([a-z0-9-]+)": +new`).FindAllStringSubmatch(makers, -1) {
		require.Contains(t, seen, "`"+m[1]+"://`", "a built-in scheme without a row")
	}
	require.Contains(t, seen, "`plugin://`")
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
