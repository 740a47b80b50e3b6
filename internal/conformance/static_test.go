//go:build linux

package conformance_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/internal/conformance"
)

// What is wrong with a file, and the check that says so.
func TestEveryWrongFileIsCaughtByItsCheck(t *testing.T) {
	t.Parallel()
	otherMachine := func(b []byte) []byte {
		b[18] ^= 0x40 // e_machine
		return b
	}
	for _, tc := range []struct {
		check, library string
		edit           func([]byte) []byte
		want           conformance.Verdict
		text           string
	}{
		{"S01", "elf_good", otherMachine, fail, "built for another machine"},
		{"S02", "elf_no_note", nil, fail, "no .note.sixcall"},
		{"S03", "elf_exports", nil, fail, "json_parse"},
		{"S03", "elf_no_entry", nil, fail, "does not export sixcall_connector_entry_v1"},
		{"S04", "elf_undefined", nil, fail, "nobody_defines_this"},
		{"S05", "elf_needed", nil, fail, "libgone.so"},
		{"S05", "mutant_asan", nil, fail, "libasan"},
		{"S07", "elf_hardening", nil, fail, "no RELRO segment, no immediate binding (-z now), an executable stack, no build id"},
		{"S08", "elf_static_tls", nil, fail, "static TLS"},
		{"S09", "elf_rpath", nil, fail, "/home/vendor/build/lib"},
		{"S09", "elf_rpath_relative", nil, fail, "working folder"},
		{"S10", "elf_ctors", nil, warn, "constructors"},
		{"L01", "elf_no_entry", nil, fail, "does not export"},
		{"L01", "elf_needed", nil, fail, "libgone.so"},
	} {
		t.Run(tc.check+" "+tc.library, func(t *testing.T) {
			t.Parallel()
			// A copy in another folder: what a build folder adds is gone.
			opts := quick(copyFile(t, mutant(t, tc.library), tc.edit))
			opts.Probe = probe(t)
			opts.Only = []string{tc.check}
			got := run(t, opts).Results[0]
			require.Equal(t, tc.want, got.Verdict, got.Line())
			require.Contains(t, got.Text, tc.text)
		})
	}
}

func TestAGoodFilePassesAllStaticChecks(t *testing.T) {
	t.Parallel()
	library := copyFile(t, mutant(t, "elf_good"), nil)
	writeManifest(t, library, nil)
	opts := quick(library)
	opts.Probe = probe(t)
	opts.Only = []string{"S"}
	for _, r := range run(t, opts).Results {
		if r.ID == "S14" {
			require.Equal(t, conformance.Warn, r.Verdict, "it has no schema")
			continue
		}
		require.Equal(t, conformance.Pass, r.Verdict, r.Line())
	}
}

// writeManifest writes the manifest of a library, changed by edit.
func writeManifest(t testing.TB, library string, edit func(map[string]any)) {
	t.Helper()
	opts := quick(library)
	opts.Only = []string{"S02"}
	report := run(t, opts)
	m := map[string]any{
		"schema": conformance.ManifestSchema, "name": "elf", "version": "1.0.0", "vendor": "Sixcall", "abi": "1.0", "platform": runtime.GOOS + "-" + runtime.GOARCH,
		"library": filepath.Base(library), "sha256": report.SHA256, "min_glibc": "2.99", "min_glibcxx": "3.4.99",
	}
	if edit != nil {
		edit(m)
	}
	data, err := json.MarshalIndent(m, "", "  ")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(library+".json", data, 0o644))
}

func TestEveryWrongManifestIsCaughtByItsCheck(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		check, name string
		edit        func(map[string]any)
		mode        os.FileMode
		text        string
	}{
		{"S01", "another platform", func(m map[string]any) { m["platform"] = "linux-riscv64" }, 0, "linux-riscv64"},
		{"S06", "an old glibc is promised", func(m map[string]any) { m["name"], m["min_glibc"] = "mutant", "2.1" }, 0, "promises GLIBC_2.1"},
		{"S11", "another schema", func(m map[string]any) { m["schema"] = "x" }, 0, "schema is"},
		{"S11", "a bad name", func(m map[string]any) { m["name"] = "El F" }, 0, "name is"},
		{"S11", "another version", func(m map[string]any) { m["version"] = "2.0.0" }, 0, "the library says"},
		{"S11", "a path that leaves the folder", func(m map[string]any) {
			m["files"] = []map[string]string{{"path": "../../etc/passwd", "sha256": ""}}
		}, 0, "leaves the folder"},
		{"S12", "another sum", func(m map[string]any) {
			m["sha256"] = "0000000000000000000000000000000000000000000000000000000000000000"
		}, 0, "the manifest says"},
		{"S12", "a bundled file that is not there", func(m map[string]any) {
			m["files"] = []map[string]string{{"path": "libhelper.so", "sha256": "00"}}
		}, 0, "libhelper.so"},
		{"S13", "a manifest that the group may write", nil, 0o664, "0664"},
	} {
		t.Run(tc.check+" "+tc.name, func(t *testing.T) {
			t.Parallel()
			from := "elf_good"
			if tc.check == "S06" {
				from = "mutant" // it needs libc
			}
			library := copyFile(t, mutant(t, from), nil)
			writeManifest(t, library, tc.edit)
			if tc.mode != 0 {
				require.NoError(t, os.Chmod(library+".json", tc.mode))
			}
			opts := quick(library)
			opts.Only = []string{tc.check}
			got := run(t, opts).Results[0]
			require.Equal(t, conformance.Fail, got.Verdict, got.Line())
			require.Contains(t, got.Text, tc.text)
		})
	}
	t.Run("S11 no JSON", func(t *testing.T) {
		t.Parallel()
		library := copyFile(t, mutant(t, "elf_good"), nil)
		require.NoError(t, os.WriteFile(library+".json", []byte("{"), 0o644))
		opts := quick(library)
		opts.Only = []string{"S11"}
		require.Equal(t, conformance.Fail, run(t, opts).Results[0].Verdict)
	})
}
