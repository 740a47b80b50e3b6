//go:build linux

package config_test

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/config"
	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/bridge/worker"
	"github.com/sixcall/sixcall/internal/servers"
)

// needPython puts the plug-ins of the Python package's tests on the interpreter's path,
// and nothing else: LMCache is not there.
func needPython(t *testing.T) (interpreter string) {
	t.Helper()
	folder, err := filepath.Abs("../python/tests/plugins")
	require.NoError(t, err)
	t.Setenv("PYTHONPATH", folder)
	t.Setenv("PYTHONDONTWRITEBYTECODE", "1")
	return servers.Program(t, "python3", "python3")
}

// pythonPlugin opens an adapter of type plugin with further keys.
func pythonPlugin(t *testing.T, module, class, params string, keys ...string) (*l2.NativeAdapter, error) {
	t.Helper()
	text := `{"type":"plugin","module_path":"` + module + `","class_name":"` + class + `","adapter_params":` + params + `,"python":"` + needPython(t) + `"`
	for _, key := range keys {
		text += "," + key
	}
	adapter, err := config.Build(t.Context(), parse(t, text+"}")[0])
	if err != nil {
		return nil, err
	}
	native := adapter.(*l2.NativeAdapter)
	t.Cleanup(func() { require.NoError(t, native.Close()) })
	return native, nil
}

const seedParams = `{"host":"localhost","capacity":100000}`

func TestPluginInPython(t *testing.T) {
	adapter, err := pythonPlugin(t, "my_plugin.adapter", "MyL2Adapter", seedParams, `"integrity":"xxh3"`)
	require.NoError(t, err)
	require.Equal(t, worker.Ready, adapter.Status()["worker"].(worker.Status).State)

	keys := bridgetest.Keys(5)
	keys[3].Salt = "alice"
	var values, got []kv.Buffer
	for i, n := range []int{1, 5000, 70, 1 << 20, 4096} {
		values, got = append(values, value(i, n)), append(got, make(kv.Buffer, n))
	}
	bits, err := adapter.Lookup(t.Context(), keys)
	require.NoError(t, err)
	require.Equal(t, "00000", bits.String())

	stored, err := adapter.Store(t.Context(), keys[:4], values[:4])
	require.NoError(t, err)
	require.True(t, stored.OK)
	bits, err = adapter.Lookup(t.Context(), keys)
	require.NoError(t, err)
	require.Equal(t, "11110", bits.String())
	bits, err = adapter.Load(t.Context(), keys, got)
	require.NoError(t, err)
	require.Equal(t, "11110", bits.String())
	for i := range 4 {
		require.True(t, bytes.Equal(values[i], got[i]), "value %d", i)
	}
	adapter.Unlock(keys[:4])

	// A value of another size is a miss.
	bits, err = adapter.Load(t.Context(), keys[:1], []kv.Buffer{make(kv.Buffer, 2)})
	require.NoError(t, err)
	require.Equal(t, "0", bits.String())

	var listed []string
	for token := ""; ; {
		page, err := adapter.ListKeys(t.Context(), "", 10, token)
		require.NoError(t, err)
		for _, entry := range page.Entries {
			listed = append(listed, entry.Key.String())
		}
		if token = page.NextPageToken; token == "" {
			break
		}
	}
	require.ElementsMatch(t, []string{keys[0].String(), keys[1].String(), keys[2].String(), keys[3].String()}, listed)

	deleted, err := adapter.Delete(t.Context(), keys[:1])
	require.NoError(t, err)
	require.Equal(t, 1, deleted.Deleted)
	bits, err = adapter.Lookup(t.Context(), keys[:2])
	require.NoError(t, err)
	require.Equal(t, "01", bits.String())
	adapter.Unlock(keys[1:2])
}

// TestClassesInPythonThatCannotBe: each error names the thing, the value and what
// would be right.
func TestClassesInPythonThatCannotBe(t *testing.T) {
	for name, c := range map[string]struct {
		module, class, params string
		want                  []string
	}{
		"no module":            {"nowhere.adapter", "A", `{}`, []string{`module_path is "nowhere.adapter"`, `has no module "nowhere"`, "PYTHONPATH"}},
		"no submodule":         {"my_plugin.nowhere", "A", `{}`, []string{`has no module "my_plugin.nowhere"`}},
		"a module it needs":    {"broken.needs", "A", `{}`, []string{"importing it failed", "needs.py", "not_installed_at_all"}},
		"a syntax error":       {"broken.syntax", "A", `{}`, []string{"importing it failed", "SyntaxError", "syntax.py"}},
		"raises at import":     {"broken.raises", "A", `{}`, []string{"importing it failed", "line 2, in boom", "libvendor.so.1: cannot open"}},
		"exits at import":      {"broken.exits", "A", `{}`, []string{"exited with code 9", "a last word"}},
		"no class":             {"my_plugin.adapter", "MyL2Adaptr", `{}`, []string{`class_name is "MyL2Adaptr"`, "did you mean MyL2Adapter?", "it has: MyL2Adapter, MyL2AdapterConfig"}},
		"no class but a value": {"hostile", "a_value", `{}`, []string{"that is a int, want a class that derives from L2AdapterInterface"}},
		"another class":        {"hostile", "NotAnAdapter", `{}`, []string{"hostile.NotAnAdapter does not derive from L2AdapterInterface"}},
		"methods are missing":  {"hostile", "Incomplete", `{}`, []string{"lacks close, get_load_event_fd", "submit_unlock"}},
		"wrong parameters":     {"my_plugin.adapter", "MyL2Adapter", `{"host":7}`, []string{"adapter_params are not what MyL2AdapterConfig.from_dict takes", "host must be a string"}},
		"it raises":            {"hostile", "Hostile", `{"host":"create-raise"}`, []string{"hostile.Hostile could not be made", "the backend is on fire", "hostile.py"}},
		"it exits":             {"hostile", "Hostile", `{"host":"create-exit"}`, []string{"hostile.Hostile could not be made", "SystemExit: no more"}},
		"it exits at once":     {"hostile", "Hostile", `{"host":"create-os-exit"}`, []string{"exited with code 77"}},
		"it crashes":           {"hostile", "Hostile", `{"host":"create-segfault"}`, []string{"SIGSEGV"}},
		"it hangs":             {"hostile", "Hostile", `{"host":"create-hang"}`, []string{"did not return within"}},
	} {
		t.Run(name, func(t *testing.T) {
			keys := []string{`"deadlines":{"load_ms":0}`}
			if name == "it hangs" { // it is killed five seconds after that
				keys = []string{`"open_timeout_ms":1`}
			}
			_, err := pythonPlugin(t, c.module, c.class, c.params, keys...)
			require.Error(t, err)
			for _, want := range c.want {
				require.ErrorContains(t, err, want)
			}
		})
	}
}
