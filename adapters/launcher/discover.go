package launcher

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Discover returns the scripts of the locations, each once, in the order of the
// locations and sorted within each. A location is a script or a folder; folders
// are searched with all below them for names that end in .py or .sh, and for
// executable files that begin with "#!". A file that is named itself is taken
// whatever its name.
//
// What cannot be read is left out; err joins the reasons and does not make the
// list useless.
func Discover(locations []string) (scripts []string, err error) {
	seen := map[string]bool{}
	var errs []error
	for _, location := range locations {
		found, err := search(location)
		if err != nil {
			errs = append(errs, fmt.Errorf("plugin location %q: %w", location, err))
		}
		for _, path := range found {
			real, err := filepath.EvalSymlinks(path)
			if err != nil {
				errs = append(errs, fmt.Errorf("plugin %q: %w", path, err))
				continue
			}
			if !seen[real] {
				seen[real] = true
				scripts = append(scripts, path)
			}
		}
	}
	return scripts, errors.Join(errs...)
}

func search(location string) (found []string, err error) {
	info, err := os.Stat(location)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{location}, nil
	}
	var errs []error
	_ = filepath.WalkDir(location, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			errs = append(errs, err)
		case !entry.IsDir() && isScript(path):
			found = append(found, path)
		}
		return nil
	})
	slices.Sort(found)
	return found, errors.Join(errs...)
}

func isScript(path string) bool {
	name := filepath.Base(path)
	info, err := os.Stat(path) // follows links
	if err != nil || !info.Mode().IsRegular() || name == "__init__.py" {
		return false
	}
	if strings.HasSuffix(name, ".py") || strings.HasSuffix(name, ".sh") {
		return true
	}
	return info.Mode()&0o111 != 0 && firstLine(path) != ""
}
