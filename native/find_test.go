//go:build linux && (amd64 || arm64)

package native_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/native"
)

// place makes a folder with an (empty) library of that name and returns both.
func place(t *testing.T, name string) (dir, path string) {
	t.Helper()
	dir = t.TempDir()
	path = filepath.Join(dir, "libsixcall_"+name+".so")
	require.NoError(t, os.WriteFile(path, nil, 0o644))
	return dir, path
}

func TestFindSearchesItsPlacesInOrder(t *testing.T) {
	given, inGiven := place(t, "acme")
	env, inEnv := place(t, "acme")
	home := t.TempDir()
	inHome := filepath.Join(home, "sixcall", "connectors", "libsixcall_acme.so")
	require.NoError(t, os.MkdirAll(filepath.Dir(inHome), 0o755))
	require.NoError(t, os.WriteFile(inHome, nil, 0o644))
	t.Setenv("XDG_CONFIG_HOME", home)
	t.Setenv(native.SearchPathEnv, "relative:"+t.TempDir()+":"+env)

	got, err := native.Find("acme", []string{t.TempDir(), given})
	require.NoError(t, err)
	require.Equal(t, inGiven, got, "the caller's list comes first")

	got, err = native.Find("acme", nil)
	require.NoError(t, err)
	require.Equal(t, inEnv, got, "then the environment")

	t.Setenv(native.SearchPathEnv, "")
	got, err = native.Find("acme", nil)
	require.NoError(t, err)
	require.Equal(t, inHome, got, "then the user's folder")
}

func TestFindSaysWhyEachPlaceWasNotIt(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile("libsixcall_acme.so", nil, 0o644))
	folder, dangling := t.TempDir(), t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(folder, "libsixcall_acme.so"), 0o755))
	require.NoError(t, os.Symlink("/nowhere/lib.so", filepath.Join(dangling, "libsixcall_acme.so")))
	t.Setenv(native.SearchPathEnv, ":.:"+folder+":"+dangling+":/etc/passwd")
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())

	_, err := native.Find("acme", []string{"."})

	require.ErrorIs(t, err, kv.Config)
	for _, part := range []string{
		`the search path given: "." is ignored, only absolute folders are searched`,
		"SIXCALL_CONNECTOR_PATH: an empty entry is ignored",
		`SIXCALL_CONNECTOR_PATH: "." is ignored`,
		`libsixcall_acme.so": a folder, not a file`,
		`a symbolic link to "/nowhere/lib.so", which does not exist`,
		`"/etc/passwd/libsixcall_acme.so": not a directory`,
		`/connectors/libsixcall_acme.so": no such file`,
		`"/usr/local/lib/sixcall/libsixcall_acme.so": no such file`,
	} {
		require.ErrorContains(t, err, part)
	}
}

func TestFindIgnoresTheEnvironmentOfAPrivilegedProcess(t *testing.T) {
	dir, _ := place(t, "acme")
	t.Setenv(native.SearchPathEnv, dir)
	t.Setenv("XDG_CONFIG_HOME", dir)
	native.RaisePrivileges(t)

	_, err := native.Find("acme", nil)

	require.ErrorIs(t, err, kv.Config)
	require.ErrorContains(t, err, "ignored, the process runs with raised privileges")
	require.NotContains(t, err.Error(), dir)
}

func TestFindTakesAPathAsItIs(t *testing.T) {
	dir, path := place(t, "acme")
	t.Chdir(dir)
	got, err := native.Find("./libsixcall_acme.so", nil)
	require.NoError(t, err)
	require.Equal(t, path, got)

	tests := []struct{ connector, want string }{
		{"", "want a path or a name"},
		{"a\x00/b", "want a path or a name"},
		{"libsixcall_acme.so", `write "./libsixcall_acme.so"`},
		{"ac me", "a bare name has letters"},
		{"..", "a bare name has letters"},
		{"./missing.so", "no such file"},
		{"/", "a folder, not a file"},
		{"/dev/null", "not a regular file"},
	}
	for _, tc := range tests {
		_, err := native.Find(tc.connector, nil)
		require.ErrorIs(t, err, kv.Config, "%q", tc.connector)
		require.ErrorContains(t, err, tc.want, "%q", tc.connector)
	}
}
