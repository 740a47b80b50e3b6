package native

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/sixcall/sixcall/bridge/kv"
)

// SearchPathEnv is a colon-separated list of folders that [Find] searches.
const SearchPathEnv = "SIXCALL_CONNECTOR_PATH"

// A place is a folder to search, or why a place is not searched.
type place struct {
	dir    string
	skip   string // a reason, "" = search it
	origin string
}

// Find returns the absolute path of a connector library.
//
// A connector with a '/' is a path to a file. Any other is a bare name such as
// "redis", for which libsixcall_redis.so is looked up in: searchPath,
// $SIXCALL_CONNECTOR_PATH, $XDG_CONFIG_HOME/sixcall/connectors,
// /usr/lib/<multiarch>/sixcall and /usr/local/lib/sixcall. The working folder is
// never searched, relative entries are skipped, and a process with raised
// privileges ignores its environment.
//
// A failure is a [kv.Error] with code [kv.Config] that lists every place and why
// each was not it. Find only looks at names: [Inspect] and [Open] check the file.
func Find(connector string, searchPath []string) (string, error) {
	fail := func(format string, args ...any) (string, error) {
		return "", &kv.Error{Op: "find", Connector: connector, Code: kv.Config, Err: fmt.Errorf(format, args...)}
	}
	if connector == "" || strings.ContainsRune(connector, 0) {
		return fail("want a path or a name")
	}
	if strings.Contains(connector, "/") {
		path, err := filepath.Abs(connector)
		if err != nil {
			return fail("%v", err)
		}
		if why := notALibrary(path); why != "" {
			return fail("%q: %s", path, why)
		}
		return path, nil
	}
	if strings.HasSuffix(connector, ".so") {
		return fail("the working folder is never searched; write %q for a file in it, or the bare name", "./"+connector)
	}
	if strings.Trim(connector, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "" {
		return fail("a bare name has letters, digits, '_' and '-' only")
	}
	file := "libsixcall_" + connector + ".so"
	var tried []string
	for _, p := range places(searchPath) {
		if p.skip != "" {
			tried = append(tried, fmt.Sprintf("%s: %s", p.origin, p.skip))
			continue
		}
		path := filepath.Join(p.dir, file)
		why := notALibrary(path)
		if why == "" {
			return path, nil
		}
		tried = append(tried, fmt.Sprintf("%q: %s", path, why))
	}
	return fail("no %s in any of the %d places tried: %s", file, len(tried), strings.Join(tried, "; "))
}

// places lists where bare names are looked up, in order.
func places(searchPath []string) []place {
	var list []place
	add := func(dir, origin string) {
		switch {
		case dir == "":
			list = append(list, place{origin: origin, skip: "an empty entry is ignored"})
		case !filepath.IsAbs(dir):
			list = append(list, place{origin: origin, skip: fmt.Sprintf("%q is ignored, only absolute folders are searched", dir)})
		default:
			list = append(list, place{dir: filepath.Clean(dir), origin: origin})
		}
	}
	for _, dir := range searchPath {
		add(dir, "the search path given")
	}
	if raised, why := raisedPrivileges(); raised {
		list = append(list, place{origin: SearchPathEnv + " and the home folder", skip: "ignored, " + why})
	} else {
		if env := os.Getenv(SearchPathEnv); env == "" {
			list = append(list, place{origin: SearchPathEnv, skip: "not set"})
		} else {
			for _, dir := range filepath.SplitList(env) {
				add(dir, SearchPathEnv)
			}
		}
		if config, err := os.UserConfigDir(); err != nil {
			list = append(list, place{origin: "the home folder", skip: err.Error()})
		} else {
			add(filepath.Join(config, "sixcall", "connectors"), "the home folder")
		}
	}
	add(filepath.Join("/usr/lib", multiarch(), "sixcall"), "the system")
	add("/usr/local/lib/sixcall", "the system")
	return list
}

// notALibrary says why path cannot be a library, or "".
func notALibrary(path string) string {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if link, err := os.Readlink(path); err == nil {
			return fmt.Sprintf("a symbolic link to %q, which does not exist", link)
		}
		return "no such file"
	case err != nil:
		var pathErr *fs.PathError
		if errors.As(err, &pathErr) {
			err = pathErr.Err
		}
		return err.Error()
	case info.IsDir():
		return "a folder, not a file"
	case !info.Mode().IsRegular():
		return "not a regular file"
	}
	return ""
}

// multiarch is Debian's name of the platform.
func multiarch() string {
	if runtime.GOARCH == "arm64" {
		return "aarch64-linux-gnu"
	}
	return "x86_64-linux-gnu"
}
