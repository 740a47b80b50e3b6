package config_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/config"
	"github.com/sixcall/sixcall/internal/conformance"
	"github.com/sixcall/sixcall/native"
)

// copyMem copies the bundled mem library, so that something can lie beside it.
func copyMem(t *testing.T) string {
	t.Helper()
	needMem(t)
	from, err := native.Find("mem", nil)
	require.NoError(t, err)
	data, err := os.ReadFile(from)
	require.NoError(t, err)
	to := filepath.Join(t.TempDir(), "libsixcall_mem.so")
	require.NoError(t, os.WriteFile(to, data, 0o755))
	return to
}

// attest writes an attestation of a level, as `sixcall check` makes it when all checks pass.
func attest(t *testing.T, library string, level int, edit func(*conformance.Report)) {
	t.Helper()
	report, err := native.Inspect(library, false)
	require.NoError(t, err)
	r := &conformance.Report{Schema: conformance.ReportSchema, Library: library, SHA256: report.SHA256, Level: level, Seed: 1, Started: time.Now()}
	for _, c := range conformance.Catalogue() {
		if c.Level <= level {
			r.Results = append(r.Results, conformance.Result{ID: c.ID, Name: c.Name, Level: c.Level, Verdict: conformance.Pass})
		}
	}
	if edit != nil {
		edit(r)
	}
	a, err := r.Attest()
	require.NoError(t, err)
	data, err := json.Marshal(a)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(conformance.AttestationPath(library), data, 0o644))
}

func openWithCheck(t *testing.T, library, members string) error {
	t.Helper()
	adapter, err := config.Build(t.Context(), parse(t, `{"type":"native_plugin","module_path":"`+library+`","class_name":"mem",`+members+`}`)[0])
	if err == nil {
		require.NoError(t, adapter.Close())
	}
	return err
}

func TestRequireCheck(t *testing.T) {
	t.Parallel()
	for _, isolation := range []string{"none", "process"} {
		t.Run(isolation, func(t *testing.T) {
			t.Parallel()
			library := copyMem(t)
			members := `"isolation":"` + isolation + `","require_check":2`

			err := openWithCheck(t, library, members)
			require.ErrorContains(t, err, "require_check is 2: there is no "+library+".check.json")
			require.ErrorContains(t, err, "sixcall check "+library+" --level 2 --attest "+library+".check.json", "it says which command makes one")

			attest(t, library, 1, nil)
			require.ErrorContains(t, openWithCheck(t, library, members), "the attestation is for level 1, want 2")
			attest(t, library, 2, func(r *conformance.Report) { r.Results[0].Verdict, r.Results[0].Waived = conformance.Fail, "a reason" })
			require.ErrorContains(t, openWithCheck(t, library, members), "the attestation waives S01")
			attest(t, library, 2, nil)
			require.NoError(t, openWithCheck(t, library, members))
			attest(t, library, 3, nil)
			require.NoError(t, openWithCheck(t, library, members), "a higher level is more")
			require.ErrorContains(t, openWithCheck(t, library, members+`,"sha256":"0000000000000000000000000000000000000000000000000000000000000000"`), "sha256 pins 0000")

			data, err := os.ReadFile(library)
			require.NoError(t, err)
			require.NoError(t, os.Remove(library)) // the old one stays mapped in this process
			require.NoError(t, os.WriteFile(library, append(data, 0), 0o755))
			require.ErrorContains(t, openWithCheck(t, library, members), "the attestation is for another file")
		})
	}
}

func TestRequireCheckIsChecked(t *testing.T) {
	t.Parallel()
	_, err := config.ParseL2Adapters([]string{`{"type":"native_plugin","module_path":"mem","class_name":"mem","require_check":5}`})
	require.ErrorContains(t, err, "require_check is 5, want 0 to 4")
	a := parse(t, `{"type":"native_plugin","module_path":"mem","class_name":"mem","require_check":2}`)[0]
	require.Equal(t, 2, a.NativePlugin.RequireCheck)
	_, err = config.Build(t.Context(), parse(t, `{"type":"native_plugin","module_path":"go:s3","class_name":"s3","adapter_params":{"endpoint":"http://127.0.0.1:1","bucket":"b"},"require_check":2}`)[0])
	require.ErrorContains(t, err, "part of this program and no file")
}
