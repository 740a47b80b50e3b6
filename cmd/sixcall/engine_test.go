package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/internal/servers"
)

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "lmcache.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// TestConfigCheckLooksForPlugins: modules in Python are imported, nothing is opened.
func TestConfigCheckLooksForPlugins(t *testing.T) {
	servers.Program(t, "python3", "python3")
	folder, err := filepath.Abs("../../adapters/python/tests/plugins")
	require.NoError(t, err)
	t.Setenv("PYTHONPATH", folder)
	t.Setenv("PYTHONDONTWRITEBYTECODE", "1")
	got := sixcall([]string{"config", "check", writeConfig(t, `
remote_storage_plugins: [right, wrong]
storage_plugins: [right, wrong, other]
extra_config:
  remote_storage_plugin.right.module_path: my_package.my_connector
  remote_storage_plugin.right.class_name: SyncAdapter
  remote_storage_plugin.wrong.module_path: my_package.my_conector
  remote_storage_plugin.wrong.class_name: SyncAdapter
  storage_plugin.right.module_path: my_package.my_backend_module
  storage_plugin.right.class_name: Older
  storage_plugin.wrong.module_path: my_package.my_backend_module
  storage_plugin.wrong.class_name: Olde
  storage_plugin.other.module_path: my_package.my_backend_module
  storage_plugin.other.class_name: Older
  storage_plugin.other.python: /nowhere/python
`)})
	require.Equal(t, exitOK, got.code, got.stderr)
	require.Contains(t, got.stderr, `remote storage plugin "wrong"`)
	require.Contains(t, got.stderr, `has no module "my_package.my_conector"`)
	require.Contains(t, got.stderr, "did you mean Older?")
	require.Contains(t, got.stderr, `python is "/nowhere/python": no such file`)
	require.Equal(t, 3, strings.Count(got.stderr, "warning: "), got.stderr)
}

func TestConfigCheck(t *testing.T) {
	t.Parallel()
	path := writeConfig(t, "chunk_size: 64\nchunk_sise: 3\nremote_url: redis://u:s3cr3t@h:1\nextra_config: {plugin.password: s3cr3t}\n")
	got := sixcall([]string{"config", "check", path})
	require.Equal(t, exitOK, got.code, got.stderr)
	require.Contains(t, got.stderr, "chunk_sise")
	require.NotContains(t, got.stdout+got.stderr, "s3cr3t")
	var effective map[string]any
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &effective))
	require.EqualValues(t, 64, effective["chunk_size"])
	require.EqualValues(t, 10, effective["blocking_timeout_secs"])

	got = sixcall([]string{"config", "check", writeConfig(t, "cache_policy: best\nchunk_size: -1\n")})
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.stderr, `cache_policy is "best"`)
	require.Contains(t, got.stderr, "chunk_size is -1")
	got = sixcall([]string{"config", "check", writeConfig(t, "remote_url: blackhole://\nremote_serde: cachegen\n")})
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.stderr, `remote_serde is "cachegen": this program stores chunks as they are; use naive`)
	require.Equal(t, exitFailed, sixcall([]string{"config", "check", path + ".absent"}).code)
	require.Equal(t, exitUsage, sixcall([]string{"config", "check"}).code)
	require.Equal(t, exitUsage, sixcall([]string{"config"}).code)

	got = sixcall([]string{"config", "schema"})
	require.Equal(t, exitOK, got.code)
	require.True(t, json.Valid([]byte(got.stdout)))
}

// The trace goes through memory, disk and redis, and the folder of the disk vanishes
// while it runs: no byte is wrong, and redis has everything.
func TestReplayOverAnEngineWhoseDiskFails(t *testing.T) {
	t.Parallel()
	servers.Connector(t, "redis")
	r := servers.StartRedis(t, servers.RedisOptions{})
	disk := filepath.Join(t.TempDir(), "disk")
	path := writeConfig(t, fmt.Sprintf("chunk_size: 64\nmax_local_cpu_size: 0.001\nlocal_disk: %s\nmax_local_disk_size: 0.01\nremote_url: redis://%s\n", disk, r.Addr()))
	vanished := make(chan struct{})
	go func() {
		defer close(vanished)
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			if entries, _ := os.ReadDir(disk); len(entries) > 100 {
				_ = os.RemoveAll(disk)
				if _, err := os.Stat(disk); err != nil { // a write may just have gone between
					return
				}
			}
		}
	}()
	got := sixcall([]string{"replay", "--config", path, "--requests", "400", "--concurrency", "2", "--format", "json"})
	<-vanished
	require.Equal(t, exitOK, got.code, got.stderr)
	require.NoDirExists(t, disk)
	result := decode(t, got.stdout)
	require.EqualValues(t, 400, result.Requests)
	require.Zero(t, result.VerifyFailures)
	require.Positive(t, result.PrefixHits)
	require.EqualValues(t, 2*result.StoredBlocks, r.Do(t, "DBSIZE"), "two keys for each block")

	// Another engine finds all of it in redis, with little memory and no disk.
	path = writeConfig(t, fmt.Sprintf("chunk_size: 64\nmax_local_cpu_size: 0.001\nremote_url: redis://%s\n", r.Addr()))
	got = sixcall([]string{"replay", "--config", path, "--requests", "400", "--format", "json"})
	require.Equal(t, exitOK, got.code, got.stderr)
	result = decode(t, got.stdout)
	require.Zero(t, result.VerifyFailures)
	require.Equal(t, result.Blocks, result.PrefixHits)
	require.Zero(t, result.StoredBlocks)
}

func TestReplayOfAConfigIsCheckedFirst(t *testing.T) {
	t.Parallel()
	path := writeConfig(t, "max_local_cpu_size: 0\n")
	got := sixcall([]string{"replay", "--config", path})
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.stderr, "max_local_cpu_size is 0")
	got = sixcall([]string{"replay", "--config", path, "--l2-adapter", defaultAdapter})
	require.Equal(t, exitUsage, got.code)
}

const runEnv = "SIXCALL_TEST_RUN_CONFIG"

// TestRunChild is no test: it is the process that TestRunUntilASignal starts.
func TestRunChild(t *testing.T) {
	path := os.Getenv(runEnv)
	if path == "" {
		t.Skip("only a child process of another test runs this")
	}
	os.Exit(run([]string{"run", "--config", path, "--worker-id", "1", "--workers", "2"}, testApp(os.Stdout, os.Stderr)))
}

// TestPluginsInPythonEndWithTheHost: one that is killed cannot say goodbye.
func TestPluginsInPythonEndWithTheHost(t *testing.T) {
	servers.Program(t, "python3", "python3")
	folder, err := filepath.Abs("../../adapters/python/tests/plugins")
	require.NoError(t, err)
	path := writeConfig(t, `
max_local_cpu_size: 0.001
remote_url: sync://x
remote_storage_plugins: [sync]
extra_config: {remote_storage_plugin.sync.module_path: my_package.my_connector, remote_storage_plugin.sync.class_name: SyncAdapter}
`)
	cmd := exec.Command(os.Args[0], "-test.run=^TestRunChild$")
	cmd.Env = append(os.Environ(), runEnv+"="+path, "PYTHONPATH="+folder, "PYTHONDONTWRITEBYTECODE=1")
	p := servers.Start(t, "sixcall run", cmd)
	p.Await(t, func() error {
		if !strings.Contains(p.Output(), "status: ") {
			return errors.New("it has not said where its status is")
		}
		return nil
	})
	workers := children(t, p.Pid())
	require.Len(t, workers, 1)
	require.NoError(t, syscall.Kill(p.Pid(), syscall.SIGKILL))
	<-p.Done()
	servers.Eventually(t, time.Minute, func() error {
		stat, err := os.ReadFile("/proc/" + workers[0] + "/stat")
		if err == nil && !strings.Contains(string(stat), ") Z ") {
			return fmt.Errorf("the worker lives: %s", stat)
		}
		return nil
	})
}

// children returns the ids of the processes that a process has started.
func children(t *testing.T, pid int) (all []string) {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	require.NoError(t, err)
	for _, path := range paths {
		text, _ := os.ReadFile(path) // it may be gone
		// "pid (comm) state ppid ...": comm may hold anything.
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if len(fields) > 1 && fields[1] == strconv.Itoa(pid) {
			all = append(all, filepath.Base(filepath.Dir(path)))
		}
	}
	return all
}

func TestRunUntilASignal(t *testing.T) {
	t.Parallel()
	servers.Program(t, "bash", "bash")
	dir := t.TempDir()
	script := filepath.Join(dir, "worker_1_wait.sh")
	require.NoError(t, os.WriteFile(script, []byte("trap 'exit 0' TERM\nwhile :; do sleep 0.05; done\n"), 0o644))
	path := writeConfig(t, fmt.Sprintf("max_local_cpu_size: 0.001\nremote_url: blackhole://\nstorage_plugins: [missing]\nplugin_locations: %s\nextra_config: {storage_plugin.missing.module_path: absent, storage_plugin.missing.class_name: X}\n", dir))
	cmd := exec.Command(os.Args[0], "-test.run=^TestRunChild$")
	cmd.Env = append(os.Environ(), runEnv+"="+path)
	p := servers.Start(t, "sixcall run", cmd)
	var url string
	p.Await(t, func() error {
		lines := bufio.NewScanner(strings.NewReader(p.Output()))
		for lines.Scan() {
			if u, ok := strings.CutPrefix(lines.Text(), "status: "); ok {
				url = u
				return nil
			}
		}
		return fmt.Errorf("it has not said where its status is")
	})
	require.Contains(t, p.Output(), "backends: LocalCPUBackend, RemoteBackend")
	var s hostStatus
	get := func(url string) (int, string) {
		response, err := http.Get(url)
		require.NoError(t, err)
		defer response.Body.Close()
		var b strings.Builder
		_, err = io.Copy(&b, response.Body)
		require.NoError(t, err)
		return response.StatusCode, b.String()
	}
	_, text := get(url)
	require.NoError(t, json.Unmarshal([]byte(text), &s))
	require.True(t, s.Healthy)
	require.True(t, s.Remotes["RemoteBackend"].Connected)
	require.Len(t, s.Problems, 1)
	require.Len(t, s.Plugins, 1)
	pid := s.Plugins[0].Pid
	require.Positive(t, pid)
	code, _ := get(strings.TrimSuffix(url, "status") + "healthz")
	require.Equal(t, http.StatusOK, code)
	_, text = get(strings.TrimSuffix(url, "status") + "metrics")
	require.Contains(t, text, "sixcall_host_remote_connected{backend=\"RemoteBackend\"} 1\n")

	require.NoError(t, syscall.Kill(p.Pid(), syscall.SIGTERM))
	<-p.Done()
	require.ErrorIs(t, syscall.Kill(pid, 0), syscall.ESRCH, "the script is gone")
	require.NotContains(t, p.Output(), "panic")
}
