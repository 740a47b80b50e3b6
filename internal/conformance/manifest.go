//go:build linux

package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
)

// ManifestSchema names the form of a manifest.
const ManifestSchema = "sixcall.manifest/1"

// manifest is the file LIBRARY.json beside a library.
type manifest struct {
	Schema     string `json:"schema"`
	Name       string `json:"name"`
	Version    string `json:"version"`
	Vendor     string `json:"vendor"`
	ABI        string `json:"abi"`      // "1.0"
	Platform   string `json:"platform"` // "linux-amd64"
	Library    string `json:"library"`  // file name
	SHA256     string `json:"sha256"`
	MinGLIBC   string `json:"min_glibc"`   // "2.31", "" = no promise
	MinGLIBCXX string `json:"min_glibcxx"` // "3.4.28"
	Files      []struct {
		Path   string `json:"path"` // relative to the manifest's folder
		SHA256 string `json:"sha256"`
	} `json:"files"`
}

func manifestPath(library string) string { return library + ".json" }

// readManifest returns nil without an error when there is none.
func readManifest(library string) (*manifest, error) {
	data, err := os.ReadFile(manifestPath(library))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	m := &manifest{}
	if err := json.Unmarshal(data, m); err != nil {
		return nil, err
	}
	return m, nil
}

func platform() string { return runtime.GOOS + "-" + runtime.GOARCH }

var (
	goodName    = regexp.MustCompile(`^[a-z0-9_-]+$`)
	goodVersion = regexp.MustCompile(`^[0-9]+(\.[0-9]+){0,3}([-+].*)?$`)
	goodSHA256  = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

func (r *run) checkManifest() Result {
	m, err := readManifest(r.Library)
	if err != nil {
		return fail("%s: %v", manifestPath(r.Library), err)
	}
	if m == nil {
		return skip("there is no %s", filepath.Base(manifestPath(r.Library)))
	}
	var bad []string
	wrong := func(format string, args ...any) { bad = append(bad, fmt.Sprintf(format, args...)) }
	if m.Schema != ManifestSchema {
		wrong("schema is %q, want %q", m.Schema, ManifestSchema)
	}
	if !goodName.MatchString(m.Name) {
		wrong("name is %q, want [a-z0-9_-]+", m.Name)
	}
	if n := r.file.Note; n != nil && (m.Name != n.Product || m.Version != n.Version) {
		wrong("name and version are %q %q, the library says %q %q", m.Name, m.Version, n.Product, n.Version)
	}
	if !goodVersion.MatchString(m.Version) {
		wrong("version is %q, want something like 1.2.3", m.Version)
	}
	if m.Library != filepath.Base(r.Library) {
		wrong("library is %q, want %q", m.Library, filepath.Base(r.Library))
	}
	if !goodSHA256.MatchString(m.SHA256) {
		wrong("sha256 is no lower-case digest")
	}
	for _, f := range m.Files {
		if !filepath.IsLocal(f.Path) {
			wrong("the path %q leaves the folder of the manifest", f.Path)
		}
	}
	if len(bad) > 0 {
		return fail("%s", strings.Join(bad, "; "))
	}
	return pass("")
}

func (r *run) checkHashes() Result {
	m, err := readManifest(r.Library)
	if err != nil || m == nil {
		return skip("there is no manifest that can be read")
	}
	if sum := r.file.SHA256; sum != m.SHA256 {
		return fail("the library has sha256 %s, the manifest says %s", sum, m.SHA256)
	}
	for _, f := range m.Files {
		if !filepath.IsLocal(f.Path) {
			continue // S11 reports it
		}
		sum, err := hashFile(filepath.Join(filepath.Dir(r.Library), f.Path))
		if err != nil {
			return fail("%v", err)
		}
		if sum != f.SHA256 {
			return fail("%s has sha256 %s, the manifest says %s", f.Path, sum, f.SHA256)
		}
	}
	return pass("%d files", 1+len(m.Files))
}

func (r *run) checkModes() Result {
	paths := []string{r.Library}
	if m, err := readManifest(r.Library); err == nil && m != nil {
		paths = append(paths, manifestPath(r.Library))
		for _, f := range m.Files {
			if filepath.IsLocal(f.Path) {
				paths = append(paths, filepath.Join(filepath.Dir(r.Library), f.Path))
			}
		}
	}
	for _, path := range paths {
		if why := writableByOthers(path); why != "" {
			return fail("%s", why)
		}
	}
	return pass("")
}
