//go:build linux && (amd64 || arm64)

package native

import (
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/ebitengine/purego"

	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/internal/params"
)

// library is a loaded connector library. It is constant but for mu.
type library struct {
	path    string
	report  *Report // constant after load; clone to add
	api     cAPI    // the part that the library has, else zero
	minor   uint16  // effective ABI minor
	caps    kv.Caps // known bits whose slots are there
	threads uint32  // SIXCALL_THREADS_

	name, version, vendor string
	schemaText            string
	schema                *params.Schema // nil = none

	// mu is held around every call when threads is SERIAL. Library code runs
	// under it: that is what SERIAL means.
	mu sync.Mutex
}

// libraries are the libraries of this process. A library that has run is never
// unloaded, since its threads and thread-locals may outlive any close; so this
// only grows, with one entry per version of a file.
var libraries struct {
	sync.Mutex // held while a library is loaded: the loader works one at a time too
	byID       map[fileID]*library
	byHandle   map[uintptr]fileID
}

// loadLibrary checks the file at path and loads it, or returns the library that
// was loaded from the very same file before.
func loadLibrary(path string, c checks) (*library, error) {
	report, id, err := inspectFile(path, c)
	if err != nil {
		return nil, err
	}
	if err := report.Err(); err != nil {
		return nil, err
	}
	return loadChecked(report, id)
}

// loadChecked loads the library that report found nothing wrong with.
func loadChecked(report *Report, id fileID) (*library, error) {
	libraries.Lock()
	defer libraries.Unlock()
	if lib := libraries.byID[id]; lib != nil {
		return lib, nil
	}
	info, err := os.Stat(report.Path)
	if err != nil || identify(info) != id {
		return nil, libraryError(report, kv.Config, "the file was replaced while it was being checked; try again")
	}
	var handle, table uintptr
	changed := guard(report.Path, func() {
		// The calling thread stays the same: dlerror is thread-local.
		if handle, err = purego.Dlopen(report.Path, purego.RTLD_NOW|purego.RTLD_LOCAL); err != nil {
			return
		}
		if before, ok := libraries.byHandle[handle]; ok && before != id {
			err = fmt.Errorf("another version of the file was loaded before and cannot be replaced in this process; restart it")
			return
		}
		table, err = callEntry(handle)
	})
	if handle != 0 && libraries.byHandle[handle] == (fileID{}) {
		if libraries.byHandle == nil {
			libraries.byHandle, libraries.byID = map[uintptr]fileID{}, map[fileID]*library{}
		}
		libraries.byHandle[handle] = id
	}
	report.noteChanged("was loaded", changed)
	if err != nil {
		return nil, libraryError(report, kv.Config, "%v%s", err, report.hints())
	}
	if table == 0 {
		return nil, libraryError(report, kv.Version, "%s returned NULL: the library refuses this host (%s, ABI %d.%d)", cEntrySymbol, hostName, cABIMajor, cABIMinor)
	}
	lib, err := readTable(table, report)
	if err != nil {
		return nil, err
	}
	report.conclude()
	libraries.byID[id] = lib
	return lib, nil
}

// hints lists what the checks found odd, for a loader error that may follow from it.
func (r *Report) hints() string {
	if w := r.Warnings(); len(w) > 0 {
		return " (also: " + strings.Join(w, "; ") + ")"
	}
	return ""
}

// noteChanged records what guard found.
func (r *Report) noteChanged(when string, changed []string) {
	if len(changed) > 0 {
		r.Changed = append(r.Changed, changed...)
		r.warn("%q changed %s when it %s; all of it was put back", r.Path, strings.Join(changed, ", "), when)
	}
}

// hostName is how this host introduces itself to libraries.
const hostName = "sixcall"

// entryHost is the host struct for the entry point: it takes no log, and lives
// as long as the process.
var entryHost = sync.OnceValues(func() (*cHost, error) {
	texts, err := newRegion(128)
	if err != nil {
		return nil, err
	}
	host, err := takeHostSlot()
	if err != nil {
		return nil, err
	}
	*host = cHost{
		StructSize: sizeofHost, ABIMajor: cABIMajor, ABIMinor: cABIMinor, Features: hostFeatures,
		Name: texts.text(hostName), Version: texts.text(hostVersion()), LogLevel: cLogError,
	}
	return host, nil
})

// callEntry calls the entry point, twice, since its answer must be constant.
func callEntry(handle uintptr) (table uintptr, err error) {
	entry, err := purego.Dlsym(handle, cEntrySymbol)
	if err != nil {
		return 0, fmt.Errorf("not a connector: %w", err)
	}
	host, err := entryHost()
	if err != nil {
		return 0, err
	}
	table = call(entry, hostAddress(host), 0, 0, 0)
	if again := call(entry, hostAddress(host), 0, 0, 0); again != table {
		return 0, fmt.Errorf("%s returned two different tables, %#x and %#x", cEntrySymbol, table, again)
	}
	return table, nil
}
