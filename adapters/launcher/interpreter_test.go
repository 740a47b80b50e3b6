//go:build linux

package launcher_test

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/launcher"
	"github.com/sixcall/sixcall/internal/servers"
)

// Rows 103 to 107.
func TestRow103Interpreters(t *testing.T) {
	bash := servers.Program(t, "bash", "bash")
	python3 := servers.Program(t, "python3", "python3")
	python := python3
	if path, err := exec.LookPath("python"); err == nil {
		python = path
	}
	dir := t.TempDir()
	for i, c := range []struct {
		name, first string
		want        []string
	}{
		{"env.py", "#!/usr/bin/env python3", []string{"/usr/bin/env", "python3"}},
		{"flag.sh", "#!/bin/bash -e", []string{"/bin/bash", "-e"}},
		{"two.sh", "#!/bin/bash -e -u", []string{"/bin/bash", "-e -u"}}, // one argument, as the kernel does
		{"split.py", "#!/usr/bin/env -S python3 -u", []string{"/usr/bin/env", "-S python3 -u"}},
		{"blank.sh", "#! /bin/sh \r", []string{"/bin/sh"}},
		{"leading.sh", "  #!/bin/sh", []string{"/bin/sh"}},
		{"tab.sh", "#!/bin/sh\t-e", []string{"/bin/sh", "-e"}},
		{"path.py", "#!python3", []string{python3}},
		{"other.rb", "#!/bin/sh", []string{"/bin/sh"}},
		{"missing.sh", "#!/no/such/program", []string{bash}},
		{"missing_env.py", "#!/usr/bin/env no-such-program", []string{python}},
		{"second.py", "\n#!/bin/sh", []string{python}},
		{"plain.sh", "echo", []string{bash}},
		{"binary.py", "\xff\xfe\x00", []string{python}},
		{"empty.sh", "", []string{bash}},
	} {
		path := write(t, dir, c.name, c.first+"\necho\n")
		got, err := launcher.Command(path)
		require.NoError(t, err, i)
		require.Equal(t, append(c.want, path), got, c.name)
	}
	for name, text := range map[string]string{"data.txt": "hello", "broken.rb": "#!/no/such/program", "nothing.PY": ""} {
		_, err := launcher.Command(write(t, dir, name, text))
		require.ErrorContains(t, err, name)
	}
	program := write(t, dir, "program", "#!/bin/sh\n")
	require.NoError(t, os.Chmod(program, 0o755))
	got, err := launcher.Command(program)
	require.NoError(t, err)
	require.Equal(t, []string{"/bin/sh", program}, got)
}

// Rows 103 to 105 by their effect: the script says what ran it.
func TestRow104TheFirstLineDecides(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "env.py", "#!/usr/bin/env python3\nimport sys; print('python', sys.version_info.major)\n")
	write(t, dir, "strict.sh", "#!/bin/bash -e\ncase $- in *e*) echo strict ;; esac\n")
	write(t, dir, "posix.sh", "#!/bin/sh\necho posix ${BASH_VERSION-none} >/dev/null; echo posix\n")
	ruby := write(t, t.TempDir(), "x.rb", "#!/bin/sh\necho not ruby\n")
	_, logs := start(t, launcher.Options{Locations: []string{dir, ruby}})
	logged(t, logs, "[env.py] python 3")
	logged(t, logs, "[strict.sh] strict")
	logged(t, logs, "[posix.sh] posix")
	logged(t, logs, "[x.rb] not ruby")
}
