package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// kind is the type of a JSON value.
type kind int

const (
	kindNull kind = iota
	kindBool
	kindNumber
	kindString
	kindArray
	kindObject
)

// String returns the kind with its article.
func (k kind) String() string {
	return [...]string{"null", "a boolean", "a number", "a string", "an array", "an object"}[k]
}

// value is a JSON value that keeps what encoding/json forgets: the order of
// members, repeated members and the text of numbers.
type value struct {
	kind    kind
	raw     string   // the source text
	text    string   // of a string, decoded
	members []member // of an object
	elems   []*value // of an array
}

type member struct {
	key   string
	value *value
}

// String shows a value in an error message.
func (v *value) String() string {
	const longest = 60 // bytes
	switch v.kind {
	case kindBool, kindNumber:
		return shorten(v.raw, longest)
	case kindString:
		return "the string " + strconv.Quote(shorten(v.text, longest))
	}
	return v.kind.String()
}

func shorten(s string, longest int) string {
	if len(s) <= longest {
		return s
	}
	return strings.ToValidUTF8(s[:longest], "") + "..."
}

// parseJSON parses one JSON text. The error says at which byte, from 1, it is
// not JSON, and never quotes more than one character.
func parseJSON(data []byte) (*value, error) {
	if !utf8.Valid(data) {
		at := 0
		for at < len(data) {
			r, size := utf8.DecodeRune(data[at:])
			if r == utf8.RuneError && size == 1 {
				break
			}
			at += size
		}
		return nil, fmt.Errorf("invalid JSON at byte %d: not UTF-8", at+1)
	}
	var whole json.RawMessage
	if err := json.Unmarshal(data, &whole); err != nil {
		var syntax *json.SyntaxError
		if !errors.As(err, &syntax) {
			return nil, fmt.Errorf("invalid JSON: %w", err)
		}
		at := max(syntax.Offset, 1)
		rest := data[min(int(at)-1, len(data)):]
		if bytes.HasPrefix(rest, []byte("NaN")) || bytes.HasPrefix(rest, []byte("Infinity")) {
			return nil, fmt.Errorf("invalid JSON at byte %d: NaN and Infinity are not JSON numbers", at)
		}
		return nil, fmt.Errorf("invalid JSON at byte %d: %w", at, syntax)
	}
	p := &parser{data: data, dec: json.NewDecoder(bytes.NewReader(data))}
	p.dec.UseNumber()
	return p.next()
}

// parser builds values from a text that is known to be valid.
type parser struct {
	data []byte
	dec  *json.Decoder
}

func (p *parser) next() (*value, error) {
	token, err := p.dec.Token()
	if err != nil {
		return nil, err
	}
	v := &value{}
	switch t := token.(type) {
	case nil:
		v.kind, v.raw = kindNull, "null"
	case bool:
		v.kind, v.raw = kindBool, strconv.FormatBool(t)
	case json.Number:
		v.kind, v.raw = kindNumber, t.String()
	case string:
		v.kind, v.raw, v.text = kindString, quoteJSON(t), t
	case json.Delim:
		start := p.dec.InputOffset() - 1
		if t == '{' {
			v.kind = kindObject
		} else {
			v.kind = kindArray
		}
		if err := p.fill(v); err != nil {
			return nil, err
		}
		v.raw = string(p.data[start:p.dec.InputOffset()])
	}
	return v, nil
}

// fill reads the elements or members of v and its closing delimiter.
func (p *parser) fill(v *value) error {
	for p.dec.More() {
		var key string
		if v.kind == kindObject {
			token, err := p.dec.Token()
			if err != nil {
				return err
			}
			key, _ = token.(string)
		}
		elem, err := p.next()
		if err != nil {
			return err
		}
		if v.kind == kindObject {
			v.members = append(v.members, member{key: key, value: elem})
		} else {
			v.elems = append(v.elems, elem)
		}
	}
	_, err := p.dec.Token()
	return err
}

// eachDuplicate calls f with the path of every repeated key in v, at any depth.
func (v *value) eachDuplicate(path string, f func(path string)) {
	v.walk(path, func(path string, v *value) {
		seen := map[string]bool{}
		for _, m := range v.members {
			if seen[m.key] {
				f(join(path, m.key))
			}
			seen[m.key] = true
		}
	})
}

// walk calls f for v and every value below it.
func (v *value) walk(path string, f func(path string, v *value)) {
	f(path, v)
	for _, m := range v.members {
		m.value.walk(join(path, m.key), f)
	}
	for i, e := range v.elems {
		e.walk(fmt.Sprintf("%s[%d]", path, i), f)
	}
}

// quoteJSON returns s as a JSON string.
func quoteJSON(s string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string cannot fail
	return strings.TrimSuffix(b.String(), "\n")
}
