//go:build linux

package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// object is a configuration.
type object map[string]any

func parseObject(raw json.RawMessage) (object, error) {
	o := object{}
	if len(bytes.TrimSpace(raw)) == 0 {
		return o, nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if err := dec.Decode(&o); err != nil {
		return nil, err
	}
	for key, value := range o {
		resolved, err := resolve(value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		o[key] = resolved
	}
	return o, nil
}

// resolve replaces {"$env": NAME} and {"$file": PATH}, as hosts do.
func resolve(value any) (any, error) {
	switch v := value.(type) {
	case map[string]any:
		if name, ok := v["$env"].(string); ok && len(v) == 1 {
			text, found := os.LookupEnv(name)
			if !found {
				return nil, fmt.Errorf("the environment has no %s", name)
			}
			return text, nil
		}
		if path, ok := v["$file"].(string); ok && len(v) == 1 {
			text, err := os.ReadFile(path)
			return strings.TrimRight(string(text), "\r\n"), err
		}
		for key := range v {
			inner, err := resolve(v[key])
			if err != nil {
				return nil, err
			}
			v[key] = inner
		}
	case []any:
		for i := range v {
			inner, err := resolve(v[i])
			if err != nil {
				return nil, err
			}
			v[i] = inner
		}
	}
	return value, nil
}

// with returns a copy with a key set.
func (o object) with(key string, value any) object {
	c := maps.Clone(o)
	c[key] = value
	return c
}

func (o object) merge(over object) object {
	c := maps.Clone(o)
	maps.Copy(c, over)
	return c
}

func (o object) text() string {
	data, err := json.Marshal(map[string]any(o))
	if err != nil {
		panic(err) // it came from JSON
	}
	return string(data)
}

// withEndpoint returns a copy that points to another host and port.
func (o object) withEndpoint(params []string, from, host string, port int) (object, error) {
	if len(params) == 2 {
		c := o.with(params[0], host)
		if _, isText := o[params[1]].(string); isText {
			c[params[1]] = strconv.Itoa(port)
		} else {
			c[params[1]] = port
		}
		return c, nil
	}
	to := net.JoinHostPort(host, strconv.Itoa(port))
	switch v := o[params[0]].(type) {
	case nil:
		return o.with(params[0], to), nil
	case string:
		if !strings.Contains(v, from) {
			return nil, fmt.Errorf("the parameter %s is %q and does not hold the endpoint %s", params[0], v, from)
		}
		return o.with(params[0], strings.ReplaceAll(v, from, to)), nil
	case []any:
		return o.with(params[0], []any{to}), nil
	}
	return nil, fmt.Errorf("the parameter %s is neither a string nor a list", params[0])
}

// folders are the folders that the configuration names, and their parents: where a
// connector that takes keys for paths would write.
func (o object) folders() []string {
	seen := map[string]bool{}
	for _, value := range o {
		path, ok := value.(string)
		if !ok || !filepath.IsAbs(path) {
			continue
		}
		for i := 0; i < 3 && path != "/"; i++ {
			path = filepath.Dir(path)
			if info, err := os.Stat(path); err == nil && info.IsDir() && path != "/" {
				seen[path] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// badValue is a configuration with one wrong value.
type badValue struct {
	key, text string
	config    object
}

// badValues makes every property of the schema wrong, one at a time.
func badValues(params object, schema *schema) (list []badValue) {
	if schema == nil {
		return nil
	}
	for _, key := range slices.Sorted(maps.Keys(schema.Properties)) {
		p := schema.Properties[key]
		add := func(value any) {
			shown, _ := json.Marshal(value)
			list = append(list, badValue{key, fmt.Sprintf("%s = %s", key, shown), params.with(key, value)})
		}
		wrong := map[string]any{"string": 7, "integer": "many", "number": "much", "boolean": "perhaps", "object": "text", "array": 7}
		if len(p.Types) == 1 {
			if value, ok := wrong[p.Types[0]]; ok {
				add(value)
			}
			if p.Types[0] == "integer" {
				add(1.5)
			}
			if p.Types[0] == "string" {
				add([]any{"a"})
			}
		}
		if len(p.Enum) > 0 {
			add("no such choice")
		}
		if p.Minimum != nil {
			add(*p.Minimum - 1)
		}
		if p.Maximum != nil {
			add(*p.Maximum + 1)
		}
	}
	for _, key := range schema.Required {
		c := maps.Clone(params)
		delete(c, key)
		list = append(list, badValue{key, "no " + key, c})
	}
	return list
}
