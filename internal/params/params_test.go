package params_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/internal/params"
)

const testSchema = `{
	"type": "object",
	"required": ["host"],
	"properties": {
		"host": {"type": "string", "description": "where it is"},
		"port": {"type": "integer", "minimum": 1, "maximum": 65535, "default": 6379},
		"ratio": {"type": "number", "minimum": 0.5},
		"top": {"type": "number", "maximum": 10},
		"tls": {"type": "boolean"},
		"mode": {"enum": ["fast", "safe", 3, null]},
		"either": {"type": ["string", "integer"]},
		"tls_options": {"type": "object", "properties": {"ca": {"type": "string"}, "depth": {"type": "integer"}}},
		"free": {"type": "object", "properties": {}, "additionalProperties": true},
		"nodes": {"type": "array", "items": {"type": "string"}}
	}
}`

// validate returns what is wrong with text for a schema, and the configuration that
// a library would get.
func validate(schemaText, text string) (problems []string, config string) {
	p, errs := params.Parse(json.RawMessage(text))
	if len(errs) == 0 {
		s, err := params.ParseSchema(schemaText)
		if err != nil {
			return []string{"schema: " + err.Error()}, ""
		}
		errs = s.Validate(p)
	}
	for _, err := range errs {
		problems = append(problems, p.Mask(err.Error()))
	}
	encoded, err := p.Encode()
	if err != nil {
		problems = append(problems, err.Error())
	}
	return problems, string(encoded)
}

func TestParametersAreCheckedAgainstTheSchema(t *testing.T) {
	tests := []struct {
		params string
		want   []string
	}{
		{`{"host": "a", "port": 1, "ratio": 0.5, "tls": true, "mode": "safe", "either": "x", "nodes": ["a"]}`, nil},
		{`{"host": "a", "port": 65535.0, "mode": 3.0, "either": 4, "x-anything": {"at": "all"}, "lazy": true}`, nil},
		{`{"host": "a", "mode": null, "free": {"whatever": 1}, "tls_options": {"x-y": 1, "ca": ""}}`, nil},
		{``, []string{"host is missing"}},
		{`{}`, []string{"host is missing"}},
		{`[]`, []string{"the parameters are a JSON array, want a JSON object"}},
		{`null`, []string{"the parameters are a JSON null, want a JSON object"}},
		{`{"host": }`, []string{"the parameters are not JSON: invalid character '}' looking for beginning of value"}},
		{`{"host": "a"} {}`, []string{"the parameters have text after their JSON object"}},
		{"{\"host\": \"\xff\"}", []string{"the parameters are not UTF-8"}},
		{`{"host": 5}`, []string{"host is 5, want string"}},
		{`{"host": "a", "port": "6379"}`, []string{`port is "6379", want integer`}},
		{`{"host": "a", "port": 1.5}`, []string{"port is 1.5, want integer"}},
		{`{"host": "a", "port": 0}`, []string{"port is 0, want 1 to 65535"}},
		{`{"host": "a", "port": 1e400}`, []string{"port is 1e400, want 1 to 65535"}},
		{`{"host": "a", "port": 1e999999999}`, []string{"port is 1e999999999, want integer"}},
		{`{"host": "a", "ratio": 0.49}`, []string{"ratio is 0.49, want at least 0.5"}},
		{`{"host": "a", "top": 11}`, []string{"top is 11, want at most 10"}},
		{`{"host": "a", "mode": "slow"}`, []string{`mode is "slow", want one of "fast", "safe", 3, null`}},
		{`{"host": "a", "either": true}`, []string{"either is true, want string or integer"}},
		{`{"host": "a", "nodes": ["a", 2]}`, []string{"nodes[1] is 2, want string"}},
		{`{"host": "a", "tls_options": {"cb": "x", "depth": {}}}`, []string{"tls_options.cb is not a known key; did you mean ca?", "tls_options.depth is a JSON object, want integer"}},
		{`{"host": "a", "lazy": 1}`, []string{"lazy is 1, want true or false"}},
		{`{"hots": "a", "Port": 1}`, []string{"Port is not a known key; did you mean port?", "hots is not a known key; did you mean host?", "host is missing"}},
		{`{"host": "a", "endpoint_url": 1}`, []string{"endpoint_url is not a known key; known are either, free, host, mode, nodes, port, ratio, tls, tls_options, top"}},
		{`{"host": "` + strings.Repeat("h", 100) + `", "port": "` + strings.Repeat("p", 100) + `"}`, []string{`port is "` + strings.Repeat("p", 64) + `"..., want integer`}},
	}
	for _, tc := range tests {
		problems, _ := validate(testSchema, tc.params)
		require.Equal(t, tc.want, problems, "%s", tc.params)
	}
	problems, _ := validate(`{"type":"object"}`, `{"a": 1}`)
	require.Equal(t, []string{"a is not a known key; this connector has none"}, problems)
}

func TestNumbersAndTextsReachTheLibraryUnchanged(t *testing.T) {
	const text = `{"big":9007199254740993,"free":{"a":[1.10,null,true]},"host":"<é>&","x-e":1e-7}`
	_, config := validate(testSchema, text)
	require.Equal(t, text, config)
}

func TestSecretsAreResolvedAtAnyDepth(t *testing.T) {
	t.Setenv("SIXCALL_TEST_A", "alpha")
	t.Setenv("SIXCALL_TEST_PORT", "6380")
	t.Setenv("SIXCALL_TEST_BAD", "\xff")
	file := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(file, []byte("beta\r\n"), 0o600))
	big := filepath.Join(t.TempDir(), "big")
	require.NoError(t, os.WriteFile(big, make([]byte, 1<<17), 0o600))

	problems, config := validate(testSchema, `{"host": {"$env": "SIXCALL_TEST_A"}, "port": {"$env": "SIXCALL_TEST_PORT"},
		"tls_options": {"ca": {"$file": "`+file+`"}}, "nodes": [{"$env": "SIXCALL_TEST_A"}]}`)
	require.Empty(t, problems)
	require.Equal(t, `{"host":"alpha","nodes":["alpha"],"port":6380,"tls_options":{"ca":"beta"}}`, config)

	problems, _ = validate(testSchema, `{"host": "a", "port": {"$env": "SIXCALL_TEST_A"}}`)
	require.Equal(t, []string{"port is a secret string, want integer"}, problems)

	problems, _ = validate(testSchema, `{
		"a": {"$env": "SIXCALL_TEST_UNSET"}, "b": {"$file": "relative"}, "c": {"$env": "X", "more": 1},
		"d": {"$file": "`+big+`"}, "e": {"$env": 5}, "f": [{"$env": "SIXCALL_TEST_BAD"}], "g": {"h": {"$file": "/nowhere"}}}`)
	require.Equal(t, []string{
		`a: environment variable "SIXCALL_TEST_UNSET" is not set`,
		"b: $file is not an absolute path",
		"c: $env stands beside other keys, want it alone in its object",
		`d: file "` + big + `" has more than 65536 bytes`,
		"e: $env is not the name of an environment variable",
		`f[0]: environment variable "SIXCALL_TEST_BAD" is not UTF-8`,
		"g.h: open /nowhere: no such file or directory",
	}, problems)
}

func TestABrokenSchemaIsFound(t *testing.T) {
	for text, want := range map[string]string{
		`{"type":"object","properties":{"a":{"type":"text"}}}`:                             `type is "text", want one of object, array`,
		`{"type":"object","properties":{"a":{"type":5}}}`:                                  "type is neither a string nor a list of strings",
		`{"type":"object","required":["b"]}`:                                               `"b" is required, but not among the properties`,
		`{"type":"object","properties":{"a":null}}`:                                        `property "a" is null`,
		`{"type":"object","properties":{"a":{"type":"array","items":{"required":["c"]}}}}`: `"a[].c" is required`,
		`{"type":"object"} x`:                                                              "text after the schema's object",
		`{"properties":{}}`:                                                                `its type is [], want "object"`,
		`{"type":"object","properties":{"a":{"minimum":"x"}}}`:                             "invalid number literal",
	} {
		problems, _ := validate(text, `{}`)
		require.Len(t, problems, 1, "%s", text)
		require.Contains(t, problems[0], want, "%s", text)
	}
}

func FuzzParams(f *testing.F) {
	f.Add(testSchema, `{"host": "a", "port": 1e5, "nodes": [{"$env": "HOME"}]}`)
	f.Add(`{"type":"object","properties":{"a":{"type":["null"],"enum":[{}]}}}`, `{"a": {}}`)
	f.Fuzz(func(_ *testing.T, schema, text string) {
		validate(schema, text)
	})
}

func TestTextsAreMadeSafe(t *testing.T) {
	require.Equal(t, "a b [0mc\uFFFD \u00e9", params.Printable("a\nb\x1b[0mc\xff\u2028\u00e9"))
	require.EqualError(t, params.Line([]error{errors.New("a"), errors.New("b")}), "a; b")
}

func TestMaskOutlivesTheConfiguration(t *testing.T) {
	t.Setenv("SIXCALL_TEST_LONG", "hunter22")
	t.Setenv("SIXCALL_TEST_SHORT", "hunter2")
	p, errs := params.Parse(json.RawMessage(`{"a": {"$env": "SIXCALL_TEST_SHORT"}, "b": {"$env": "SIXCALL_TEST_LONG"}}`))
	require.Empty(t, errs)
	p.Forget()
	require.Equal(t, "*** and ***", p.Mask("hunter22 and hunter2"))
	encoded, err := p.Encode()
	require.NoError(t, err)
	require.Equal(t, "null", string(encoded))
}
