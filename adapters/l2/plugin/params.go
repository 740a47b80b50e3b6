package plugin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// decode returns what a factory gets: a new configuration, filled from params and
// validated, or a map if there is no type.
func decode(params json.RawMessage, newConfig func() any) (any, error) {
	if len(bytes.TrimSpace(params)) == 0 {
		params = json.RawMessage("{}")
	}
	if !json.Valid(params) {
		return nil, errors.New("adapter_params is not valid JSON")
	}
	if kind := kindOf(params); kind != "an object" {
		return nil, fmt.Errorf("adapter_params is %s, want an object", kind)
	}
	if newConfig == nil {
		raw := map[string]any{}
		return raw, json.Unmarshal(params, &raw)
	}
	config := newConfig()
	var s strictness
	s.check("adapter_params", params, reflect.TypeOf(config))
	if len(s.errs) > 0 {
		return nil, oneLine(errors.Join(s.errs...))
	}
	if err := json.Unmarshal(params, config); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			return nil, fmt.Errorf("adapter_params.%s is a %s, want %s", wrong.Field, wrong.Value, wrong.Type)
		}
		return nil, fmt.Errorf("adapter_params: %w", err)
	}
	if v, ok := config.(interface{ Validate() error }); ok {
		if err := v.Validate(); err != nil {
			return nil, fmt.Errorf("adapter_params: %w", oneLine(err))
		}
	}
	return config, nil
}

// kindOf names the kind of a valid JSON value.
func kindOf(raw json.RawMessage) string {
	switch bytes.TrimSpace(raw)[0] {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "a string"
	case 'n':
		return "null"
	case 't', 'f':
		return "a boolean"
	}
	return "a number"
}

// strictness finds what encoding/json passes over: keys that a type does not
// have, repeated keys, and null for what cannot be null.
type strictness struct{ errs []error }

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

func (s *strictness) fail(format string, args ...any) {
	s.errs = append(s.errs, fmt.Errorf(format, args...))
}

// check walks a valid JSON value beside the type that it will be decoded into.
func (s *strictness) check(path string, raw json.RawMessage, t reflect.Type) {
	kind := kindOf(raw)
	switch t.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Map, reflect.Slice:
		if kind == "null" {
			return
		}
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if reflect.PointerTo(t).Implements(unmarshaler) {
		return // it has rules of its own
	}
	switch {
	case kind == "null":
		s.fail("%s is null, want %s", path, t)
	case kind == "an object" && t.Kind() == reflect.Struct:
		fields := fieldsOf(t)
		s.object(path, raw, func(key string) reflect.Type { return fields[key] }, fields)
	case kind == "an object" && t.Kind() == reflect.Map:
		s.object(path, raw, func(string) reflect.Type { return t.Elem() }, nil)
	case kind == "a list" && (t.Kind() == reflect.Slice || t.Kind() == reflect.Array):
		var items []json.RawMessage
		_ = json.Unmarshal(raw, &items) // it is valid
		for i, item := range items {
			s.check(fmt.Sprintf("%s[%d]", path, i), item, t.Elem())
		}
	}
}

// object checks the members of a JSON object; typeOf returns nil for keys that
// are none of known.
func (s *strictness) object(path string, raw json.RawMessage, typeOf func(key string) reflect.Type, known map[string]reflect.Type) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	_, _ = dec.Token() // the brace
	seen := map[string]bool{}
	for dec.More() {
		token, _ := dec.Token()
		key, _ := token.(string)
		var value json.RawMessage
		_ = dec.Decode(&value)
		at := path + "." + key
		if quoted := strconv.Quote(key); quoted != `"`+key+`"` {
			at = path + "." + quoted // a message is one line of plain text
		}
		if seen[key] {
			s.fail("%s is given more than once", at)
		}
		seen[key] = true
		if t := typeOf(key); t != nil {
			s.check(at, value, t)
		} else if near := nearest(key, known); near != "" {
			s.fail("%s is an unknown key, did you mean %q?", at, near)
		} else {
			s.fail("%s is an unknown key; known keys: %s", at, names(known))
		}
	}
}

// fieldsOf returns the types of the members that encoding/json knows, by name.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported() || f.Anonymous && name == "":
		case name != "":
			fields[name] = f.Type
		default:
			fields[f.Name] = f.Type
		}
	}
	return fields
}

// nearest returns the known name with the smallest edit distance to word, "" if
// none is near enough to be what was meant.
func nearest(word string, known map[string]reflect.Type) string {
	best, bestDistance := "", len(word)/2+2
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if d := distance(word, name); d < bestDistance {
			best, bestDistance = name, d
		}
	}
	return best
}

// distance counts the insertions, deletions and replacements that make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
