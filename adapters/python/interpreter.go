package python

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Find returns the path of the interpreter that given names: a program, the folder of
// a virtual environment, or a name to be looked up on PATH. "" means python3.
func Find(given string) (string, error) {
	name := given
	if name == "" {
		name = "python3"
	}
	if !strings.Contains(name, "/") {
		path, err := exec.LookPath(name)
		if err != nil {
			return "", fmt.Errorf("python is %q, and no folder of PATH (%s) has it; want an interpreter or the folder of a virtual environment", name, os.Getenv("PATH"))
		}
		return filepath.Abs(path)
	}
	path, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		// The link itself: that is how an interpreter knows its environment.
		inside := filepath.Join(path, "bin", "python")
		if info, err = os.Stat(inside); err != nil {
			return "", fmt.Errorf("python is %q, a folder that is no virtual environment: it has no bin/python", given)
		}
		path = inside
	}
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "", fmt.Errorf("python is %q: no such file; want an interpreter or the folder of a virtual environment", given)
	case err != nil:
		return "", fmt.Errorf("python is %q: %w", given, err)
	case !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0:
		return "", fmt.Errorf("python is %q, which is not executable; want an interpreter or the folder of a virtual environment", given)
	}
	return path, nil
}
