package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/internal/conformance"
	"github.com/sixcall/sixcall/internal/servers"
)

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		args []string
		code int
		want string
	}{
		{args("new"), exitUsage, "the name of the connector is missing"},
		{args("new Acme"), exitUsage, `the name is "Acme"`},
		{args("new 9lives"), exitUsage, `the name is "9lives"`},
		{args("new a/../../b"), exitUsage, `the name is "a/../../b"`},
		{args("new acme --lang rust"), exitUsage, "want one of c, cpp, cpp-async"},
		{append(args("new acme --dir"), t.TempDir()), exitFailed, "is there already"},
	} {
		got := sixcall(tc.args)
		require.Equal(t, tc.code, got.code, "%v: %s", tc.args, got.stderr)
		require.Contains(t, got.stderr, tc.want)
	}
}

// What a project holds, and that nothing in it has the name of the template.
func TestNewWritesAProject(t *testing.T) {
	t.Parallel()
	for lang, source := range map[string]string{"c": "acme_x.c", "cpp": "acme_x_connector.cpp", "cpp-async": "acme_x_connector.cpp"} {
		dir := filepath.Join(t.TempDir(), "made")
		got := sixcall(append(args("new acme_x --lang "+lang+" --dir"), dir))
		require.Equal(t, exitOK, got.code, got.stderr)
		for _, name := range []string{source, "CMakeLists.txt", "Makefile", "README.md", ".gitignore", ".github/workflows/check.yml"} {
			require.FileExists(t, filepath.Join(dir, name))
		}
		text, err := os.ReadFile(filepath.Join(dir, source))
		require.NoError(t, err)
		for _, place := range []string{"YOUR PLACE 1 of 3", "YOUR PLACE 2 of 3", "YOUR PLACE 3 of 3"} {
			require.Equal(t, 1, strings.Count(string(text), place), "%s in %s", place, source)
		}
		require.Contains(t, string(text), "AcmeX")
		require.NoError(t, filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
			require.NoError(t, err)
			require.NotContains(t, strings.ToLower(entry.Name()), "shelf")
			if !entry.IsDir() {
				text, err := os.ReadFile(path)
				require.NoError(t, err)
				require.NotContains(t, strings.ToLower(string(text)), "shelf", path)
			}
			return nil
		}))
	}
}

// installed installs what is built into a new prefix, with the command, and returns it.
var installed = sync.OnceValues(func() (string, error) {
	command, err := binary()
	if err != nil {
		return "", err
	}
	prefix := filepath.Join(binaryDir, "prefix") // removed with the command
	for _, dir := range filepath.SplitList(os.Getenv("SIXCALL_CONNECTOR_PATH")) {
		build := filepath.Dir(dir)
		if _, err := os.Stat(filepath.Join(build, "CMakeCache.txt")); err != nil {
			continue
		}
		if out, err := exec.Command("cmake", "--install", build, "--prefix", prefix).CombinedOutput(); err != nil {
			return string(out), err
		}
		return prefix, copyProgram(command, filepath.Join(prefix, "bin", "sixcall"))
	}
	return "$SIXCALL_CONNECTOR_PATH names no lib folder of a CMake build; `make cpp` makes one", os.ErrNotExist
})

func copyProgram(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o755)
}

// A stranger is somebody who has the prefix and nothing else of ours.
type stranger struct {
	t      testing.TB
	prefix string
	env    []string
}

func newStranger(t testing.TB) stranger {
	t.Helper()
	if testing.Short() {
		t.Skip("long: compiles projects")
	}
	prefix, err := installed()
	if err != nil {
		servers.Require(t, "the prefix cannot be made: %v: %s", err, prefix)
	}
	return stranger{t, prefix, []string{
		"PATH=" + filepath.Join(prefix, "bin") + ":" + os.Getenv("PATH"), "HOME=" + t.TempDir(),
		"PKG_CONFIG_PATH=" + filepath.Join(prefix, "lib", "pkgconfig") + ":" + filepath.Join(prefix, "lib64", "pkgconfig"),
	}}
}

// run runs a shell command in a folder and returns its output.
func (s stranger) run(dir, command string) string {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), "sh", "-c", command)
	cmd.Dir, cmd.Env = dir, s.env
	out, err := cmd.CombinedOutput()
	require.NoError(s.t, err, "%s: %s", command, out)
	return string(out)
}

// The folder that `sixcall new` makes builds against an installed prefix and passes its own check.
func TestNewProjectsPassTheirOwnCheck(t *testing.T) {
	for _, lang := range []string{"c", "cpp", "cpp-async"} {
		t.Run(lang, func(t *testing.T) {
			t.Parallel()
			s := newStranger(t)
			dir := filepath.Join(t.TempDir(), "acme")
			s.run(t.TempDir(), "sixcall new acme --lang "+lang+" --dir "+dir)
			out := s.run(dir, "make check LEVEL=1 PREFIX="+s.prefix)
			require.Contains(t, out, "100% tests passed")
			library := filepath.Join(dir, "build", "lib", "libsixcall_acme.so")
			require.FileExists(t, library+".json")
			out = s.run(dir, "sixcall check "+library+" --only S")
			require.NotContains(t, out, "SKIP", "the manifest is beside the library")
			require.Contains(t, s.run(dir, "sixcall inspect "+library), "Acme")
		})
	}
}

// What a vendor publishes: the card and the attestation.
func TestNewProjectHasACard(t *testing.T) {
	s := newStranger(t)
	dir := filepath.Join(t.TempDir(), "acme")
	s.run(t.TempDir(), "sixcall new acme --dir "+dir)
	s.run(dir, "make card LEVEL=1 PREFIX="+s.prefix)
	card, err := os.ReadFile(filepath.Join(dir, "CARD.md"))
	require.NoError(t, err)
	require.Contains(t, string(card), "| B01 | roundtrip | PASS |")
	sum, err := conformance.VerifyFile("", filepath.Join(dir, "build", "lib", "libsixcall_acme.so"), 1, false)
	require.NoError(t, err)
	require.Len(t, sum, 64)
}

// The sanitizer twins are built on demand, and the checks find and use them.
func TestNewProjectHasSanitizerTwins(t *testing.T) {
	s := newStranger(t)
	dir := filepath.Join(t.TempDir(), "acme")
	s.run(t.TempDir(), "sixcall new acme --dir "+dir)
	s.run(dir, "make twins PREFIX="+s.prefix)
	report, err := conformance.Run(t.Context(), conformance.Options{
		Library: filepath.Join(dir, "build", "lib", "libsixcall_acme.so"), Probe: filepath.Join(s.prefix, "libexec", "sixcall", "sixcall-probe"),
		Only: []string{"N03", "N04"}, Effort: 100 * time.Millisecond,
	})
	require.NoError(t, err)
	for _, r := range report.Results {
		require.Equal(t, conformance.Pass, r.Verdict, r.Line())
	}
}

// The line of the README that compiles without CMake.
func TestNewProjectCompilesWithOneLine(t *testing.T) {
	s := newStranger(t)
	servers.Program(t, "pkg-config", "pkg-config")
	dir := filepath.Join(t.TempDir(), "acme")
	s.run(t.TempDir(), "sixcall new acme --dir "+dir)
	readme, err := os.ReadFile(filepath.Join(dir, "README.md"))
	require.NoError(t, err)
	line := regexp.MustCompile(`(?m)^    (cc .*)$`).FindStringSubmatch(string(readme))
	require.NotNil(t, line, "the README has no line that begins with cc")
	s.run(dir, line[1])
	require.Contains(t, s.run(dir, "sixcall check ./libsixcall_acme.so --only S,L"), "no fault found")
}

// FetchContent: the source tree as a part of a stranger's project.
func TestFetchContent(t *testing.T) {
	s := newStranger(t)
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	dir := t.TempDir()
	source, err := os.ReadFile("../../examples/connector-c/shelf.c")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "shelf.c"), source, 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "CMakeLists.txt"), []byte(`
cmake_minimum_required(VERSION 3.20)
project(other C CXX)
include(FetchContent)
FetchContent_Declare(Sixcall GIT_REPOSITORY https://github.com/sixcall/sixcall)
FetchContent_MakeAvailable(Sixcall)
sixcall_add_connector(shelf SOURCES shelf.c)
`), 0o644))
	s.run(dir, "cmake -S . -B build -DFETCHCONTENT_SOURCE_DIR_SIXCALL="+root+" && cmake --build build")
	require.Contains(t, s.run(dir, "sixcall check build/lib/libsixcall_shelf.so --only S,L"), "no fault found")
	made, err := filepath.Glob(filepath.Join(dir, "build", "lib", "*.so"))
	require.NoError(t, err)
	require.Len(t, made, 1, "only the stranger's library is built")
}

// What is wrong is said by name, when the project is configured or built.
func TestWhatCMakeRefuses(t *testing.T) {
	s := newStranger(t)
	source, err := os.ReadFile("../../examples/connector-c/shelf.c")
	require.NoError(t, err)
	for _, tc := range []struct{ name, find, body, source, want string }{
		{"another major version", "2", "", string(source), "version"},
		{"a bad name", "1", `sixcall_add_connector(Shelf SOURCES shelf.c)`, string(source), `the name "Shelf" is not`},
		{"an unknown argument", "1", `sixcall_add_connector(shelf SOURCE shelf.c)`, string(source), `what is "SOURCE`},
		{"another name than the note's", "1", `sixcall_add_connector(other SOURCES shelf.c)`, string(source), `calls itself "shelf"`},
		{"no note", "1", `sixcall_add_connector(shelf SOURCES shelf.c)`, strings.Replace(string(source), "\nSIXCALL_NOTE(", "\n// SIXCALL_NOTE(", 1), "has no ELF note"},
		{"a check of what is not there", "1", `sixcall_add_conformance(shelf)`, string(source), "there is no connector of that name"},
		{"an undefined symbol", "1", `sixcall_add_connector(shelf SOURCES shelf.c)`,
			strings.Replace(string(source), "  (void)host; /* nothing to log */", "  extern void nobody_has_this(void); nobody_has_this();", 1), "nobody_has_this"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(dir, "shelf.c"), []byte(tc.source), 0o644))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "CMakeLists.txt"), []byte(
				"cmake_minimum_required(VERSION 3.20)\nproject(x C)\nfind_package(Sixcall "+tc.find+" REQUIRED)\n"+tc.body+"\n"), 0o644))
			cmd := exec.CommandContext(t.Context(), "sh", "-c", "cmake -S . -B build -DCMAKE_PREFIX_PATH="+s.prefix+" && cmake --build build")
			cmd.Dir, cmd.Env = dir, s.env
			out, err := cmd.CombinedOutput()
			require.Error(t, err)
			require.Contains(t, strings.Join(strings.Fields(string(out)), " "), tc.want)
		})
	}
}
