package worker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/sixcall/sixcall/bridge/kv"
)

// ProgramEnv names the worker program when [Options].Program does not. A process
// with raised privileges ignores it.
const ProgramEnv = "SIXCALL_WORKER"

// programName is the file name of the worker program.
const programName = "sixcall-worker"

// FindProgram returns the path of the worker program; given is [Options].Program.
// A failure is a kv.Error with code kv.Config that lists every place and why each
// was not it.
func FindProgram(given string) (string, error) {
	fail := func(format string, args ...any) (string, error) {
		return "", &kv.Error{Op: "find", Connector: programName, Code: kv.Config, Err: fmt.Errorf(format, args...)}
	}
	if given != "" {
		path, err := filepath.Abs(given)
		if err != nil {
			return fail("%v", err)
		}
		if why := notAProgram(path); why != "" {
			return fail("Program is %q: %s", path, why)
		}
		return path, nil
	}
	var tried []string
	if raised, why := raisedPrivileges(); raised {
		tried = append(tried, ProgramEnv+" is ignored, "+why)
	} else if env := os.Getenv(ProgramEnv); env == "" {
		tried = append(tried, ProgramEnv+" is not set")
	} else if !filepath.IsAbs(env) {
		return fail("%s is %q, want an absolute path", ProgramEnv, env)
	} else if why := notAProgram(env); why != "" {
		return fail("%s is %q: %s", ProgramEnv, env, why)
	} else {
		return env, nil
	}
	for _, dir := range programDirs() {
		path := filepath.Join(dir, programName)
		why := notAProgram(path)
		if why == "" {
			return path, nil
		}
		tried = append(tried, fmt.Sprintf("%q: %s", path, why))
	}
	return fail("the program is in none of the places tried: %s; install it, or name it with the setting Program or with %s",
		strings.Join(tried, "; "), ProgramEnv)
}

// programDirs lists the folders of the program in the order of the search.
func programDirs() []string {
	var dirs []string
	if self, err := os.Executable(); err == nil {
		if real, err := filepath.EvalSymlinks(self); err == nil {
			self = real
		}
		dir := filepath.Dir(self)
		dirs = append(dirs, dir, filepath.Join(dir, "..", "libexec", "sixcall"))
	}
	return append(dirs, "/usr/local/libexec/sixcall", "/usr/libexec/sixcall")
}

// notAProgram says why path cannot be run, or "".
func notAProgram(path string) string {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "no such file"
	case err != nil:
		var pathErr *os.PathError
		if errors.As(err, &pathErr) {
			err = pathErr.Err
		}
		return err.Error()
	case info.IsDir():
		return "a folder, not a file"
	case !info.Mode().IsRegular():
		return "not a regular file"
	case info.Mode().Perm()&0o111 == 0:
		return "not executable"
	}
	return ""
}
