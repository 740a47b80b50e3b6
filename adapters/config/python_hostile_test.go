//go:build linux

package config_test

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/config"
	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/bridge/worker"
	"github.com/sixcall/sixcall/internal/servers"
)

// evil are keys that make the class Hostile do what its parameters say.
func evil(n int) []kv.Key {
	keys := bridgetest.Keys(n)
	for i := range keys {
		keys[i].Model = "evil"
	}
	return keys
}

// serves waits until the adapter stores a value and loads it again.
func serves(t *testing.T, adapter *l2.NativeAdapter) {
	t.Helper()
	keys, want := bridgetest.Keys(3), []kv.Buffer{value(1, 100), value(2, 5000), value(3, 70)}
	servers.Eventually(t, time.Minute, func() error { // a worker starts, the breaker may be open
		stored, err := adapter.Store(t.Context(), keys, want)
		if err == nil && !stored.OK {
			err = errors.New("not stored")
		}
		if err != nil {
			return err
		}
		got := []kv.Buffer{make(kv.Buffer, 100), make(kv.Buffer, 5000), make(kv.Buffer, 70)}
		bits, err := adapter.Load(t.Context(), keys, got)
		if err == nil && bits.String() != "111" {
			err = errors.New("loaded " + bits.String())
		}
		for i := range got {
			if err == nil && !bytes.Equal(want[i], got[i]) {
				t.Fatalf("value %d is not what was stored", i)
			}
		}
		return err
	})
}

func workerOf(adapter *l2.NativeAdapter) worker.Status {
	return adapter.Status()["worker"].(worker.Status)
}

// TestHostilePluginsInPython: whatever a plug-in does, its tasks fail, the host goes
// on, and so does the plug-in, if need be in a new process.
func TestHostilePluginsInPython(t *testing.T) {
	for does, restarts := range map[string]bool{
		"raise": false, "exit": false, "os-exit": true, "segfault": true, "hang": true, "print": false, "fork": false, "rubbish-id": false,
	} {
		t.Run(does, func(t *testing.T) {
			adapter, err := pythonPlugin(t, "hostile", "Hostile", `{"host":"`+does+`","capacity":1000}`,
				`"worker":{"restart_initial_ms":1,"hang_timeout_ms":2000}`, `"deadlines":{"store_ms":500,"load_ms":30000}`, `"breaker":{"failures":0}`)
			require.NoError(t, err)
			serves(t, adapter)
			// What is stored is lost with a process; what matters is that nothing is told
			// to be there that is not.
			stored, _ := adapter.Store(t.Context(), evil(3), []kv.Buffer{value(1, 10), value(2, 10), value(3, 10)})
			require.Equal(t, does == "print" || does == "fork", stored.OK)
			if restarts {
				servers.Eventually(t, time.Minute, func() error {
					if workerOf(adapter).Restarts == 0 {
						return errors.New("not started again")
					}
					return nil
				})
			}
			serves(t, adapter)
			status := workerOf(adapter)
			require.Equal(t, worker.Ready, status.State)
			switch does {
			case "os-exit":
				require.Equal(t, 77, status.LastExitCode)
			case "segfault":
				require.Equal(t, "SIGSEGV", status.LastSignal)
				require.Contains(t, strings.Join(status.LastLines, "\n"), "hostile.py", "the crash says where")
			case "hang":
				require.Equal(t, worker.ReasonHang, status.LastReason)
			case "print":
				require.Positive(t, status.LostLines)
			}
			if !restarts {
				require.Zero(t, status.Restarts)
			}
		})
	}
}

// TestPluginsInPythonThatReturnRubbish: a result that cannot be meant is none.
func TestPluginsInPythonThatReturnRubbish(t *testing.T) {
	for _, does := range []string{"rubbish-result", "long-result"} {
		adapter, err := pythonPlugin(t, "hostile", "Hostile", `{"host":"`+does+`","capacity":1000}`)
		require.NoError(t, err)
		serves(t, adapter)
		// A lookup of a key that the bridge does not know asks the plug-in.
		bits, _ := adapter.Lookup(t.Context(), evil(2))
		require.Equal(t, "00", bits.String(), does)
		serves(t, adapter)
		require.Zero(t, workerOf(adapter).Restarts, does)
	}
	// What it says it loaded, and did not, is found by the checksum.
	adapter, err := pythonPlugin(t, "hostile", "Hostile", `{"host":"wrong-bytes","capacity":1000}`, `"integrity":"xxh3"`)
	require.NoError(t, err)
	keys := evil(1)
	stored, err := adapter.Store(t.Context(), keys, []kv.Buffer{value(1, 1000)})
	require.NoError(t, err)
	require.True(t, stored.OK)
	bits, err := adapter.Load(t.Context(), keys, []kv.Buffer{make(kv.Buffer, 1000)})
	require.NoError(t, err)
	require.Equal(t, "0", bits.String())
	serves(t, adapter)
	// One that cannot close is closed.
	adapter, err = pythonPlugin(t, "hostile", "Hostile", `{"host":"close","capacity":1000}`)
	require.NoError(t, err)
	serves(t, adapter)
}

// TestProgramsAsPlugins: a program that speaks the worker's protocol is named by its
// path.
func TestProgramsAsPlugins(t *testing.T) {
	needPython(t)
	path, err := filepath.Abs("../python/tests/plugins/shelf")
	require.NoError(t, err)
	text := `{"type":"plugin","module_path":"` + path + `","class_name":"shelf","worker":{"allow_exec":true}}`
	adapter, err := config.Build(t.Context(), parse(t, text)[0])
	require.NoError(t, err)
	serves(t, adapter.(*l2.NativeAdapter))
	require.NoError(t, adapter.Close())

	for text, want := range map[string]string{
		strings.Replace(text, `"shelf","worker"`, `"shelves","worker"`, 1):         `class_name is "shelves", but the library "` + path + `" declares "shelf"`,
		strings.Replace(text, path, "/bin/true", 1):                                "before it said hello",
		strings.Replace(text, path, "../python/tests/plugins/hostile.py", 1):       "a Python module is named by its import path",
		strings.Replace(text, path, "/nowhere/program", 1):                         "no such file",
		strings.Replace(text, path, "a name", 1):                                   "want the name of a connector that is installed, a file, or the import path of a Python module",
		strings.Replace(text, `"worker"`, `"python":"python3","worker"`, 1):        "is a program",
		strings.Replace(text, `"worker"`, `"require_check":1,"worker"`, 1):         "require_check: given",
		`{"type":"plugin","module_path":"m","class_name":"c","python":"/nowhere"}`: `python is "/nowhere": no such file`,
		`{"type":"plugin","module_path":"m","class_name":"c","python":"/tmp"}`:     "it has no bin/python",
		`{"type":"plugin","module_path":"m","class_name":"c","python":"nopython"}`: "no folder of PATH",
	} {
		_, err := config.Build(t.Context(), parse(t, text)[0])
		require.ErrorContains(t, err, want, text)
	}
}
