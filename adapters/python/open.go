package python

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"time"

	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/bridge/worker"
)

// Kind says what a class is.
type Kind string

// The kinds.
const (
	// L2 is a class that derives from L2AdapterInterface. Keys are those of kv.Key.
	L2 Kind = "l2"
	// Remote is a ConnectorAdapter or a RemoteConnector, Storage a class that derives
	// from StorageBackendInterface. Keys are texts of engine.Key, values have LMCache's
	// header. Parameters are url, plugin_name, dst_device, config (LMCache's), metadata,
	// groups (of layers) and chunk_bytes.
	Remote  Kind = "remote"
	Storage Kind = "storage"
)

// Options configures [Open].
type Options struct {
	Kind   Kind
	Module string // import path
	Class  string
	// ConfigClass names the configuration class of an L2 adapter, "" = find it.
	ConfigClass string
	// Python is the interpreter; see [Find].
	Python string
	// Worker has all that is not about Python: the instance's name, parameters,
	// limits, timeouts. Open sets the program and the library.
	Worker worker.Options
}

// startDefault is what an interpreter may take to import a plug-in: torch alone takes
// seconds.
const startDefault = 2 * time.Minute

var modulePath = regexp.MustCompile(`^[\pL_][\pL\pN_]*(\.[\pL_][\pL\pN_]*)*$`)

// IsModule reports whether a module path can be that of a Python module.
func IsModule(path string) bool { return modulePath.MatchString(path) }

// program finds the interpreter and the worker that it runs.
func (o *Options) program() (interpreter string, worker *os.File, err error) {
	if !IsModule(o.Module) {
		return "", nil, fmt.Errorf("module_path is %q, want the import path of a Python module, such as package.module", o.Module)
	}
	if interpreter, err = Find(o.Python); err != nil {
		return "", nil, err
	}
	worker, err = archiveFile()
	return interpreter, worker, err
}

// args says what the worker is to run.
func (o *Options) args() []string {
	args := []string{"--kind", string(o.Kind), "--module", o.Module, "--class", o.Class}
	if o.ConfigClass != "" {
		args = append(args, "--config-class", o.ConfigClass)
	}
	return args
}

// Open starts an interpreter that imports the module and makes an instance of the
// class. The connector is as [worker.Open] makes it. Errors match [kv.Config] where
// the interpreter, the module, the class or its parameters are wrong, and hold the
// end of Python's traceback.
func Open(ctx context.Context, o Options) (*worker.Connector, error) {
	fail := func(err error) (*worker.Connector, error) {
		return nil, &kv.Error{Op: "open", Connector: o.Worker.Instance, Code: kv.Config, Err: err}
	}
	interpreter, file, err := o.program()
	if err != nil {
		return fail(err)
	}
	w := o.Worker
	w.Program, w.Library = interpreter, interpreter
	w.Files = append(w.Files[:0:0], file)
	w.Args = append([]string{"/proc/self/fd/4"}, o.args()...)
	// What plug-ins in Python import starts programs: ctypes does to find a library.
	w.AllowExec = true
	// An interpreter that is updated in place is the same interpreter.
	w.Check = func(string) error { return nil }
	if w.StartTimeout == 0 {
		w.StartTimeout = startDefault
	}
	return worker.Open(ctx, w)
}
