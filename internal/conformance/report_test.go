//go:build linux

package conformance_test

import (
	"encoding/json"
	"encoding/xml"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/internal/conformance"
)

// sample is a report of all checks of a level with one of each verdict.
func sample(t testing.TB, level int) (*conformance.Report, string) {
	library := filepath.Join(t.TempDir(), "libsixcall_x.so")
	require.NoError(t, os.WriteFile(library, []byte("content"), 0o644))
	r := &conformance.Report{
		Schema: conformance.ReportSchema, Library: library, SHA256: "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73",
		Connector: "x 1.0.0 by Acme", ABI: "1.0", Caps: []string{"delete"}, Checker: "v1", Machine: "m", Level: level, Seed: 3, Started: time.Unix(1e9, 0).UTC(),
	}
	for _, c := range conformance.Catalogue() {
		if c.Level <= level {
			r.Results = append(r.Results, conformance.Result{ID: c.ID, Name: c.Name, Level: c.Level, Verdict: conformance.Pass})
		}
	}
	return r, library
}

func TestAttestation(t *testing.T) {
	t.Parallel()
	report, library := sample(t, conformance.Conformant)
	report.Conclude()
	require.True(t, report.Conformant)
	a, err := report.Attest()
	require.NoError(t, err)
	require.NoError(t, a.Verify(library, 2, false))
	require.NoError(t, a.Verify(library, 1, false))
	require.ErrorContains(t, a.Verify(library, 3, false), "for level 2, want 3")

	file := library + ".check.json"
	data, err := json.Marshal(a)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, data, 0o644))
	sum, err := conformance.VerifyFile("", library, 2, false)
	require.NoError(t, err)
	require.Equal(t, report.SHA256, sum)
	require.NoError(t, os.WriteFile(file, []byte(strings.Replace(string(data), `"B01":"PASS"`, `"B01":"SKIP"`, 1)), 0o644))
	_, err = conformance.VerifyFile("", library, 2, false)
	require.ErrorContains(t, err, "changed after it was made")
	_, err = conformance.VerifyFile("/no/such/file", library, 2, false)
	require.ErrorIs(t, err, os.ErrNotExist)

	require.NoError(t, os.WriteFile(library, []byte("another build"), 0o644))
	require.ErrorContains(t, a.Verify(library, 2, false), "another file")
}

func TestAttestationOfWhatIsNotConformant(t *testing.T) {
	t.Parallel()
	for _, v := range []conformance.Verdict{conformance.Fail, conformance.Crash, conformance.Timeout, conformance.Leak} {
		report, _ := sample(t, 2)
		report.Results[4].Verdict = v
		report.Conclude()
		require.True(t, report.Failed())
		_, err := report.Attest()
		require.ErrorContains(t, err, "not conformant")
	}
	report, _ := sample(t, 2)
	report.Results[4].Verdict = conformance.ToolError
	report.Conclude()
	require.False(t, report.Failed())
	require.False(t, report.Conformant)
	_, err := report.Attest()
	require.ErrorContains(t, err, "could not run")
}

func TestAttestationWithAWaiver(t *testing.T) {
	t.Parallel()
	report, library := sample(t, 2)
	report.Results[4].Verdict, report.Results[4].Waived = conformance.Fail, "our kernel is old"
	report.Conclude()
	require.True(t, report.Conformant)
	a, err := report.Attest()
	require.NoError(t, err)
	require.NoError(t, a.Verify(library, 2, true))
	require.ErrorContains(t, a.Verify(library, 2, false), "waives "+report.Results[4].ID)
}

func TestAttestationWithoutACheck(t *testing.T) {
	t.Parallel()
	report, library := sample(t, 2)
	gone := report.Results[7].ID
	report.Results = append(report.Results[:7], report.Results[8:]...)
	report.Conclude()
	a, err := report.Attest()
	require.NoError(t, err)
	require.ErrorContains(t, a.Verify(library, 2, false), "does not have check "+gone)
}

func TestFormsOfAReport(t *testing.T) {
	t.Parallel()
	report, _ := sample(t, 2)
	bad := &report.Results[9]
	*bad = conformance.Result{
		ID: "L05", Name: "table.size", Level: 1, Verdict: conformance.Crash, Text: "killed | by <SIGSEGV>\x01", Means: "It crashes.", Fix: "Do not.", Output: "a line\nanother",
	}
	report.Results[10].Verdict = conformance.Skip
	report.Results[11].Verdict = conformance.ToolError
	report.Conclude()

	text := report.Terminal()
	for _, want := range []string{"x 1.0.0 by Acme, ABI 1.0", "CRASH      L05  table.size", "means: It crashes.", "do:    Do not.", "another", "again: sixcall check", "--only L05 --seed 3", "NOT CONFORMANT"} {
		require.Contains(t, text, want)
	}
	require.NotContains(t, text, "hint:")
	bad.Text = "open returned SIXCALL_E_CONFIG (-11): the key x is missing"
	require.Contains(t, report.Terminal(), "hint: the library does not open with these --params")
	bad.Text = "killed | by <SIGSEGV>\x01"
	card := report.Markdown()
	require.Contains(t, card, `| L05 | table.size | CRASH | killed \| by &lt;SIGSEGV>`)
	var suite struct {
		Failures int `xml:"failures,attr"`
		Errors   int `xml:"errors,attr"`
		Skipped  int `xml:"skipped,attr"`
	}
	require.NoError(t, xml.Unmarshal([]byte(report.JUnit()), &suite))
	require.Equal(t, 1, suite.Failures)
	require.Equal(t, 1, suite.Errors)
	require.Equal(t, 1, suite.Skipped)
	data, err := json.Marshal(report)
	require.NoError(t, err)
	var again conformance.Report
	require.NoError(t, json.Unmarshal(data, &again))
	require.Equal(t, report.Results, again.Results)
}

func TestWrongOptions(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		opts conformance.Options
		want string
	}{
		{conformance.Options{}, "no library is given"},
		{conformance.Options{Library: "x", Level: 7}, "level is 7"},
		{conformance.Options{Library: "x", Params: json.RawMessage("[]")}, "no JSON object"},
		{conformance.Options{Library: "x", Only: []string{"Q99"}}, "unknown check Q99"},
		{conformance.Options{Library: "x", Waive: map[string]string{"B01": " "}}, "without a reason"},
		{conformance.Options{Library: "x", Endpoint: "nowhere"}, "want host:port"},
		{conformance.Options{Library: "/no/such/file.so"}, "no such file"},
	} {
		_, err := conformance.Run(t.Context(), tc.opts)
		require.ErrorContains(t, err, tc.want)
	}
}

// A check can be run by hand: what Manual returns ends with the check's verdict.
func TestManual(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"B01", "R08"} { // R08 lets calls fail
		opts := quick(mutant(t, "mutant"))
		args, env, dir, err := conformance.Manual(opts, id)
		require.NoError(t, err)
		t.Cleanup(func() { os.RemoveAll(dir) })
		cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
		cmd.Env = append(os.Environ(), env...)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.Contains(t, string(out), "PASS")
	}
	_, _, _, err := conformance.Manual(quick("x"), "S03")
	require.ErrorContains(t, err, "does not run in the probe")
}
