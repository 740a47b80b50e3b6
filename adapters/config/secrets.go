package config

import (
	"regexp"
	"strings"
)

// Params is a JSON object that may hold secrets. Printing or marshalling it
// masks them; a conversion to string gives the real text.
//
// {"$env": "NAME"} and {"$file": "/path"} stand for secrets. They are looked up
// when the connector is opened, never kept.
type Params string

// mask stands for a secret.
const mask = `"***"`

var (
	secretKey = regexp.MustCompile(`(?i)password|passwd|secret|token|key_id|access_key|credential`)
	// userInfo is the part of a URL that may hold a password.
	userInfo = regexp.MustCompile(`://[^/@\s]*@`)
	// query is a password in the query of a URL.
	query = regexp.MustCompile(`(?i)([?&][^=&]*(?:password|passwd|secret|token)[^=&]*=)[^&\s]*`)
)

// The keys of a reference to a secret, such as {"$env": "REDIS_PASSWORD"}.
const (
	refEnv  = "$env"
	refFile = "$file"
)

// String returns the object with every secret masked. References such as
// {"$env": "REDIS_PASSWORD"} are no secrets and stay.
func (p Params) String() string {
	root, err := parseJSON([]byte(p))
	if err != nil {
		return mask // what cannot be read cannot be masked in part
	}
	var b strings.Builder
	write(&b, root, func(key string, v *value) (string, bool) {
		switch {
		case isReference(v):
			return "", false
		case secretKey.MatchString(key):
			return mask, true
		case v.kind == kindString && strings.Contains(v.text, "://"):
			text := userInfo.ReplaceAllString(v.text, "://***@")
			return quoteJSON(query.ReplaceAllString(text, "$1***")), true
		}
		return "", false
	})
	return b.String()
}

// GoString is String, so that %#v does not show secrets either.
func (p Params) GoString() string { return "config.Params" + p.String() }

// MarshalJSON is String.
func (p Params) MarshalJSON() ([]byte, error) {
	if p == "" {
		return []byte("{}"), nil
	}
	return []byte(p.String()), nil
}

// isReference reports whether v is {"$env": "..."} or {"$file": "..."}.
func isReference(v *value) bool {
	if v.kind != kindObject || len(v.members) != 1 {
		return false
	}
	m := v.members[0]
	return (m.key == refEnv || m.key == refFile) && m.value.kind == kindString
}

// checkReferences reports objects that look like references and are none.
func checkReferences(c *checker, path string, root *value) {
	root.walk(path, func(path string, v *value) {
		for _, m := range v.members {
			if (m.key == refEnv || m.key == refFile) && !isReference(v) {
				c.fail(path, "is no reference: want {%q: NAME} with a string and no other key", m.key)
				return
			}
		}
	})
}

// write writes v without blanks. replace may give another text for a value; key
// is that of the innermost member around it.
func write(b *strings.Builder, v *value, replace func(key string, v *value) (string, bool)) {
	var walk func(key string, v *value)
	walk = func(key string, v *value) {
		if text, ok := replace(key, v); ok {
			b.WriteString(text)
			return
		}
		switch v.kind {
		case kindObject:
			b.WriteByte('{')
			for i, m := range v.members {
				if i > 0 {
					b.WriteByte(',')
				}
				b.WriteString(quoteJSON(m.key))
				b.WriteByte(':')
				walk(m.key, m.value)
			}
			b.WriteByte('}')
		case kindArray:
			b.WriteByte('[')
			for i, e := range v.elems {
				if i > 0 {
					b.WriteByte(',')
				}
				walk(key, e)
			}
			b.WriteByte(']')
		default:
			b.WriteString(v.raw)
		}
	}
	walk("", v)
}
