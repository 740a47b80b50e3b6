package main

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/config"
	"github.com/sixcall/sixcall/native"
)

func TestInspectOfWhatIsNotThere(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"./no/such/file.so", "no-such-connector"} {
		got := sixcall([]string{"inspect", name})
		require.Equal(t, exitFailed, got.code)
		require.Contains(t, got.stderr, "no")
		require.Empty(t, got.stdout)
	}
}

func TestInspectOfWhatIsNoConnector(t *testing.T) {
	t.Parallel()
	got := sixcall([]string{"inspect", "./version.go", "--format", "json"})
	require.Equal(t, exitFailed, got.code)
	require.NotEmpty(t, got.stderr)
}

func TestInspectOfMem(t *testing.T) {
	t.Parallel()
	memLibrary(t)
	got := sixcall(args("inspect mem"))
	require.Equal(t, exitOK, got.code, got.stderr)
	for _, want := range []string{"libsixcall_mem.so", "note", "table", "capabilities: ", "submit_batch_get", "auto", "runs in this process: it is a bundled connector", "verdict: ok"} {
		require.Contains(t, got.stdout, want)
	}
	got = sixcall(args("inspect mem --no-load --format json"))
	require.Equal(t, exitOK, got.code, got.stderr)
	var r inspection
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &r))
	require.Nil(t, r.Table, "the library is not loaded")
	require.NotNil(t, r.Note)
	require.Equal(t, config.IsolationNone, r.Auto.Isolation)
}

func TestInspectText(t *testing.T) {
	t.Parallel()
	text := inspectText(inspection{Report: &native.Report{
		Path: "/x/libsixcall_x.so", Size: 12_345, Machine: "x86-64", SHA256: "abc", Verdict: native.VerdictRefused,
		Needed:    []native.Needed{{Name: "libc.so.6", Path: "/lib/libc.so.6", By: "x"}, {Name: "libgone.so", By: "x"}},
		GoRuntime: []native.GoRuntime{{Path: "/x/libgo.so", Evidence: "symbol runtime.main"}},
		Table: &native.Table{Name: "x", Version: "1.0.0", Vendor: "Acme", ABIMajor: 1, ConfigSchema: `{"type":"object","required":["url"],` +
			`"properties":{"url":{"type":"string","description":"where"},"mode":{"enum":["a","b"],"default":"a"}}}`},
		Problems: []native.Problem{{Severity: "error", Text: "it is broken"}},
	}})
	for _, want := range []string{
		"12.3 kB, x86-64", "none: what the library is cannot be told", "x 1.0.0 by Acme, ABI 1.0", "libgone.so: NOT FOUND",
		"in /x/libgo.so (symbol runtime.main)", "url", "required", "where", "a|b", `default "a"`,
		"error: it is broken\nverdict: refused",
	} {
		require.Contains(t, text, want)
	}
}
