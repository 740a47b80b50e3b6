package params

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxSecretFile is the largest file that {"$file": PATH} reads, in bytes.
const maxSecretFile = 64 << 10

// Params is a configuration with its secrets resolved.
type Params struct {
	object  map[string]any // numbers are json.Number
	secrets []string       // what must not appear in any text
}

// Parse reads one JSON object and resolves its secrets; nothing is {}. All
// problems are reported at once, each with the path of the key and never with a
// value that came from a secret. The Params is never nil, so that its Mask can be
// used on what is reported.
func Parse(raw json.RawMessage) (*Params, []error) {
	p := &Params{object: map[string]any{}}
	if len(bytes.TrimSpace(raw)) == 0 {
		return p, nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var value any
	if err := dec.Decode(&value); err != nil {
		return p, []error{fmt.Errorf("the parameters are not JSON: %w", err)}
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return p, []error{errors.New("the parameters have text after their JSON object")}
	}
	object, ok := value.(map[string]any)
	if !ok {
		return p, []error{fmt.Errorf("the parameters are %s, want a JSON object", typeOf(value))}
	}
	if !utf8.Valid(raw) {
		return p, []error{errors.New("the parameters are not UTF-8")}
	}
	var errs []error
	for _, key := range sortedKeys(object) {
		var err []error
		object[key], err = p.resolve(object[key], key)
		errs = append(errs, err...)
	}
	p.object = object
	// A secret that contains another one is masked first.
	slices.SortFunc(p.secrets, func(a, b string) int { return len(b) - len(a) })
	return p, errs
}

// resolve replaces {"$env": NAME} and {"$file": PATH} in value, at any depth.
func (p *Params) resolve(value any, at string) (any, []error) {
	var errs []error
	switch v := value.(type) {
	case map[string]any:
		if secret, found, err := readSecret(v); found {
			if err != nil {
				return nil, []error{fmt.Errorf("%s: %w", at, err)}
			}
			if secret != "" {
				p.secrets = append(p.secrets, secret)
				if quoted, err := json.Marshal(secret); err == nil && string(quoted) != `"`+secret+`"` {
					p.secrets = append(p.secrets, string(quoted[1:len(quoted)-1]))
				}
			}
			return resolved(secret), nil
		}
		for _, key := range sortedKeys(v) {
			inner, err := p.resolve(v[key], at+"."+key)
			v[key] = inner
			errs = append(errs, err...)
		}
	case []any:
		for i := range v {
			inner, err := p.resolve(v[i], fmt.Sprintf("%s[%d]", at, i))
			v[i] = inner
			errs = append(errs, err...)
		}
	}
	return value, errs
}

// resolved is a string that came from a secret. It is not quoted in errors.
type resolved string

// readSecret returns the value that a reference stands for. found is false for
// an ordinary object.
func readSecret(v map[string]any) (secret string, found bool, err error) {
	if env, ok := v["$env"]; ok && len(v) == 1 {
		name, ok := env.(string)
		if !ok || name == "" {
			return "", true, errors.New(`$env is not the name of an environment variable`)
		}
		secret, ok := os.LookupEnv(name)
		if !ok {
			return "", true, fmt.Errorf("environment variable %q is not set", name)
		}
		if !utf8.ValidString(secret) {
			return "", true, fmt.Errorf("environment variable %q is not UTF-8", name)
		}
		return secret, true, nil
	}
	if file, ok := v["$file"]; ok && len(v) == 1 {
		path, ok := file.(string)
		if !ok || !filepath.IsAbs(path) {
			return "", true, errors.New("$file is not an absolute path")
		}
		f, err := os.Open(path)
		if err != nil {
			return "", true, err
		}
		defer f.Close()
		content, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
		switch {
		case err != nil:
			return "", true, err
		case len(content) > maxSecretFile:
			return "", true, fmt.Errorf("file %q has more than %d bytes", path, maxSecretFile)
		case !utf8.Valid(content):
			return "", true, fmt.Errorf("file %q is not UTF-8", path)
		}
		return strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r"), true, nil
	}
	for key := range v {
		if key == "$env" || key == "$file" {
			return "", true, fmt.Errorf("%s stands beside other keys, want it alone in its object", key)
		}
	}
	return "", false, nil
}

// Mask hides every secret in text.
func (p *Params) Mask(text string) string {
	for _, secret := range p.secrets {
		text = strings.ReplaceAll(text, secret, "***")
	}
	return text
}

// Encode returns the object as a library reads it.
func (p *Params) Encode() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(p.object)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// Forget drops the configuration. What Mask hides stays.
func (p *Params) Forget() { p.object = nil }

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
