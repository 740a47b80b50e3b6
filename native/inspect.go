//go:build linux && (amd64 || arm64)

package native

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/sixcall/sixcall/bridge/kv"
)

// fileID tells whether a path still leads to the bytes that were checked.
type fileID struct {
	dev, ino    uint64
	size, mtime int64 // bytes, nanoseconds
}

func identify(info os.FileInfo) fileID {
	st := info.Sys().(*syscall.Stat_t) // always on Linux
	return fileID{uint64(st.Dev), st.Ino, info.Size(), info.ModTime().UnixNano()}
}

// checks chooses what inspectFile does beyond the checks that always run.
type checks struct {
	digest         bool   // compute the SHA-256 even when none is pinned
	sha256         string // pinned, "" = any
	allowGoRuntime bool
	isolated       bool // another process will load it
}

// Inspect reports everything that can be known about the library at path, which
// [Find] returned or the user gave. With load it also loads the library into
// this process, unless it is refused, and reads its table; it does not open a
// connection. A library once loaded stays for the life of the process.
//
// What is wrong with the library is in the report; an error means that the file
// could not be read at all.
func Inspect(path string, load bool) (*Report, error) {
	report, id, err := inspectFile(path, checks{digest: true})
	if err != nil {
		return nil, err
	}
	if load && report.Err() == nil {
		lib, err := loadChecked(report, id)
		if err != nil {
			var kvErr *kv.Error
			if errors.As(err, &kvErr) && kvErr.Err != nil {
				report.refuse(kvErr.Code, "%v", kvErr.Err)
			} else {
				report.refuse(kv.Internal, "%v", err)
			}
			return report.conclude(), nil
		}
		sum := report.SHA256
		report = lib.report.clone()
		report.SHA256 = sum
	}
	return report.conclude(), nil
}

// InspectIsolated is [Inspect], without load, of a library that is to run in a
// process of its own: a Go runtime within it is no reason to refuse it there.
// sha256, when not empty, is the only content that is accepted, in hex.
func InspectIsolated(path, sha256 string) (*Report, error) {
	report, _, err := inspectFile(path, checks{digest: true, sha256: sha256, isolated: true})
	return report, err
}

// inspectFile runs every check that needs no code of the library.
func inspectFile(path string, c checks) (*Report, fileID, error) {
	fail := func(err error) (*Report, fileID, error) {
		return nil, fileID{}, &kv.Error{Op: "inspect", Connector: path, Code: kv.Config, Err: err}
	}
	real, err := filepath.Abs(path)
	if err != nil {
		return fail(err)
	}
	if real, err = filepath.EvalSymlinks(real); err != nil {
		return fail(err)
	}
	if why := notALibrary(real); why != "" { // before open: a FIFO would block it
		return fail(errors.New(why))
	}
	f, err := os.Open(real)
	if err != nil {
		return fail(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fail(err)
	}
	r := &Report{Path: real, Size: info.Size()}
	checkTrust(r, real)
	if c.sha256 != "" || c.digest {
		if r.SHA256, err = digest(f, r.Size); err != nil {
			return fail(err)
		}
		if c.sha256 != "" && !strings.EqualFold(c.sha256, r.SHA256) {
			r.refuse(kv.Config, "the file is not the one that is pinned: its sha256 is %s, want %s", r.SHA256, strings.ToLower(c.sha256))
		}
	}
	img, err := openImage(f, r.Size)
	if err != nil {
		r.refuse(kv.Config, "%v", err)
		return r.conclude(), identify(info), nil
	}
	img.survey(r, c)
	return r.conclude(), identify(info), nil
}

func checkNote(r *Report, img *image) {
	note, err := img.note()
	switch {
	case errors.Is(err, errNoNote):
		r.warn("%v: it cannot be listed without running it; add SIXCALL_NOTE", err)
		return
	case err != nil:
		r.refuse(kv.Config, "%v", err)
		return
	}
	r.Note = note
	if note.ABIMajor != cABIMajor {
		r.refuse(kv.Version, "%s", wrongMajor(note.ABIMajor, note.ABIMinor))
	}
}

// wrongMajor says which side is too old.
func wrongMajor(major, minor uint16) string {
	side := "the host is too old for it: update the host, or use a build of the library for ABI 1"
	if major < cABIMajor {
		side = "it is too old: rebuild it with this release's connector.h"
	}
	return fmt.Sprintf("implements ABI %d.%d, this host speaks ABI %d.%d; %s", major, minor, cABIMajor, cABIMinor, side)
}

func checkGoRuntime(r *Report, c checks) {
	if c.isolated {
		return
	}
	for _, g := range r.GoRuntime {
		what := "embeds a Go runtime"
		if g.Path != r.Path {
			what = fmt.Sprintf("needs %q, which embeds a Go runtime", g.Path)
		}
		if c.allowGoRuntime {
			r.warn("%s (%s); two Go runtimes in one process are unsupported", what, g.Evidence)
		} else {
			r.refuse(kv.Unsupported, `%s (%s), and two Go runtimes in one process are unsupported; use "isolation": "process"`, what, g.Evidence)
		}
	}
}

// checkTrust refuses a file that others may replace, and warns when it belongs
// to a third user.
func checkTrust(r *Report, path string) {
	for at, immediate := path, true; ; at = filepath.Dir(at) {
		info, err := os.Lstat(at)
		if err != nil {
			r.refuse(kv.Config, "cannot check who may write to %q: %v", at, err)
			return
		}
		mode := info.Mode()
		open := mode.Perm()&0o002 != 0
		switch {
		case !open:
		case at == path:
			r.refuse(kv.Config, "anyone may write to the file (mode %04o): chmod o-w %s", mode.Perm(), at)
		case immediate || mode&os.ModeSticky == 0:
			r.refuse(kv.Config, "anyone may replace the file, its folder %q has mode %04o: chmod o-w it or move the library", at, mode.Perm())
		}
		if st := info.Sys().(*syscall.Stat_t); (at == path || immediate) && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
			if raised, _ := raisedPrivileges(); raised {
				r.refuse(kv.Config, "%q belongs to user %d, who is neither root nor this process", at, st.Uid)
			} else {
				r.warn("%q belongs to user %d, who is neither root nor this process", at, st.Uid)
			}
		}
		if at != path {
			immediate = false
		}
		if at == "/" {
			return
		}
	}
}
