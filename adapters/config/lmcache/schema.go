package lmcache

import "encoding/json"

// Schema returns the JSON Schema of the configuration file.
func Schema() []byte {
	texts := map[string]any{"type": "array", "items": map[string]any{"type": "string"}}
	text := map[string]any{"type": "string"}
	types := map[kind]any{
		kindText: text, kindBool: map[string]any{"type": []string{"boolean", "string"}},
		kindInt: map[string]any{"type": []string{"integer", "string"}}, kindFloat: map[string]any{"type": []string{"number", "string"}},
		kindMap: map[string]any{"type": []string{"object", "string"}},
	}
	properties := map[string]any{}
	for _, f := range fields {
		one := types[f.kind]
		if one == nil {
			switch f.kind {
			case kindInts, kindFloats:
				one = map[string]any{"type": "array", "items": map[string]any{"type": "number"}}
			default:
				one = texts
			}
			one = map[string]any{"anyOf": []any{one, text}}
		}
		p := map[string]any{"anyOf": []any{one, map[string]any{"type": "null"}}}
		if f.def != nil {
			p["default"] = f.def
		}
		if !f.used {
			p["description"] = "accepted, without effect here"
		}
		properties[f.name] = p
	}
	for old, now := range renamed {
		properties[old] = map[string]any{"deprecated": true, "description": "older name of " + now, "anyOf": properties[now].(map[string]any)["anyOf"]}
	}
	out, _ := json.MarshalIndent(map[string]any{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "LMCache engine configuration",
		"type": "object", "properties": properties,
	}, "", "  ")
	return out
}
