//go:build linux

package conformance

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// staticRunners are the checks that run no code of the library.
var staticRunners = map[string]func(*run) Result{
	"S01": (*run).checkArch, "S02": (*run).checkNote, "S03": (*run).checkExports, "S04": (*run).checkUndefined,
	"S05": (*run).checkNeeded, "S06": (*run).checkGlibc, "S07": (*run).checkHardening, "S08": (*run).checkStaticTLS,
	"S09": (*run).checkRunpath, "S10": (*run).checkConstructors,
	"S11": (*run).checkManifest, "S12": (*run).checkHashes, "S13": (*run).checkModes,
}

func pass(format string, args ...any) Result { return verdict(Pass, format, args...) }
func fail(format string, args ...any) Result { return verdict(Fail, format, args...) }
func warn(format string, args ...any) Result { return verdict(Warn, format, args...) }
func skip(format string, args ...any) Result { return verdict(Skip, format, args...) }

func verdict(v Verdict, format string, args ...any) Result {
	return Result{Verdict: v, Text: fmt.Sprintf(format, args...)}
}

func (r *run) checkArch() Result {
	if r.image == nil {
		if err := r.file.Err(); err != nil {
			return fail("%v", errors.Unwrap(err))
		}
		_, err := readImage(r.Library)
		return fail("%v", err)
	}
	m, err := readManifest(r.Library)
	if err == nil && m != nil && m.Platform != "" && m.Platform != platform() {
		return fail("the manifest says platform %s, but the file is for %s", m.Platform, platform())
	}
	return pass("%s", platform())
}

func (r *run) checkNote() Result {
	if r.file.Note == nil {
		for _, p := range r.file.Problems {
			if strings.Contains(p.Text, ".note.sixcall") {
				return fail("%s", p.Text)
			}
		}
		return fail("there is no .note.sixcall")
	}
	n := r.file.Note
	if n.ABIMajor != 1 {
		return fail("the note says ABI %d.%d, this host speaks 1.x", n.ABIMajor, n.ABIMinor)
	}
	if n.Vendor == "" || n.Product == "" || n.Version == "" {
		return fail("the note has an empty vendor, product or version")
	}
	if n.TableSize < 120 {
		return fail("the note says a table of %d bytes, want at least 120", n.TableSize)
	}
	return pass("%s %s by %s, ABI %d.%d", n.Product, n.Version, n.Vendor, n.ABIMajor, n.ABIMinor)
}

func (r *run) checkExports() Result {
	if r.image == nil {
		return skip("%v", errNoImage)
	}
	var extra []string
	found := false
	for _, name := range r.image.exported {
		if strings.HasPrefix(name, "sixcall_connector_entry_v") {
			found = true
		} else if !slices.Contains(extra, name) {
			extra = append(extra, name)
		}
	}
	if !found {
		return fail("the library does not export sixcall_connector_entry_v1")
	}
	if len(extra) > 0 {
		return fail("the library also exports %s", some(extra, 8))
	}
	return pass("")
}

func (r *run) checkUndefined() Result {
	if r.image == nil {
		return skip("%v", errNoImage)
	}
	defined := map[string]bool{}
	for _, n := range r.file.Needed {
		if n.Path == "" {
			continue // S05 reports it
		}
		names, err := definedIn(n.Path)
		if err != nil {
			return verdict(ToolError, "%s: %v", n.Path, err)
		}
		for name := range names {
			defined[name] = true
		}
	}
	var missing, sanitizer []string
	for _, s := range r.image.imported {
		switch {
		case r.image.weak[s.Name] || defined[s.Name]:
		case strings.HasPrefix(s.Name, "__asan_") || strings.HasPrefix(s.Name, "__tsan_") || strings.HasPrefix(s.Name, "__ubsan_"):
			sanitizer = append(sanitizer, s.Name)
		default:
			missing = append(missing, s.Name)
		}
	}
	if len(missing) > 0 {
		return fail("no needed library defines %s", some(missing, 8))
	}
	if len(sanitizer) > 0 {
		return warn("it is a sanitizer build, and loads into a host with the same sanitizer only")
	}
	return pass("")
}

func (r *run) checkNeeded() Result {
	if r.image == nil {
		return skip("%v", errNoImage)
	}
	var missing, unwanted, list []string
	for _, n := range r.file.Needed {
		if n.Path == "" {
			missing = append(missing, fmt.Sprintf("%s (needed by %s)", n.Name, filepath.Base(n.By)))
		}
		for _, word := range []string{"libpython", "libasan", "libtsan", "libubsan", "liblsan", "libmsan", "libruby", "libperl", "libjvm"} {
			if strings.HasPrefix(n.Name, word) {
				unwanted = append(unwanted, n.Name)
			}
		}
		if n.By == r.Library {
			list = append(list, n.Name)
		}
	}
	switch {
	case len(missing) > 0:
		return fail("needed and not found: %s", strings.Join(missing, ", "))
	case len(unwanted) > 0:
		return fail("it brings %s into the host", strings.Join(unwanted, ", "))
	case len(r.file.GoRuntime) > 0:
		return warn("%s embeds a Go runtime: Go hosts have to isolate it", r.file.GoRuntime[0].Path)
	}
	for _, name := range list {
		if strings.HasSuffix(name, ".so") && !strings.HasPrefix(name, "ld-") {
			return warn("%s has no version in its name: any later version will be taken for it", name)
		}
	}
	return pass("%s", strings.Join(list, ", "))
}

func (r *run) checkGlibc() Result {
	if r.image == nil {
		return skip("%v", errNoImage)
	}
	glibc, glibcxx := r.image.newest("GLIBC_"), r.image.newest("GLIBCXX_")
	text := "needs no symbol of libc"
	if glibc != "" {
		text = "needs GLIBC_" + glibc
	}
	if glibcxx != "" {
		text += ", GLIBCXX_" + glibcxx
	}
	m, err := readManifest(r.Library)
	if err != nil || m == nil {
		return pass("%s; there is no manifest with a promise", text)
	}
	if m.MinGLIBC != "" && compareVersions(glibc, m.MinGLIBC) > 0 {
		return fail("%s, but the manifest promises GLIBC_%s", text, m.MinGLIBC)
	}
	if m.MinGLIBCXX != "" && compareVersions(glibcxx, m.MinGLIBCXX) > 0 {
		return fail("%s, but the manifest promises GLIBCXX_%s", text, m.MinGLIBCXX)
	}
	return pass("%s", text)
}

func (r *run) checkHardening() Result {
	if r.image == nil {
		return skip("%v", errNoImage)
	}
	img := r.image
	var bad []string
	for _, c := range []struct {
		wrong bool
		text  string
	}{
		{!img.relro, "no RELRO segment"},
		{img.flags&uint64(elf.DF_BIND_NOW) == 0 && img.flags1&uint64(elf.DF_1_NOW) == 0, "no immediate binding (-z now)"},
		{img.execStack, "an executable stack"},
		{img.textRel, "text relocations (compile with -fPIC)"},
		{!img.buildID, "no build id"},
	} {
		if c.wrong {
			bad = append(bad, c.text)
		}
	}
	if len(bad) > 0 {
		return fail("the library has %s", strings.Join(bad, ", "))
	}
	return pass("")
}

func (r *run) checkStaticTLS() Result {
	if r.image == nil {
		return skip("%v", errNoImage)
	}
	if r.image.flags&uint64(elf.DF_STATIC_TLS) != 0 || r.image.tpOff {
		return fail("thread-locals of the library live in the static TLS block (initial-exec model)")
	}
	return pass("")
}

func (r *run) checkRunpath() Result {
	if r.image == nil {
		return skip("%v", errNoImage)
	}
	for _, dir := range r.image.paths {
		switch {
		case dir == "$ORIGIN" || strings.HasPrefix(dir, "$ORIGIN/") || strings.HasPrefix(dir, "${ORIGIN}"):
		case !filepath.IsAbs(dir):
			return fail("RUNPATH has %q, which depends on the working folder", dir)
		case !slices.ContainsFunc([]string{"/usr/", "/lib/", "/lib64/", "/opt/"}, func(p string) bool { return strings.HasPrefix(dir+"/", p) }):
			return fail("RUNPATH has %q, a folder of the machine on which it was built", dir)
		default:
			info, err := os.Stat(dir)
			if err == nil && info.Mode().Perm()&0o022 != 0 {
				return fail("RUNPATH has %q, to which group or others may write", dir)
			}
		}
	}
	return pass("%s", strings.Join(r.image.paths, ":"))
}

func (r *run) checkConstructors() Result {
	if r.image == nil {
		return skip("%v", errNoImage)
	}
	if r.image.ctors > 20 {
		return warn("%d constructors run at load, want at most 20", r.image.ctors)
	}
	return pass("%d", r.image.ctors)
}

// checkSchema is S14: the schema itself, and the given parameters.
func checkSchema(_ context.Context, r *run, _ Check) Result {
	if r.table == nil {
		return skip("the table cannot be read; see check L01")
	}
	if r.table.ConfigSchema == "" {
		return warn("there is no config_schema: hosts cannot validate a configuration before open")
	}
	s, err := parseSchema(r.table.ConfigSchema)
	if err != nil {
		return fail("%s", oneLine(err))
	}
	if errs := s.validate(r.params); len(errs) > 0 {
		return fail("the schema refuses the parameters that were given: %s", oneLine(errors.Join(errs...)))
	}
	if names := s.undocumented(); len(names) > 0 {
		return warn("no description or no type: %s", some(names, 10))
	}
	return pass("%d properties", len(s.Properties))
}

func some(list []string, most int) string {
	if len(list) <= most {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
