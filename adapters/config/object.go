package config

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// object reads the members of one JSON object, with exact types, and remembers
// which keys were asked for.
type object struct {
	c     *checker
	path  string
	value *value
	known []string
}

func newObject(c *checker, path string, v *value) *object {
	return &object{c: c, path: path, value: v}
}

// join returns the path of the member key of the object at path.
func join(path, key string) string {
	if key == "" || strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		key = strconv.Quote(key) // a message is one line
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// fail records a problem of the member key.
func (o *object) fail(key, format string, args ...any) {
	o.c.fail(join(o.path, key), format, args...)
}

// take returns the member key, the last one if it is repeated.
func (o *object) take(key string) (*value, bool) {
	o.known = append(o.known, key)
	for i := len(o.value.members) - 1; i >= 0; i-- {
		if m := &o.value.members[i]; m.key == key {
			return m.value, true
		}
	}
	return nil, false
}

// sub returns the reader of the member key, or nil if v is no object.
func (o *object) sub(key string, v *value, want string) *object {
	if v.kind != kindObject {
		o.fail(key, "is %s, want %s", v, want)
		return nil
	}
	return newObject(o.c, join(o.path, key), v)
}

// text reads a string and reports whether the key is there at all.
func (o *object) text(key string, dst *string) bool {
	return o.textAs(key, func(s string) { *dst = s })
}

func (o *object) textAs(key string, set func(string)) bool {
	v, ok := o.take(key)
	switch {
	case !ok:
	case v.kind != kindString:
		o.fail(key, "is %s, want a string", v)
	default:
		set(v.text)
	}
	return ok
}

func (o *object) boolean(key string, dst *bool) {
	switch v, ok := o.take(key); {
	case !ok:
	case v.kind != kindBool:
		o.fail(key, "is %s, want true or false", v)
	default:
		*dst = v.raw == "true"
	}
}

func (o *object) number(key string, dst *float64) {
	v, ok := o.take(key)
	if !ok {
		return
	}
	if v.kind != kindNumber {
		o.fail(key, "is %s, want a number", v)
		return
	}
	f, err := strconv.ParseFloat(v.raw, 64)
	if err != nil || math.IsInf(f, 0) {
		o.fail(key, "is %s, want a finite number", v)
		return
	}
	*dst = f
}

// integer reads a whole number; 1.0 and 1e3 are not integers, as in LMCache.
func (o *object) integer(key string, least, most int64, set func(int64)) {
	v, ok := o.take(key)
	if !ok {
		return
	}
	if v.kind != kindNumber || strings.ContainsAny(v.raw, ".eE") {
		o.fail(key, "is %s, want an integer", v)
		return
	}
	n, err := strconv.ParseInt(v.raw, 10, 64)
	if errors.Is(err, strconv.ErrRange) {
		n = math.MaxInt64
		if v.raw[0] == '-' {
			n = math.MinInt64
		}
	}
	switch {
	case n < least && most == unbounded:
		o.fail(key, "is %s, want %d or more", v.raw, least)
	case n > most && most == unbounded:
		o.fail(key, "is %s, want at most %d", v.raw, most)
	case n < least || n > most:
		o.fail(key, "is %s, want %d to %d", v.raw, least, most)
	default:
		set(n)
	}
}

// finish reports the keys that nobody asked for, and repeated ones.
func (o *object) finish() {
	o.duplicates()
	for i := range o.value.members {
		key := o.value.members[i].key
		if contains(o.known, key) {
			continue
		}
		if near, ok := nearest(key, o.known); ok {
			o.fail(key, "is an unknown key, did you mean %q?", near)
		} else {
			o.fail(key, "is an unknown key; known keys: %s", strings.Join(sorted(o.known), ", "))
		}
	}
}

// duplicates reports the keys of this object that are given more than once.
func (o *object) duplicates() {
	seen := map[string]bool{}
	for i := range o.value.members {
		key := o.value.members[i].key
		if seen[key] {
			o.c.add(join(o.path, key), "is given more than once")
		}
		seen[key] = true
	}
}

// rest returns, as an object, the members that nobody asked for.
func (o *object) rest() Params {
	var b strings.Builder
	b.WriteByte('{')
	for i := range o.value.members {
		m := &o.value.members[i]
		if contains(o.known, m.key) {
			continue
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		b.WriteString(quoteJSON(m.key))
		b.WriteByte(':')
		b.WriteString(m.value.raw)
	}
	b.WriteByte('}')
	return Params(b.String())
}
