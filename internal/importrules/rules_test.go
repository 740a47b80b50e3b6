// Package importrules holds the test of who may import whom. The rules are those
// of CONTRIBUTING.md; they break the build so that no review has to.
package importrules

import (
	"encoding/json"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/sixcall/sixcall"

type pkg struct {
	ImportPath string
	Dir        string
	Imports    []string
	Deps       []string
	CgoFiles   []string
	Standard   bool
}

func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Imports,Deps,CgoFiles,Standard", module+"/...")
	cmd.Dir = filepath.Join("..", "..")
	out, err := cmd.Output()
	require.NoError(t, err)
	var pkgs []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); err == io.EOF {
			break
		} else {
			require.NoError(t, err)
		}
		p.ImportPath = strings.TrimPrefix(p.ImportPath, module+"/")
		pkgs = append(pkgs, p)
	}
	require.Greater(t, len(pkgs), 5)
	return pkgs
}

// standard reports whether an import is of the standard library.
func standard(path string) bool { return !strings.Contains(strings.SplitN(path, "/", 2)[0], ".") }

func ours(path string) (string, bool) { return strings.CutPrefix(path, module+"/") }

// under reports whether path is one of the folders or below one.
func under(path string, folders ...string) bool {
	for _, f := range folders {
		if path == f || strings.HasPrefix(path, f+"/") {
			return true
		}
	}
	return false
}

func TestImportRules(t *testing.T) {
	for _, p := range list(t) {
		at := p.ImportPath
		for _, imp := range p.Imports {
			mine, local := ours(imp)
			switch {
			case under(at, "bridge/kv") && !standard(imp):
				t.Errorf("%s imports %s: bridge/kv imports the standard library only", at, imp)
			case under(at, "bridge/eventfd") && local:
				t.Errorf("%s imports %s: bridge/eventfd imports nothing of ours", at, imp)
			case under(at, "bridge") && local && under(mine, "native", "adapters", "cmd"):
				t.Errorf("%s imports %s: the bridge is given a kv.Connector", at, imp)
			case at == "bridge" && local && under(mine, "bridge/worker"):
				t.Errorf("%s imports %s: the bridge is given a kv.Connector", at, imp)
			case under(at, "native") && local && !under(mine, "bridge/kv", "native", "internal/params"):
				t.Errorf("%s imports %s: native imports bridge/kv and internal/params only", at, imp)
			case under(at, "internal/params") && !standard(imp):
				t.Errorf("%s imports %s: internal/params imports the standard library only", at, imp)
			case strings.HasPrefix(imp, "github.com/ebitengine/purego") && !under(at, "native"):
				t.Errorf("%s imports purego: native alone does", at)
			case imp == "unsafe" && !under(at, "native", "bridge/arena", "bridge/worker", "adapters/capi"):
				t.Errorf("%s imports unsafe: only native, bridge/arena, bridge/worker and adapters/capi do", at)
			case under(at, "adapters") && !under(at, "adapters/config", "adapters/capi") && local && under(mine, "adapters") && !under(mine, folder(at)):
				t.Errorf("%s imports %s: adapters never import each other", at, imp)
			case under(at, "adapters") && !under(at, "adapters/config", "adapters/capi") && local && !under(mine, "adapters", "bridge"):
				t.Errorf("%s imports %s: adapters import bridge and below", at, imp)
			case local && under(mine, "bridge/bridgetest", "bridge/conformance") && !under(at, "bridge/bridgetest", "bridge/conformance", "examples", "cmd"):
				t.Errorf("%s imports %s: only tests, examples and the check command do", at, imp)
			}
		}
		if len(p.CgoFiles) > 0 && !under(at, "adapters/capi") {
			t.Errorf("%s uses cgo: only adapters/capi does", at)
		}
	}
}

// folder is the adapter that a package belongs to: adapters/<name>.
func folder(path string) string { return strings.Join(strings.SplitN(path, "/", 3)[:2], "/") }
