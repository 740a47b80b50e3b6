// Command abigen writes the Go mirror of connector.h: constants, structs, sizes
// and field offsets, and the list that the ABI test compares with a C compiler.
//
//	abigen -header include/sixcall/connector.h -out abi_gen.go -test abi_gen_test.go
//
// It reads the header's own text, computes the layout of every struct by the
// rules of a 64-bit C ABI and fails when the header's SIXCALL_ASSERT_ lines
// say otherwise.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	header := flag.String("header", "include/sixcall/connector.h", "the header to read")
	out := flag.String("out", "abi_gen.go", "the Go file to write")
	test := flag.String("test", "abi_gen_test.go", "the Go test file to write")
	flag.Parse()
	if err := run(*header, *out, *test); err != nil {
		fmt.Fprintln(os.Stderr, "abigen:", err)
		os.Exit(1)
	}
}

func run(source, out, test string) error {
	text, err := os.ReadFile(source)
	if err != nil {
		return err
	}
	abi, err := parse(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", source, err)
	}
	for _, f := range []struct {
		path  string
		write func(*header) ([]byte, error)
	}{{out, writeMirror}, {test, writeProbe}} {
		code, err := f.write(abi)
		if err != nil {
			return err
		}
		if err := os.WriteFile(f.path, code, 0o644); err != nil {
			return err
		}
	}
	return nil
}
