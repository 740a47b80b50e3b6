//go:build linux && (amd64 || arm64)

package native_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/native"
)

// compilers are those that the header promises to work with, as far as they are here.
func compilers() (found []string) {
	for _, cc := range []string{"gcc", "clang", "cc"} {
		if _, err := exec.LookPath(cc); err == nil {
			found = append(found, cc)
		}
	}
	return found
}

func TestGoAndCAgreeOnEveryNumberOfTheHeader(t *testing.T) {
	var probe bytes.Buffer
	probe.WriteString("#include <stdio.h>\n#include \"sixcall/connector.h\"\nint main(void) {\n")
	for _, fact := range native.ABIFacts {
		fmt.Fprintf(&probe, "printf(\"%%llu\\n\", (unsigned long long)(%s));\n", fact.C)
	}
	for name := range native.ABIStrings {
		fmt.Fprintf(&probe, "printf(\"%s=%%s\\n\", %s);\n", name, name)
	}
	probe.WriteString("return 0;\n}\n")
	source := filepath.Join(t.TempDir(), "probe.c")
	require.NoError(t, os.WriteFile(source, probe.Bytes(), 0o644))
	if len(compilers()) == 0 {
		t.Skip("no C compiler")
	}
	for _, cc := range compilers() {
		t.Run(cc, func(t *testing.T) {
			program := filepath.Join(t.TempDir(), "probe")
			out, err := exec.Command(cc, "-std=c11", "-Wall", "-Wpadded", "-Werror", "-Iinclude", "-o", program, source).CombinedOutput()
			require.NoError(t, err, "%s", out)
			out, err = exec.Command(program).Output()
			require.NoError(t, err)
			lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
			require.Len(t, lines, len(native.ABIFacts)+len(native.ABIStrings))
			for i, fact := range native.ABIFacts {
				require.Equal(t, lines[i], fmt.Sprint(fact.Go), fact.C)
			}
			for _, line := range lines[len(native.ABIFacts):] {
				name, value, _ := strings.Cut(line, "=")
				require.Equal(t, native.ABIStrings[name], value, name)
			}
		})
	}
}

func TestGeneratedFilesAreFresh(t *testing.T) {
	dir := t.TempDir()
	out, err := exec.Command("go", "run", "./internal/abigen", "-out", filepath.Join(dir, "abi_gen.go"), "-test", filepath.Join(dir, "abi_gen_test.go")).CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, name := range []string{"abi_gen.go", "abi_gen_test.go"} {
		fresh, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		committed, err := os.ReadFile(name)
		require.NoError(t, err)
		require.Equal(t, string(fresh), string(committed), "%s is stale: go generate ./native", name)
	}
}
