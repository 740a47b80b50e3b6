//go:build linux && (amd64 || arm64)

package native

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// maxClosure bounds the walk over needed libraries.
const maxClosure = 512

// closure walks the libraries that img needs, breadth first, by the rules of
// the loader but for its cache, and records them and any Go runtime in r.
func (img *image) closure(r *Report) {
	if evidence := img.goEvidence(); evidence != "" {
		r.GoRuntime = append(r.GoRuntime, GoRuntime{Path: r.Path, Evidence: evidence})
	}
	type node struct {
		path   string
		dyn    dynamic
		rpaths []string // of the libraries on the way here
	}
	queue := []node{{path: r.Path, dyn: img.dyn}}
	seen := map[string]bool{}
	if img.dyn.soname != "" {
		seen[img.dyn.soname] = true
	}
	for len(queue) > 0 && len(seen) < maxClosure {
		n := queue[0]
		queue = queue[1:]
		origin := filepath.Dir(n.path)
		if n.dyn.runpath == "" {
			n.rpaths = append(slices.Clone(n.rpaths), expand(n.dyn.rpath, origin)...)
		}
		for _, name := range n.dyn.needed {
			if seen[name] || name == "" {
				continue
			}
			seen[name] = true
			var dirs []string
			if n.dyn.runpath == "" {
				dirs = append(dirs, n.rpaths...)
			}
			dirs = append(dirs, loaderPath()...)
			dirs = append(dirs, expand(n.dyn.runpath, origin)...)
			dirs = append(dirs, systemDirs()...)
			path, dyn, evidence := locate(name, dirs)
			r.Needed = append(r.Needed, Needed{Name: name, Path: path, By: n.path})
			if path == "" {
				r.warn("needs %q (by %q), which is in none of the loader's folders", name, n.path)
				continue
			}
			if evidence != "" {
				r.GoRuntime = append(r.GoRuntime, GoRuntime{Path: path, Evidence: evidence})
			}
			queue = append(queue, node{path: path, dyn: dyn, rpaths: n.rpaths})
		}
	}
}

// locate finds a needed library for this machine in dirs.
func locate(name string, dirs []string) (path string, dyn dynamic, evidence string) {
	if strings.Contains(name, "/") {
		dirs = []string{"/"}
		if !filepath.IsAbs(name) {
			return "", dyn, "" // relative to the working folder: never ours
		}
	}
	for _, dir := range dirs {
		candidate := filepath.Join(dir, name)
		if dyn, evidence, ok := peekImage(candidate); ok {
			return candidate, dyn, evidence
		}
	}
	return "", dyn, ""
}

func peekImage(path string) (dyn dynamic, evidence string, ok bool) {
	f, err := os.Open(path)
	if err != nil {
		return dyn, "", false
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return dyn, "", false
	}
	img, err := openImage(f, info.Size())
	if err != nil {
		return dyn, "", false
	}
	return img.dyn, img.goEvidence(), true
}

// expand splits a DT_RPATH or DT_RUNPATH; relative entries are left out.
func expand(list, origin string) (dirs []string) {
	for _, dir := range filepath.SplitList(list) {
		dir = strings.NewReplacer("$ORIGIN", origin, "${ORIGIN}", origin, "$LIB", "lib/"+multiarch(), "${LIB}", "lib/"+multiarch()).Replace(dir)
		if filepath.IsAbs(dir) {
			dirs = append(dirs, filepath.Clean(dir))
		}
	}
	return dirs
}

// loaderPath is LD_LIBRARY_PATH as the loader saw it, unless privileges are raised.
func loaderPath() (dirs []string) {
	if raised, _ := raisedPrivileges(); raised {
		return nil
	}
	for _, dir := range filepath.SplitList(os.Getenv("LD_LIBRARY_PATH")) {
		if filepath.IsAbs(dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// systemDirs lists the folders of /etc/ld.so.conf and the built-in ones.
var systemDirs = sync.OnceValue(func() []string {
	dirs := readLoaderConf("/etc/ld.so.conf", 0)
	for _, lib := range []string{"/lib", "/usr/lib"} {
		dirs = append(dirs, filepath.Join(lib, multiarch()), lib+"64", lib)
	}
	return dirs
})

func readLoaderConf(path string, depth int) (dirs []string) {
	text, err := os.ReadFile(path)
	if err != nil || depth > 4 {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		line = strings.TrimSpace(line)
		if pattern, ok := strings.CutPrefix(line, "include"); ok {
			pattern = strings.TrimSpace(pattern)
			if !filepath.IsAbs(pattern) {
				pattern = filepath.Join(filepath.Dir(path), pattern)
			}
			files, _ := filepath.Glob(pattern) // a bad pattern matches nothing
			for _, file := range files {
				dirs = append(dirs, readLoaderConf(file, depth+1)...)
			}
		} else if filepath.IsAbs(line) {
			dirs = append(dirs, line)
		}
	}
	return dirs
}
