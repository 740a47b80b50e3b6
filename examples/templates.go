// Package examples holds the small projects that `sixcall new` writes: they are the
// examples connector-c, connector-cpp and connector-cpp-async, with another name.
package examples

import "embed"

// Templates has a folder per language, "connector-" and its name.
//
//go:embed connector-*/*.c connector-*/*.cpp connector-*/*.h connector-*/CMakeLists.txt connector-*/Makefile
//go:embed connector-*/README.md connector-*/.gitignore connector-*/.github
var Templates embed.FS
