package main

import (
	"bytes"
	"fmt"
	"go/format"
	"strings"
)

const banner = "// Code generated from include/sixcall/connector.h by internal/abigen. DO NOT EDIT.\n\n"

// writeMirror returns the Go file with constants and structs.
func writeMirror(h *header) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(banner + "package native\n\n// The constants of connector.h.\nconst (\n")
	for _, c := range h.consts {
		fmt.Fprintf(&b, "%s = %s\n", goConst(c.name), c.value)
	}
	b.WriteString(")\n\n// Sizes and field offsets in bytes.\nconst (\n")
	for _, s := range h.structs {
		fmt.Fprintf(&b, "sizeof%s = %d\n", camel(s.name), s.size)
		for _, f := range s.fields {
			fmt.Fprintf(&b, "offsetof%s%s = %d\n", camel(s.name), camel(f.name), f.offset)
		}
	}
	b.WriteString(")\n")
	for _, s := range h.structs {
		fmt.Fprintf(&b, "\n// c%s mirrors %s. Pointers are addresses outside the Go heap.\ntype c%s struct {\n", camel(s.name), s.name, camel(s.name))
		for _, f := range s.fields {
			fmt.Fprintf(&b, "%s %s\n", camel(f.name), f.goType)
		}
		b.WriteString("}\n")
	}
	return format.Source(b.Bytes())
}

// writeProbe returns the Go test file that pairs C expressions with Go values.
func writeProbe(h *header) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(banner + "package native\n\nimport \"unsafe\"\n\n")
	b.WriteString("// ABIFact is a number that C and Go must agree on.\ntype ABIFact struct {\nC string\nGo uint64\n}\n\n")
	b.WriteString("// ABIFacts are all numbers of the header.\nvar ABIFacts = []ABIFact{\n")
	for _, c := range h.consts {
		switch {
		case c.text:
			fmt.Fprintf(&b, "{\"sizeof(%s) - 1\", uint64(len(%s))},\n", c.name, goConst(c.name))
		case strings.HasPrefix(c.value, "-"):
			fmt.Fprintf(&b, "{\"%s\", 1<<64 - %s},\n", c.name, c.value[1:])
		default:
			fmt.Fprintf(&b, "{\"%s\", %s},\n", c.name, goConst(c.name))
		}
	}
	for _, s := range h.structs {
		name := camel(s.name)
		fmt.Fprintf(&b, "{\"sizeof(%s)\", sizeof%s},\n{\"sizeof(%s)\", uint64(unsafe.Sizeof(c%s{}))},\n", s.name, name, s.name, name)
		for _, f := range s.fields {
			in, member := "offsetof("+s.name+", "+f.name+")", "c"+name+"{}."+camel(f.name)
			fmt.Fprintf(&b, "{\"%s\", offsetof%s%s},\n{\"%s\", uint64(unsafe.Offsetof(%s))},\n", in, name, camel(f.name), in, member)
			fmt.Fprintf(&b, "{\"sizeof(((%s *)0)->%s)\", uint64(unsafe.Sizeof(%s))},\n", s.name, f.name, member)
		}
	}
	b.WriteString("}\n\n// ABIStrings are the string constants of the header.\nvar ABIStrings = map[string]string{\n")
	for _, c := range h.consts {
		if c.text {
			fmt.Fprintf(&b, "%q: %s,\n", c.name, goConst(c.name))
		}
	}
	b.WriteString("}\n")
	return format.Source(b.Bytes())
}

// goConst turns SIXCALL_CAP_DELETE into cCapDelete.
func goConst(name string) string { return "c" + camel(strings.ToLower(name)) }

// camel turns sixcall_open_args into OpenArgs; fd, abi, api, json, ns, ms and rc stay in capitals.
func camel(name string) string {
	var b strings.Builder
	for _, part := range strings.Split(strings.TrimPrefix(name, "sixcall_"), "_") {
		switch part {
		case "fd", "abi", "api", "json", "ns", "ms", "rc":
			b.WriteString(strings.ToUpper(part))
		default:
			b.WriteString(strings.ToUpper(part[:1]) + part[1:])
		}
	}
	return b.String()
}
