package main

import (
	"encoding/json"
	"encoding/xml"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/internal/conformance"
)

func TestCheckList(t *testing.T) {
	t.Parallel()
	got := sixcall(args("check --list"))
	require.Equal(t, exitOK, got.code, got.stderr)
	require.Contains(t, got.stdout, "B01")
	require.Contains(t, got.stdout, "roundtrip")
	got = sixcall(args("check --list --format json"))
	var checks []conformance.Check
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &checks))
	require.Len(t, checks, 137)
}

func TestCheckCalledWrongly(t *testing.T) {
	t.Parallel()
	tests := []struct {
		args []string
		want string
	}{
		{args("check"), "a library is missing"},
		{args("check mem --level 5"), "--level is 5, want 1 to 4"},
		{args("check mem --only Y77"), "unknown check Y77"},
		{args("check mem --waive B01"), "want ID=REASON"},
		{args("check mem --params []"), "--params is no JSON object"},
		{args("check mem --in-process"), "--in-process wants one id"},
		{args("check mem --endpoint 127.0.0.1:1"), "--endpoint wants --endpoint-param"},
		{args("check mem --format xml"), "want one of terminal, json, junit, markdown"},
	}
	for _, tc := range tests {
		got := sixcall(tc.args)
		require.Equal(t, exitUsage, got.code, "%v: %s", tc.args, got.stderr)
		require.Contains(t, got.stderr, tc.want)
		require.Empty(t, got.stdout)
	}
	got := sixcall(args("check ./no/such/libsixcall_x.so"))
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.stderr, "no such file")
}

// needProbe skips the test unless the connectors and the probe are built.
func needProbe(t *testing.T) {
	t.Helper()
	memLibrary(t)
	if _, err := conformance.FindProbe("", "/", "sixcall-probe"); err != nil {
		t.Skipf("%v", err)
	}
}

func TestCheckOfMemInEveryForm(t *testing.T) {
	t.Parallel()
	needProbe(t)
	got := sixcall(args("check mem --only S01,L01,B01,C01"))
	require.Equal(t, exitOK, got.code, got.stderr)
	require.Contains(t, got.stdout, "PASS       B01  roundtrip")
	require.Contains(t, got.stdout, "4 pass: no fault found")

	got = sixcall(args("check mem --only L01,B02 --format json --seed 5"))
	require.Equal(t, exitOK, got.code, got.stderr)
	var report conformance.Report
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &report))
	require.Equal(t, conformance.ReportSchema, report.Schema)
	require.EqualValues(t, 5, report.Seed)
	require.Len(t, report.Results, 2)
	require.False(t, report.Conformant, "only some checks were run")

	file := filepath.Join(t.TempDir(), "card.md")
	got = sixcall(append(args("check mem --only L01 --format markdown --output"), file))
	require.Equal(t, exitOK, got.code, got.stderr)
	card, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, got.stdout, string(card))
	require.Contains(t, got.stdout, "| L01 | load.now | PASS |")

	got = sixcall(args("check mem --only L01,O05 --format junit"))
	require.Equal(t, exitOK, got.code, got.stderr)
	var suite struct {
		Tests   int `xml:"tests,attr"`
		Skipped int `xml:"skipped,attr"`
	}
	require.NoError(t, xml.Unmarshal([]byte(got.stdout), &suite))
	require.Equal(t, 2, suite.Tests)
	require.Equal(t, 1, suite.Skipped)
}

func TestCheckOfMemAtLevel1GivesAnAttestation(t *testing.T) {
	t.Parallel()
	needProbe(t)
	file := filepath.Join(t.TempDir(), "a.json")
	got := sixcall(append(args("check mem --level 1 --attest"), file))
	require.Equal(t, exitOK, got.code, got.stdout+got.stderr)
	var a conformance.Attestation
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &a))
	require.Equal(t, 1, a.Level)
	got = sixcall(append(args("check mem --only L01 --attest"), file))
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.stderr, "only some checks were run")
}
