//go:build linux

package examples

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/internal/servers"
)

// The examples in Go, built in a module of their own as a stranger would, and run.
func TestGoExamplesRunOutOfTree(t *testing.T) {
	if testing.Short() {
		t.Skip("long: compiles programs")
	}
	servers.Connector(t, "mem")
	servers.Connector(t, "fs")
	for name, want := range map[string][]string{
		"go-embed":     {"opened mem", "lookup of 16 keys: 1111111111110000", "load: 1111111111110000, every byte", "4 removed, 0 kept"},
		"go-connector": {"store of 10 keys where 8 fit: ", "the shelf holds 8 keys", "load: 8 of 10 keys, every byte"},
		"isolated":     {"ready", "killed by SIGSEGV", "the value is there"},
	} {
		t.Run(name, func(t *testing.T) {
			program := buildOutOfTree(t, name)
			cmd := exec.CommandContext(t.Context(), program)
			cmd.Dir = t.TempDir()
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
			for _, text := range want {
				require.Contains(t, string(out), text)
			}
		})
	}
}

// buildOutOfTree builds an example in a new module that needs ours, and nothing else
// but what ours needs.
func buildOutOfTree(t *testing.T, name string) (program string) {
	t.Helper()
	root, err := filepath.Abs("..")
	require.NoError(t, err)
	dir := t.TempDir()
	sources, err := filepath.Glob(filepath.Join(name, "*.go"))
	require.NoError(t, err)
	require.NotEmpty(t, sources)
	for _, source := range append(sources, "../go.mod", "../go.sum") {
		text, err := os.ReadFile(source)
		require.NoError(t, err)
		if strings.HasSuffix(source, "go.mod") {
			text = append([]byte(strings.Replace(string(text), "module github.com/sixcall/sixcall", "module example.com/stranger", 1)),
				"\nrequire github.com/sixcall/sixcall v0.0.0\nreplace github.com/sixcall/sixcall => "+root+"\n"...)
		}
		require.NoError(t, os.WriteFile(filepath.Join(dir, filepath.Base(source)), text, 0o644))
	}
	program = filepath.Join(dir, name)
	build := exec.CommandContext(t.Context(), "go", "build", "-mod=mod", "-o", program, ".")
	build.Dir = dir
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return program
}

// Every example has a README.
func TestEveryExampleHasAReadme(t *testing.T) {
	entries, err := os.ReadDir(".")
	require.NoError(t, err)
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		require.FileExists(t, filepath.Join(entry.Name(), "README.md"))
	}
}
