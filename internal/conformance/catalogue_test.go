//go:build linux

package conformance_test

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/internal/conformance"
)

func TestCatalogueIsComplete(t *testing.T) {
	t.Parallel()
	counts := map[byte]int{}
	seen := map[string]bool{}
	for _, c := range conformance.Catalogue() {
		require.Regexp(t, regexp.MustCompile(`^[A-Z][0-9]{2}$`), c.ID)
		require.False(t, seen[c.ID], "%s is there twice", c.ID)
		seen[c.ID] = true
		counts[c.ID[0]]++
		require.NotEmpty(t, c.Name, c.ID)
		require.Contains(t, []int{1, 2, 3, 4}, c.Level, c.ID)
		for _, text := range []string{c.Does, c.Means, c.Fix} {
			require.True(t, strings.HasSuffix(text, "."), "%s: %q is no sentence", c.ID, text)
		}
	}
	require.Equal(t, map[byte]int{
		'S': 14, 'L': 14, 'O': 10, 'F': 6, 'C': 10, 'B': 16, 'M': 5, 'T': 14, 'X': 9, 'P': 7, 'R': 11, 'Z': 4, 'N': 5, 'K': 3, 'V': 2, 'Q': 7,
	}, counts)
}

// Every check of the probe is in the catalogue, and the other way round.
func TestProbeAndCatalogueFit(t *testing.T) {
	t.Parallel()
	out, err := exec.Command(probe(t), "--list").Output()
	require.NoError(t, err)
	inProbe := strings.Fields(string(out))
	for _, id := range inProbe {
		_, ok := conformance.Lookup(id)
		require.True(t, ok || !regexp.MustCompile(`^[A-Z][0-9]{2}$`).MatchString(id), "the probe has %s, the catalogue has not", id)
	}
	for _, id := range conformance.ProbeChecks() {
		require.True(t, slices.Contains(inProbe, id), "the catalogue has %s, the probe has not", id)
	}
}

// Each check has at least one mutant or wrong file, but those that only measure and
// those that are not in this version.
func TestEveryCheckHasAMutant(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("static_test.go")
	require.NoError(t, err)
	for _, c := range conformance.Catalogue() {
		if c.ID[0] == 'Q' || c.ID[0] == 'V' {
			continue
		}
		has := strings.Contains(string(source), fmt.Sprintf("{%q, ", c.ID))
		for _, m := range mutations {
			has = has || m.check == c.ID && m.want != conformance.Pass
		}
		require.True(t, has, "no mutant for %s %s", c.ID, c.Name)
	}
}

const docs = "../../docs/conformance.md"

// The table in the documentation is made from the catalogue:
//
//	UPDATE=1 go test ./internal/conformance -run TestDocumentation
func TestDocumentationHasTheCatalogue(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(docs)
	require.NoError(t, err)
	const begin, end = "<!-- checks: begin -->\n", "<!-- checks: end -->"
	before, rest, ok := strings.Cut(string(text), begin)
	require.True(t, ok)
	_, after, ok := strings.Cut(rest, end)
	require.True(t, ok)
	want := before + begin + conformance.CatalogueMarkdown() + end + after
	if os.Getenv("UPDATE") != "" {
		require.NoError(t, os.WriteFile(docs, []byte(want), 0o644))
		return
	}
	require.Equal(t, want, string(text), "run the command above")
}

// The vendor's guide names the check that finds each mistake.
func TestGuideNamesChecksThatExist(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../native/README.md")
	require.NoError(t, err)
	_, table, ok := strings.Cut(string(text), "## Ten mistakes")
	require.True(t, ok)
	ids := regexp.MustCompile(`\b[A-Z][0-9]{2}\b`).FindAllString(table, -1)
	require.GreaterOrEqual(t, len(ids), 10)
	for _, id := range ids {
		_, ok := conformance.Lookup(id)
		require.True(t, ok, "the guide names %s, which is no check", id)
	}
}
