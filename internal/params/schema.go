package params

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// Schema is the subset of JSON Schema that connectors use. Other keywords are
// read over. It is constant and safe for concurrent use.
type Schema struct {
	Types      typeList           `json:"type"`
	Properties map[string]*Schema `json:"properties"`
	Items      *Schema            `json:"items"`
	Required   []string           `json:"required"`
	Enum       []any              `json:"enum"`
	Minimum    json.Number        `json:"minimum"`
	Maximum    json.Number        `json:"maximum"`
	// Additional is false only when the schema says so or says nothing.
	Additional json.RawMessage `json:"additionalProperties"`
}

// typeList is one type or a list of types.
type typeList []string

var typeNames = []string{"object", "array", "string", "integer", "number", "boolean", "null"}

func (t *typeList) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*t = typeList{one}
	} else if err := json.Unmarshal(data, (*[]string)(t)); err != nil {
		return errors.New("type is neither a string nor a list of strings")
	}
	for _, name := range *t {
		if !slices.Contains(typeNames, name) {
			return fmt.Errorf("type is %q, want one of %s", name, strings.Join(typeNames, ", "))
		}
	}
	return nil
}

// ParseSchema reads a library's config_schema and checks the schema itself.
func ParseSchema(text string) (*Schema, error) {
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	s := &Schema{}
	if err := dec.Decode(s); err != nil {
		return nil, err
	}
	if dec.More() {
		return nil, errors.New("text after the schema's object")
	}
	if !slices.Equal(s.Types, typeList{"object"}) {
		return nil, fmt.Errorf("its type is %q, want \"object\"", []string(s.Types))
	}
	return s, s.check("")
}

func (s *Schema) check(at string) error {
	for _, name := range s.Required {
		if s.Properties[name] == nil {
			return fmt.Errorf("%q is required, but not among the properties", join(at, name))
		}
	}
	if s.Items != nil {
		if err := s.Items.check(at + "[]"); err != nil {
			return err
		}
	}
	for name, property := range s.Properties {
		if property == nil {
			return fmt.Errorf("property %q is null", join(at, name))
		}
		if err := property.check(join(at, name)); err != nil {
			return err
		}
	}
	return nil
}

// Validate reports everything in p that breaks the schema, and turns secrets that
// stand for numbers and booleans into those.
func (s *Schema) Validate(p *Params) []error { return s.validate(p.object, "") }

// validate reports everything in the object that breaks the schema, and turns
// secrets that stand for numbers and booleans into those.
func (s *Schema) validate(object map[string]any, at string) (errs []error) {
	for _, key := range sortedKeys(object) {
		property := s.Properties[key]
		switch {
		case property != nil:
			object[key] = property.convert(object[key])
			errs = append(errs, property.value(object[key], join(at, key))...)
		case strings.HasPrefix(key, "x-"):
		case at == "" && key == "lazy": // defined by the ABI for every connector
			if _, ok := object[key].(bool); !ok {
				errs = append(errs, fmt.Errorf("lazy is %s, want true or false", show(object[key])))
			}
		case string(s.Additional) == "true":
		default:
			errs = append(errs, fmt.Errorf("%s is not a known key%s", join(at, key), s.suggest(key)))
		}
	}
	for _, name := range s.Required {
		if _, ok := object[name]; !ok {
			errs = append(errs, fmt.Errorf("%s is missing", join(at, name)))
		}
	}
	return errs
}

// value checks one value; the first thing that is wrong with it is enough.
func (s *Schema) value(v any, at string) []error {
	if len(s.Types) > 0 && !slices.ContainsFunc(s.Types, func(name string) bool { return hasType(v, name) }) {
		return []error{fmt.Errorf("%s is %s, want %s", at, show(v), strings.Join(s.Types, " or "))}
	}
	if len(s.Enum) > 0 && !slices.ContainsFunc(s.Enum, func(e any) bool { return equal(v, e) }) {
		want := make([]string, len(s.Enum))
		for i, e := range s.Enum {
			want[i] = show(e)
		}
		return []error{fmt.Errorf("%s is %s, want one of %s", at, show(v), strings.Join(want, ", "))}
	}
	switch v := v.(type) {
	case json.Number:
		if s.Minimum != "" && compare(v, s.Minimum) < 0 || s.Maximum != "" && compare(v, s.Maximum) > 0 {
			return []error{fmt.Errorf("%s is %s, want %s", at, v, s.bounds())}
		}
	case map[string]any:
		if s.Properties != nil {
			return s.validate(v, at)
		}
	case []any:
		var errs []error
		for i := range v {
			if s.Items != nil {
				v[i] = s.Items.convert(v[i])
				errs = append(errs, s.Items.value(v[i], fmt.Sprintf("%s[%d]", at, i))...)
			}
		}
		return errs
	}
	return nil
}

func (s *Schema) bounds() string {
	switch {
	case s.Minimum == "":
		return "at most " + s.Maximum.String()
	case s.Maximum == "":
		return "at least " + s.Minimum.String()
	}
	return s.Minimum.String() + " to " + s.Maximum.String()
}

// convert makes a number or boolean of a secret whose type is not string.
func (s *Schema) convert(v any) any {
	secret, ok := v.(resolved)
	if !ok || len(s.Types) == 0 || slices.Contains(s.Types, "string") {
		return v
	}
	dec := json.NewDecoder(bytes.NewReader([]byte(secret)))
	dec.UseNumber()
	var scalar any
	if dec.Decode(&scalar) != nil || dec.More() {
		return v
	}
	switch scalar.(type) {
	case json.Number, bool:
		return scalar
	}
	return v
}

// suggest names the known key that is nearest to key, if one is near.
func (s *Schema) suggest(key string) string {
	best, distance := "", 1+len(key)/3
	var known []string
	for name := range s.Properties {
		known = append(known, name)
	}
	slices.Sort(known)
	for _, name := range known {
		if d := editDistance(strings.ToLower(key), strings.ToLower(name)); d <= distance && (best == "" || d < distance) {
			best, distance = name, d
		}
	}
	switch {
	case best != "":
		return fmt.Sprintf("; did you mean %s?", best)
	case len(known) == 0:
		return "; this connector has none"
	}
	return "; known are " + strings.Join(known, ", ")
}

// editDistance counts insertions, deletions, replacements and swaps of neighbours.
func editDistance(a, b string) int {
	previous, row, next := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next[j] = min(row[j]+1, next[j-1]+1, row[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], previous[j-2]+1)
			}
		}
		previous, row, next = row, next, previous
	}
	return row[len(b)]
}

func hasType(v any, name string) bool {
	switch v := v.(type) {
	case nil:
		return name == "null"
	case bool:
		return name == "boolean"
	case string, resolved:
		return name == "string"
	case json.Number:
		if name == "integer" {
			r, ok := rational(v)
			return ok && r.IsInt()
		}
		return name == "number"
	case []any:
		return name == "array"
	case map[string]any:
		return name == "object"
	}
	return false
}

// typeOf names the JSON type of v.
func typeOf(v any) string {
	for _, name := range typeNames {
		if name != "integer" && hasType(v, name) {
			return "a JSON " + name
		}
	}
	return "nothing"
}

// show renders a value for an error; never a secret, never much.
func show(v any) string {
	switch v := v.(type) {
	case resolved:
		return "a secret string"
	case []any, map[string]any:
		return typeOf(v)
	case string:
		if len(v) > 64 {
			return fmt.Sprintf("%q...", v[:64])
		}
		return fmt.Sprintf("%q", v)
	case nil:
		return "null"
	}
	return fmt.Sprint(v)
}

func equal(v, e any) bool {
	if secret, ok := v.(resolved); ok {
		v = string(secret)
	}
	a, aok := v.(json.Number)
	b, bok := e.(json.Number)
	if aok && bok {
		return compare(a, b) == 0
	}
	switch v.(type) {
	case string, bool, nil:
		return v == e
	}
	return false
}

// rational reads a number exactly. ok is false for one whose exponent would make
// it enormous.
func rational(n json.Number) (r *big.Rat, ok bool) {
	if _, exponent, found := strings.Cut(strings.ToLower(n.String()), "e"); found && len(strings.TrimLeft(exponent, "+-0")) > 3 || len(n) > 512 {
		return nil, false
	}
	return new(big.Rat).SetString(n.String())
}

func compare(a, b json.Number) int {
	x, xok := rational(a)
	y, yok := rational(b)
	if !xok || !yok { // beyond any sensible bound: refuse it as too large
		return 1
	}
	return x.Cmp(y)
}

func join(at, key string) string {
	if at == "" {
		return key
	}
	return at + "." + key
}
