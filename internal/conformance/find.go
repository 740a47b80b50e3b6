//go:build linux

package conformance

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// ProbeEnv names the variable with the path of sixcall-probe.
const ProbeEnv = "SIXCALL_PROBE"

// FindProbe returns the path of the program sixcall-probe, or of a flavour of it such
// as "sixcall-probe-asan". Places, in order: path, $SIXCALL_PROBE (a flavour lies
// beside it), the folder of this program, ../libexec/sixcall and cpp/libexec/sixcall
// from there, and ../libexec/sixcall from each folder of $SIXCALL_CONNECTOR_PATH and
// from the library's own folder.
func FindProbe(path, library, name string) (string, error) {
	if path == "" {
		path = os.Getenv(ProbeEnv)
	}
	var places []string
	if path != "" {
		places = append(places, filepath.Join(filepath.Dir(path), name))
		if name == "sixcall-probe" {
			places = []string{path}
		}
	} else {
		if self, err := os.Executable(); err == nil {
			dir := filepath.Dir(self)
			places = append(places, filepath.Join(dir, name), filepath.Join(dir, "..", "libexec", "sixcall", name), filepath.Join(dir, "cpp", "libexec", "sixcall", name))
		}
		dirs := append(filepath.SplitList(os.Getenv("SIXCALL_CONNECTOR_PATH")), filepath.Dir(library))
		for _, dir := range dirs {
			if filepath.IsAbs(dir) {
				places = append(places, filepath.Join(dir, "..", "libexec", "sixcall", name), filepath.Join(dir, "..", "..", "libexec", "sixcall", name), filepath.Join(dir, "..", "..", "..", "libexec", "sixcall", name))
			}
		}
	}
	for _, place := range places {
		if info, err := os.Stat(place); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return filepath.Abs(place)
		}
	}
	if len(places) == 0 {
		return "", errors.New("there is no place to look for " + name)
	}
	return "", fmt.Errorf("%s is in none of the places tried: %s; build it with `make cpp`, or name it with --probe or $%s", name, strings.Join(places, ", "), ProbeEnv)
}

// FindFile returns path, or an error that says how to get it.
func FindFile(path string) (string, error) {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return "", fmt.Errorf("there is no %s; build it with `make cpp`", path)
	}
	return path, nil
}
