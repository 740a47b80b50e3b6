package plugin_test

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/l2/plugin"
	"github.com/sixcall/sixcall/bridge/kv"
)

func openDir(t *testing.T, path string) int {
	t.Helper()
	dir, err := os.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = dir.Close() })
	return int(dir.Fd())
}

type base struct {
	Retries int `json:"retries"`
}

type server struct {
	Host string `json:"host"`
	Port uint16 `json:"port"`
}

type fullConfig struct {
	base
	Base     base
	Host     string            `json:"host"`
	Capacity int64             `json:"capacity,omitempty"`
	Ratio    float64           `json:"ratio"`
	Lazy     bool              `json:"lazy"`
	Servers  []server          `json:"servers"`
	Labels   map[string]server `json:"labels"`
	Backup   *server           `json:"backup"`
	Extra    json.RawMessage   `json:"extra"`
	Any      any               `json:"any"`
	Secret   string            `json:"-"`
	hidden   int
}

func (c *fullConfig) Validate() error {
	if c.Ratio > 1 {
		return errors.Join(errors.New("ratio is too big"), errors.New("want 1 at most"))
	}
	return nil
}

func newFull() *fullConfig {
	return &fullConfig{Host: "localhost", Labels: map[string]server{"default": {}}, hidden: 1}
}

// decode returns the configuration that a factory gets for params.
func decode(t testing.TB, params string) (*fullConfig, error) {
	t.Helper()
	r := &recorder{}
	registry := registryOf(t, r.make, plugin.ConfigType(class+"Config", newFull))
	if err := create(t, registry, plugin.Config{ModulePath: module, ClassName: class, AdapterParams: json.RawMessage(params)}, plugin.HostInfo{}); err != nil {
		return nil, err
	}
	return r.config.(*fullConfig), nil
}

func TestParams(t *testing.T) {
	for _, none := range []string{"", "  ", "{}"} {
		got, err := decode(t, none)
		require.NoError(t, err)
		require.Equal(t, newFull(), got, "the defaults")
	}
	got, err := decode(t, `{"host": "h", "capacity": 1000, "ratio": 1, "lazy": true, "retries": 2, "Base": {"retries": 3},
		"servers": [{"port": 1}, {"host": "b"}], "labels": {"x y": {"port": 2}}, "backup": null, "extra": {"any": ["thing"]}, "any": null}`)
	require.NoError(t, err)
	want := &fullConfig{Host: "h", Capacity: 1000, Ratio: 1, Lazy: true, base: base{2}, Base: base{3}, hidden: 1,
		Servers: []server{{Port: 1}, {Host: "b"}}, Labels: map[string]server{"default": {}, "x y": {Port: 2}}, Extra: json.RawMessage(`{"any": ["thing"]}`)}
	require.Equal(t, want, got)
	got, err = decode(t, `{}`)
	require.NoError(t, err)
	require.Equal(t, newFull(), got, "configurations share nothing")
}

func TestBadParams(t *testing.T) {
	for _, tc := range []struct{ params, want string }{
		{`{"hosst": "h"}`, `adapter_params.hosst is an unknown key, did you mean "host"?`},
		{`{"Host": "h"}`, `adapter_params.Host is an unknown key, did you mean "host"?`},
		{`{"completely": 1}`, "adapter_params.completely is an unknown key; known keys: Base, any, backup, capacity"},
		{`{"Secret": "s"}`, "adapter_params.Secret is an unknown key"},
		{`{"hidden": 1}`, "adapter_params.hidden is an unknown key"},
		{`{"servers": [{}, {"prt": 1}]}`, `adapter_params.servers[1].prt is an unknown key, did you mean "port"?`},
		{`{"labels": {"x": {"prt": 1}}}`, `adapter_params.labels.x.prt`},
		{`{"backup": {"prt": 1}}`, `adapter_params.backup.prt`},
		{`{"Base": {"retry": 1}}`, `did you mean "retries"?`},
		{`{"a\nb": 1}`, `adapter_params."a\nb" is an unknown key`},
		{`{"host": "a", "host": "b"}`, "adapter_params.host is given more than once"},
		{`{"host": 5}`, "adapter_params.host is a number, want string"},
		{`{"capacity": 1.5}`, "adapter_params.capacity is a number 1.5, want int64"},
		{`{"lazy": "false"}`, "adapter_params.lazy is a string, want bool"},
		{`{"host": null}`, "adapter_params.host is null, want string"},
		{`{"servers": [{"port": 70000}]}`, "adapter_params.servers.port is a number 70000, want uint16"},
		{`{"ratio": 2}`, "adapter_params: ratio is too big; want 1 at most"},
		{`null`, "adapter_params is null, want an object"},
		{`[1]`, "adapter_params is a list, want an object"},
		{`"x"`, "adapter_params is a string, want an object"},
		{`true`, "adapter_params is a boolean, want an object"},
		{`-1`, "adapter_params is a number, want an object"},
		{`{"host"`, "adapter_params is not valid JSON"},
		{`{} {}`, "adapter_params is not valid JSON"},
	} {
		_, err := decode(t, tc.params)
		require.ErrorIs(t, err, kv.Config, tc.params)
		require.ErrorContains(t, err, tc.want, tc.params)
		require.NotContains(t, err.Error(), "\n")
	}
	_, err := decode(t, `{"hosst": "h", "lasy": true, "backup": {"prt": 1}}`)
	require.Equal(t, 2, strings.Count(err.Error(), "; "), "all at once: %v", err)
}

func TestRow78RawMapIsChecked(t *testing.T) {
	r := &recorder{}
	registry := registryOf(t, r.make)
	require.NoError(t, create(t, registry, plugin.Config{ModulePath: module, ClassName: class, AdapterParams: json.RawMessage(`{"n": 5, "list": [1, "x"]}`)}, plugin.HostInfo{}))
	require.Equal(t, map[string]any{"n": 5.0, "list": []any{1.0, "x"}}, r.config)
	require.NoError(t, create(t, registry, plugin.Config{}, plugin.HostInfo{}))
	require.Equal(t, map[string]any{}, r.config, "never nil")
	require.ErrorIs(t, create(t, registry, plugin.Config{ModulePath: module, ClassName: class, AdapterParams: json.RawMessage("null")}, plugin.HostInfo{}), kv.Config)
}

func FuzzParams(f *testing.F) {
	for _, seed := range []string{`{"host": "h"}`, `{"servers": [{"port": 1}], "labels": {"a": {}}}`, `{"hosst": null}`, `{"extra": 1e999}`, `[`, `{"host":"\u0000\n"}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, params string) {
		got, err := decode(t, params)
		if err != nil {
			if !errors.Is(err, kv.Config) {
				t.Fatalf("%q: %v", params, err)
			}
			return
		}
		// What was accepted says the same when it is written and read again.
		text, err := json.Marshal(got)
		require.NoError(t, err)
		_, err = decode(t, string(text))
		require.NoError(t, err, "%s", text)
	})
}
