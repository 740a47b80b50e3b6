//go:build linux

package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// schema is the subset of JSON Schema that connectors use.
type schema struct {
	Types       types              `json:"type"`
	Properties  map[string]*schema `json:"properties"`
	Required    []string           `json:"required"`
	Enum        []any              `json:"enum"`
	Minimum     *float64           `json:"minimum"`
	Maximum     *float64           `json:"maximum"`
	Default     any                `json:"default"`
	Description string             `json:"description"`
}

type types []string

func (t *types) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*t = types{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(t))
}

// parseSchema reads a config_schema and says what is wrong with it.
func parseSchema(text string) (*schema, error) {
	s := &schema{}
	if err := json.Unmarshal([]byte(text), s); err != nil {
		return nil, fmt.Errorf("config_schema is no JSON Schema: %w", err)
	}
	if !slices.Equal(s.Types, types{"object"}) {
		return nil, fmt.Errorf("config_schema has the type %q, want \"object\"", strings.Join(s.Types, ", "))
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		p := s.Properties[name]
		if p == nil {
			errs = append(errs, fmt.Errorf("the property %s is null", name))
			continue
		}
		for _, t := range p.Types {
			if !slices.Contains([]string{"object", "array", "string", "integer", "number", "boolean", "null"}, t) {
				errs = append(errs, fmt.Errorf("the property %s has the type %q", name, t))
			}
		}
		if p.Minimum != nil && p.Maximum != nil && *p.Minimum > *p.Maximum {
			errs = append(errs, fmt.Errorf("the property %s has a minimum above its maximum", name))
		}
		if p.Default != nil {
			if why := p.wrong(p.Default); why != "" {
				errs = append(errs, fmt.Errorf("the default of %s %s", name, why))
			}
		}
	}
	for _, name := range s.Required {
		if s.Properties[name] == nil {
			errs = append(errs, fmt.Errorf("%s is required, but no property", name))
		}
	}
	return s, errors.Join(errs...)
}

// undocumented lists properties without a description or a type.
func (s *schema) undocumented() (names []string) {
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		if p := s.Properties[name]; p.Description == "" || len(p.Types) == 0 && len(p.Enum) == 0 {
			names = append(names, name)
		}
	}
	return names
}

// validate says what in the configuration breaks the schema.
func (s *schema) validate(params object) (errs []error) {
	for _, key := range slices.Sorted(maps.Keys(params)) {
		p := s.Properties[key]
		switch {
		case p != nil:
			if why := p.wrong(params[key]); why != "" {
				errs = append(errs, fmt.Errorf("%s %s", key, why))
			}
		case strings.HasPrefix(key, "x-") || key == "lazy":
		default:
			errs = append(errs, fmt.Errorf("%s is no property", key))
		}
	}
	for _, key := range s.Required {
		if _, ok := params[key]; !ok {
			errs = append(errs, fmt.Errorf("%s is missing", key))
		}
	}
	return errs
}

// wrong says why a value does not fit, or "". It never shows the value.
func (s *schema) wrong(value any) string {
	if number, ok := value.(json.Number); ok {
		f, err := number.Float64()
		if err != nil {
			return "is no number"
		}
		value = f
	}
	if len(s.Types) > 0 && !slices.ContainsFunc(s.Types, func(t string) bool { return hasType(value, t) }) {
		return "is not of type " + strings.Join(s.Types, " or ")
	}
	if len(s.Enum) > 0 && !slices.Contains(s.Enum, value) {
		return "is none of the values of its enum"
	}
	if f, ok := value.(float64); ok {
		if s.Minimum != nil && f < *s.Minimum || s.Maximum != nil && f > *s.Maximum {
			return "is out of range"
		}
	}
	return ""
}

func hasType(value any, name string) bool {
	switch v := value.(type) {
	case nil:
		return name == "null"
	case bool:
		return name == "boolean"
	case string:
		return name == "string"
	case float64:
		return name == "number" || name == "integer" && v == math.Trunc(v)
	case []any:
		return name == "array"
	case map[string]any:
		return name == "object"
	}
	return false
}
