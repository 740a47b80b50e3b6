package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestVersion(t *testing.T) {
	t.Parallel()
	got := sixcall(args("version"))
	require.Equal(t, exitOK, got.code)
	require.Contains(t, got.stdout, "connector ABI 1.0, "+runtime.Version())

	got = sixcall(args("version --format json"))
	var v map[string]any
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &v))
	for _, key := range []string{"version", "abi", "go", "platform"} {
		require.NotEmpty(t, v[key], key)
	}
}

func TestABIVersionIsThatOfTheHeader(t *testing.T) {
	t.Parallel()
	header, err := os.ReadFile(filepath.Join("..", "..", "native", "include", "sixcall", "connector.h"))
	require.NoError(t, err)
	number := func(name string) string {
		m := regexp.MustCompile(`#define SIXCALL_ABI_` + name + ` (\d+)`).FindSubmatch(header)
		require.NotNil(t, m)
		return string(m[1])
	}
	require.Equal(t, number("MAJOR")+"."+number("MINOR"), abiVersion)
}
