//go:build linux

package launcher_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sixcall/sixcall/adapters/launcher"
	"github.com/sixcall/sixcall/internal/servers"
)

// hostEnv makes the test program a host that runs the plugins of a folder.
const hostEnv = "SIXCALL_TEST_LAUNCHER_HOST"

func TestMain(m *testing.M) {
	if dir := os.Getenv(hostEnv); dir != "" {
		l, err := launcher.Start(launcher.Options{Locations: []string{dir}, Grace: 200 * time.Millisecond})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		for _, s := range l.Status() {
			fmt.Println("host of", s.Pid)
		}
		select {}
	}
	os.Exit(m.Run())
}

// write makes a script and returns its path.
func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	return path
}

// start starts a launcher that ends with the test, and returns what it logs.
func start(t *testing.T, o launcher.Options) (*launcher.Launcher, *observer.ObservedLogs) {
	t.Helper()
	servers.Program(t, "bash", "bash")
	servers.Program(t, "python3", "python3")
	core, logs := observer.New(zapcore.DebugLevel)
	o.Logger = zap.New(core)
	l, err := launcher.Start(o)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, l.Stop())
		if t.Failed() {
			for _, e := range logs.All() {
				t.Log(e.Message, e.ContextMap())
			}
		}
	})
	return l, logs
}

// logged waits for a line that a plugin wrote.
func logged(t *testing.T, logs *observer.ObservedLogs, line string) {
	t.Helper()
	servers.Eventually(t, time.Minute, func() error {
		for _, e := range logs.All() {
			if e.Message == line {
				return nil
			}
		}
		return fmt.Errorf("nobody logged %q", line)
	})
}

// state waits until the only plugin is in a state.
func state(t *testing.T, l *launcher.Launcher, want launcher.State) launcher.Status {
	t.Helper()
	var s launcher.Status
	servers.Eventually(t, time.Minute, func() error {
		if s = l.Status()[0]; s.State != want {
			return fmt.Errorf("is %s, want %s: %+v", s.State, want, s)
		}
		return nil
	})
	return s
}

// number waits for a file that holds a number, such as a process id.
func number(t *testing.T, path string) (n int) {
	t.Helper()
	servers.Eventually(t, time.Minute, func() (err error) {
		text, err := os.ReadFile(path)
		if err == nil && !bytes.HasSuffix(text, []byte("\n")) {
			err = fmt.Errorf("%s is not whole", path)
		}
		if err == nil {
			n, err = strconv.Atoi(strings.TrimSpace(string(text)))
		}
		return err
	})
	require.Positive(t, n)
	return n
}

// running reports whether a process has not ended.
func running(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	rest := text[bytes.LastIndexByte(text, ')')+1:]
	return !bytes.HasPrefix(rest, []byte(" Z")) && !bytes.HasPrefix(rest, []byte(" X"))
}

func gone(t *testing.T, pid int) {
	t.Helper()
	servers.Eventually(t, time.Minute, func() error {
		if running(pid) {
			return fmt.Errorf("process %d still runs", pid)
		}
		return nil
	})
}

// Rows 99 to 102, 107: what is found, and what cannot run stops nothing else.
func TestRow99LocationsAreSearched(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "sub/deep/all_x.sh", "echo deep\n")
	write(t, dir, "note.txt", "#!/bin/sh\necho never\n")
	write(t, dir, "pkg/__init__.py", "print('never')\n")
	write(t, dir, "Upper.PY", "print('never')\n")
	alone := write(t, t.TempDir(), "one.sh", "echo alone\n")
	write(t, filepath.Dir(alone), "other.sh", "echo never\n")
	odd := write(t, t.TempDir(), "data.xyz", "nothing says how\n")
	l, logs := start(t, launcher.Options{
		Locations: []string{filepath.Join(dir, "absent"), dir, alone, filepath.Join(dir, "sub"), odd, dir}, Role: "worker",
	})
	logged(t, logs, "[all_x.sh] deep")
	logged(t, logs, "[one.sh] alone")
	require.Len(t, l.Status(), 3, "row 101: each script once, row 100: a file alone")
	require.Equal(t, launcher.StateFailed, l.Status()[2].State, "row 107")
	require.Contains(t, l.Status()[2].Err, "data.xyz")
	warnings := logs.FilterMessage("plugin locations").All()
	require.Len(t, warnings, 1)
	require.Contains(t, warnings[0].ContextMap()["error"], "absent")
}

func TestExecutableFilesOfAnyLanguageAreFoundInFolders(t *testing.T) {
	dir := t.TempDir()
	path := write(t, dir, "worker_tool.rb", "#!/bin/sh\necho other language\n")
	require.NoError(t, os.Chmod(path, 0o755))
	_, logs := start(t, launcher.Options{Locations: []string{dir}})
	logged(t, logs, "[worker_tool.rb] other language")
}

// Rows 108 and 109.
func TestRow108PluginsSeeBothFamiliesOfVariables(t *testing.T) {
	t.Setenv("LMCACHE_PLUGIN_ROLE", "of the parent")
	dir := t.TempDir()
	write(t, dir, "worker_3_show.py", `import json, os
for family in ("LMCACHE_PLUGIN_", "LMCACHE_RUNTIME_PLUGIN_"):
    config = json.loads(os.environ[family + "CONFIG"], parse_constant=lambda c: 1 / 0)
    print(family, os.environ[family + "ROLE"], os.environ[family + "WORKER_ID"], os.environ[family + "WORKER_COUNT"], config["extra_config"]["a.b"])
print("unbuffered", os.environ["PYTHONUNBUFFERED"])
`)
	_, logs := start(t, launcher.Options{
		Locations: []string{dir}, Role: "worker", WorkerID: 3, WorkerCount: 8, Config: json.RawMessage(`{"chunk_size": 64, "extra_config": {"a.b": "c"}}`),
	})
	logged(t, logs, "[worker_3_show.py] LMCACHE_PLUGIN_ WORKER 3 8 c")
	logged(t, logs, "[worker_3_show.py] LMCACHE_RUNTIME_PLUGIN_ worker 3 8 c")
	logged(t, logs, "[worker_3_show.py] unbuffered 1")
}

// Row 110.
func TestRow110LargeConfigurationsGoThroughAFile(t *testing.T) {
	config, err := json.Marshal(map[string]any{"extra_config": map[string]string{"big": strings.Repeat("x", 200<<10)}})
	require.NoError(t, err)
	dir := t.TempDir()
	write(t, dir, "show.py", `import json, os, stat
path = os.environ["LMCACHE_PLUGIN_CONFIG_FILE"]
print(oct(stat.S_IMODE(os.stat(path).st_mode)), len(json.load(open(path))["extra_config"]["big"]))
print(json.loads(os.environ["LMCACHE_PLUGIN_CONFIG"]) == {"config_file": path})
open("`+dir+`/path", "w").write(path)
`)
	l, logs := start(t, launcher.Options{Locations: []string{dir}, Config: config})
	logged(t, logs, fmt.Sprintf("[show.py] 0o600 %d", 200<<10))
	logged(t, logs, "[show.py] True")
	state(t, l, launcher.StateExited)
	path, err := os.ReadFile(filepath.Join(dir, "path"))
	require.NoError(t, err)
	require.FileExists(t, string(path))
	require.NoError(t, l.Stop())
	require.NoFileExists(t, string(path))
}

// Rows 111 and 112.
func TestRow111OutputIsLoggedLineByLine(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "talk.sh", `echo out; echo err >&2; printf '\377\376\033[1m\n'; echo "  indented"; printf 'no end'`)
	l, logs := start(t, launcher.Options{Locations: []string{dir}})
	for _, line := range []string{"[talk.sh] out", "[talk.sh] err", `[talk.sh] \xff\xfe\u001b[1m`, "[talk.sh]   indented", "[talk.sh] no end"} {
		logged(t, logs, line)
	}
	require.Zero(t, state(t, l, launcher.StateExited).ExitCode)
}

func TestLongLinesAreCutAndFloodsAreDropped(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "flood.py", `import sys
print("x" * 40000)
for i in range(20000):
    print("line", i)
`)
	l, logs := start(t, launcher.Options{Locations: []string{dir}, LinesPerSecond: 5})
	logged(t, logs, "[flood.py] "+strings.Repeat("x", 16<<10))
	logged(t, logs, "[flood.py] line 0")
	s := state(t, l, launcher.StateExited)
	require.Zero(t, s.ExitCode, "a plugin is not blocked by its output")
	servers.Eventually(t, time.Minute, func() error {
		// The first three lines are the long one.
		shown := int64(logs.FilterMessageSnippet("[flood.py]").Len())
		if dropped := l.Status()[0].Dropped; shown+dropped != 20003 {
			return fmt.Errorf("%d lines shown and %d dropped", shown, dropped)
		}
		return nil
	})
	require.Positive(t, l.Status()[0].Dropped)
}

// Row 113: the exit is seen although a child holds the pipe open, and the child
// ends with the host.
func TestRow113ExitIsSeenAtOnce(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "leave.sh", "sleep 300 &\necho $! >"+dir+"/child\nexit 7\n")
	l, logs := start(t, launcher.Options{Locations: []string{dir}})
	require.Equal(t, 7, state(t, l, launcher.StateExited).ExitCode)
	child := number(t, filepath.Join(dir, "child"))
	require.True(t, running(child), "what a plugin started goes on")
	require.Equal(t, 1, logs.FilterMessage("plugin exited").FilterField(zap.Int("code", 7)).Len())
	require.NoError(t, l.Stop())
	require.False(t, running(child))
}

// Rows 114 and 116: SIGTERM is ignored, children ignore it too.
func TestRow114StopKillsWhatDoesNotEnd(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "stubborn.sh", `trap '' TERM
sleep 300 &
echo $! >`+dir+`/child
echo $$ >`+dir+`/self
while :; do sleep 0.1; done
`)
	l, _ := start(t, launcher.Options{Locations: []string{dir}, Grace: 100 * time.Millisecond})
	self, child := number(t, filepath.Join(dir, "self")), number(t, filepath.Join(dir, "child"))
	require.True(t, running(self))
	require.NoError(t, l.Stop())
	require.False(t, running(self))
	require.False(t, running(child))
	require.Equal(t, 128+int(syscall.SIGKILL), l.Status()[0].ExitCode)
	require.NoError(t, l.Stop(), "again")
}

func TestStopLetsPluginsEndByThemselves(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "polite.sh", `trap 'echo bye; exit 3' TERM
echo ready
while :; do sleep 0.05; done
`)
	l, logs := start(t, launcher.Options{Locations: []string{dir}, Grace: time.Minute})
	logged(t, logs, "[polite.sh] ready")
	require.NoError(t, l.Stop())
	logged(t, logs, "[polite.sh] bye")
	require.Equal(t, 3, l.Status()[0].ExitCode)
	require.Equal(t, launcher.StateStopped, l.Status()[0].State)
}

// Row 115: nothing is left when the host is killed, not even what ignores signals.
func TestRow115NothingOutlivesAKilledHost(t *testing.T) {
	servers.Program(t, "bash", "bash")
	servers.Program(t, "python3", "python3")
	dir := t.TempDir()
	out := t.TempDir()
	write(t, dir, "forks.sh", `trap '' TERM HUP
(trap '' TERM HUP; sleep 300 & echo $! >`+out+`/grandchild; wait) &
echo $! >`+out+`/child
echo $$ >`+out+`/self
wait
`)
	write(t, dir, "loop.py", `import os, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open("`+out+`/loop", "w").write("%d\n" % os.getpid())
while True:
    pass
`)
	host := exec.Command(os.Args[0])
	host.Env = append(os.Environ(), hostEnv+"="+dir)
	p := servers.Start(t, "host", host)
	var pids []int
	for _, name := range []string{"grandchild", "child", "self", "loop"} {
		pids = append(pids, number(t, filepath.Join(out, name)))
	}
	// Whatever happens here, the loop does not go on for ever.
	t.Cleanup(func() {
		for _, pid := range pids {
			if running(pid) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	})
	require.NoError(t, syscall.Kill(p.Pid(), syscall.SIGKILL))
	for _, pid := range pids {
		gone(t, pid)
	}
}

func TestRestartPolicy(t *testing.T) {
	dir := t.TempDir()
	script := write(t, dir, "flaky.sh", `echo run >>`+dir+`/runs
[ $(wc -l <`+dir+`/runs) -ge 3 ] || exit 9
`)
	l, _ := start(t, launcher.Options{Locations: []string{script}, Restart: launcher.Restart{Mode: launcher.RestartOnFailure, Initial: time.Millisecond}})
	s := state(t, l, launcher.StateExited)
	require.Equal(t, 2, s.Restarts)
	require.Zero(t, s.ExitCode)

	always := write(t, t.TempDir(), "again.sh", "exit 0\n")
	l, _ = start(t, launcher.Options{Locations: []string{always}, Restart: launcher.Restart{Mode: launcher.RestartAlways, Initial: time.Millisecond, Limit: 4}})
	servers.Eventually(t, time.Minute, func() error {
		if s = l.Status()[0]; s.State != launcher.StateExited || s.Restarts != 4 {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
}

func TestOptionsAreChecked(t *testing.T) {
	_, err := launcher.Start(launcher.Options{Role: "boss", Restart: launcher.Restart{Mode: "sometimes"}})
	require.ErrorContains(t, err, `"boss"`)
	require.ErrorContains(t, err, `"sometimes"`)
	_, err = launcher.Start(launcher.Options{Locations: []string{write(t, t.TempDir(), "x.sh", "")}, Config: json.RawMessage("{Infinity}")})
	require.ErrorContains(t, err, "not JSON")
}
