package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// header is what the generator knows about connector.h.
type header struct {
	consts  []constant
	structs []structure
}

// constant is one object-like macro with a number or a string.
type constant struct {
	name  string // as in C
	value string // as a Go expression
	text  bool   // a string
}

type structure struct {
	name   string // as in C
	size   int
	fields []field
}

type field struct {
	name   string // as in C
	goType string
	offset int
	size   int
}

var (
	comment     = regexp.MustCompile(`(?s)/\*.*?\*/`)
	continued   = regexp.MustCompile(`\\\n`)
	define      = regexp.MustCompile(`(?m)^#define (SIXCALL_[A-Z0-9_]+) (.+)$`)
	bit         = regexp.MustCompile(`^\(UINT64_C\(1\) << (\d+)\)$`)
	number      = regexp.MustCompile(`^(-?(?:0x[0-9A-Fa-f]+|\d+))u?$`)
	structDef   = regexp.MustCompile(`(?s)typedef struct (sixcall_\w+) \{(.*?)\n\} (sixcall_\w+);`)
	funcPointer = regexp.MustCompile(`(?s)^[\w\s*]+\(\*(\w+)\)\(.*\)$`)
	variable    = regexp.MustCompile(`(?s)^((?:const )?\w+)\s*(\*?)\s*(\w+)(?:\[(\d+)\])?$`)
	assertSize  = regexp.MustCompile(`SIXCALL_ASSERT_SIZE\((sixcall_\w+), (\d+)\);`)
	assertField = regexp.MustCompile(`SIXCALL_ASSERT_FIELD\((sixcall_\w+), (\w+), (\d+), (\d+)\);`)
)

// scalars maps the C types that fields may have to Go types and their sizes.
var scalars = map[string]struct {
	goType string
	size   int
}{
	"uint8_t": {"uint8", 1}, "char": {"byte", 1}, "uint16_t": {"uint16", 2},
	"uint32_t": {"uint32", 4}, "int32_t": {"int32", 4}, "uint64_t": {"uint64", 8}, "int64_t": {"int64", 8},
}

func parse(text string) (*header, error) {
	text = continued.ReplaceAllString(comment.ReplaceAllString(text, ""), " ")
	h := &header{}
	for _, m := range define.FindAllStringSubmatch(text, -1) {
		value := strings.TrimSpace(m[2])
		switch {
		case bit.MatchString(value):
			value = "1 << " + bit.FindStringSubmatch(value)[1]
		case number.MatchString(value):
			value = number.FindStringSubmatch(value)[1]
		case value == "UINT64_MAX":
			value = "1<<64 - 1"
		case strings.HasPrefix(value, `"`):
			if _, err := strconv.Unquote(value); err != nil {
				return nil, fmt.Errorf("%s is %s: not a string that Go can read", m[1], value)
			}
			h.consts = append(h.consts, constant{m[1], value, true})
			continue
		case strings.HasPrefix(value, "__attribute__"):
			continue
		default:
			return nil, fmt.Errorf("%s is %s: a kind of value this generator does not know", m[1], value)
		}
		h.consts = append(h.consts, constant{m[1], value, false})
	}
	for _, m := range structDef.FindAllStringSubmatch(text, -1) {
		if m[1] != m[3] {
			return nil, fmt.Errorf("struct %s is typedef %s", m[1], m[3])
		}
		s, err := parseStruct(m[1], m[2])
		if err != nil {
			return nil, err
		}
		h.structs = append(h.structs, s)
	}
	return h, h.check(text)
}

// parseStruct lays the fields out; a gap is an error, as the ABI has no padding.
func parseStruct(name, body string) (structure, error) {
	s := structure{name: name}
	widest := 1
	for _, decl := range strings.Split(body, ";") {
		decl = strings.TrimSpace(decl)
		if decl == "" {
			continue
		}
		f, align, err := parseField(decl)
		if err != nil {
			return s, fmt.Errorf("struct %s: %w", name, err)
		}
		if s.size%align != 0 {
			return s, fmt.Errorf("struct %s: padding before %s", name, f.name)
		}
		f.offset = s.size
		s.size += f.size
		widest = max(widest, align)
		s.fields = append(s.fields, f)
	}
	if s.size%widest != 0 {
		return s, fmt.Errorf("struct %s: padding at the end", name)
	}
	return s, nil
}

func parseField(decl string) (f field, align int, err error) {
	if m := funcPointer.FindStringSubmatch(decl); m != nil {
		return field{name: m[1], goType: "uintptr", size: 8}, 8, nil
	}
	m := variable.FindStringSubmatch(decl)
	if m == nil {
		return f, 0, fmt.Errorf("cannot read %q", decl)
	}
	if m[2] == "*" {
		return field{name: m[3], goType: "uintptr", size: 8}, 8, nil
	}
	scalar, ok := scalars[m[1]]
	if !ok {
		return f, 0, fmt.Errorf("%s has type %s, which this generator does not know", m[3], m[1])
	}
	f = field{name: m[3], goType: scalar.goType, size: scalar.size}
	if m[4] != "" {
		n, _ := strconv.Atoi(m[4]) // the expression has matched digits
		f.goType, f.size = fmt.Sprintf("[%d]%s", n, scalar.goType), n*scalar.size
	}
	return f, scalar.size, nil
}

// check compares the computed layout with the header's assertions, both ways.
func (h *header) check(text string) error {
	sizes, places := map[string]string{}, map[string]string{}
	for _, m := range assertSize.FindAllStringSubmatch(text, -1) {
		sizes[m[1]] = m[2]
	}
	for _, m := range assertField.FindAllStringSubmatch(text, -1) {
		places[m[1]+"."+m[2]] = m[3] + "+" + m[4]
	}
	for _, s := range h.structs {
		if got := strconv.Itoa(s.size); sizes[s.name] != got {
			return fmt.Errorf("%s has %s bytes, the header asserts %q", s.name, got, sizes[s.name])
		}
		delete(sizes, s.name)
		for _, f := range s.fields {
			id, got := s.name+"."+f.name, fmt.Sprintf("%d+%d", f.offset, f.size)
			if places[id] != got {
				return fmt.Errorf("%s is at %s, the header asserts %q", id, got, places[id])
			}
			delete(places, id)
		}
	}
	if len(sizes)+len(places) != 0 {
		return fmt.Errorf("assertions about unknown things: %v %v", sizes, places)
	}
	return nil
}
