package worker

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/internal/params"
)

// Options configures [Open]. Only Library is required. Open copies it.
type Options struct {
	// Program is the path of sixcall-worker. Default: [ProgramEnv], then beside
	// this executable, in ../libexec/sixcall beside it, in
	// /usr/local/libexec/sixcall and in /usr/libexec/sixcall.
	Program string
	// Wrapper is put before the program and its arguments, such as
	// {"valgrind", "-q"}.
	Wrapper []string
	// Args are put before the program's other arguments.
	Args []string
	// Files are descriptors 4, 5 and so on of the program. The caller closes them
	// after Close.
	Files []*os.File
	// Env has "NAME=value" entries that are added to the worker's environment.
	Env []string
	// User and Group are the ids that the worker runs as; both or none. It takes
	// the right to change them. Default 0: those of this process.
	User, Group uint32

	// Library is the absolute path of the connector library, which the caller has
	// found and checked.
	Library string
	// Check is called before a restart loads a Library that has changed on disk;
	// an error keeps it from being loaded. Default: a changed file is refused, and
	// [Connector.Replace] is the way to a new version.
	Check func(path string) error
	// ClassName, when set, must equal the name that the library declares.
	ClassName string
	// Params is the connector's configuration, one JSON object; nil is {}.
	// {"$env": "NAME"} and {"$file": "/path"} stand for secrets; they are read
	// again when the worker is started again.
	Params json.RawMessage
	// Instance names this connection in logs and errors. Default: the library's
	// name.
	Instance string

	// MaxInFlight is how many batches may be in flight before Submit reports
	// kv.Busy. Default 1024, at most 32768.
	MaxInFlight int
	// MaxBatch and ValueLenHint tell the connector what to expect: keys in a
	// batch, bytes of a usual value. 0 = unknown.
	MaxBatch     int
	ValueLenHint int64

	// StartTimeout is how long the program may take to start, and then to load the
	// library. Default 10s.
	StartTimeout time.Duration
	// OpenTimeout is what the connector may take to connect. Default: its own, and
	// the worker is killed after a minute. A connector that ignores it is killed
	// five seconds later.
	OpenTimeout time.Duration
	// PingInterval is how often the worker is looked at. Default 1s.
	PingInterval time.Duration
	// HangTimeout is how long a batch may be past its deadline, a call into the
	// library may take, or the worker may be silent, before it is killed. Default
	// 10s.
	HangTimeout time.Duration
	// Spin is how long the worker looks for further submissions before it sleeps.
	// It costs a processor. Default 0.
	Spin    time.Duration
	Restart Restart

	// MemoryLimit is how many bytes of private memory the worker may use before it
	// is killed. Default 0: no limit.
	MemoryLimit int64
	// CoreDumps lets a crash leave a core file.
	CoreDumps bool
	// AllowExec lets the library start programs and trace processes, which a
	// seccomp profile forbids otherwise.
	AllowExec bool
	// KeepHandlers leaves the signal handlers that the library installs in place. It
	// is for libraries that embed a Go runtime, which needs its own; others have
	// theirs put back, as in process.
	KeepHandlers bool

	// Arena holds the memory of batches. Default: one of its own, which Close
	// closes.
	Arena *arena.Arena

	// Log receives lines of the connector, and what the library prints: level is 0
	// error, 1 warning, 2 info or 3 debug. It is called from one goroutine, for
	// which Close waits. Default: no log.
	Log func(level int, text string)
	// LogDebug asks for lines of level 3 as well.
	LogDebug bool
	// Logger receives changes of the state. Default: discard.
	Logger *zap.Logger
	// OnState is called after each change of the state, from one goroutine at a
	// time. It must not call Close or Replace.
	OnState func(Status)
}

// Restart says how a worker that ended is started again. The zero value has the
// defaults.
type Restart struct {
	// Initial is the delay before the first attempt; it doubles with each failure
	// up to Max. A worker that served longer than Max starts over. Defaults 100ms
	// and 30s.
	Initial, Max time.Duration
	// Jitter is the part of a delay that is random, 0 to 1. Default 0.25.
	// Negative means none.
	Jitter float64
	// MaxPerMinute is how many workers may end within a minute before the state is
	// [Dead], in which one attempt is made per Max. Default 20.
	MaxPerMinute int
}

// validate reports every problem at once.
func (o *Options) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !filepath.IsAbs(o.Library) {
		bad("Library is %q, want an absolute path", o.Library)
	}
	if o.Program != "" && !strings.Contains(o.Program, "/") {
		bad("Program is %q, want a path", o.Program)
	}
	if len(o.Wrapper) > 0 && o.Wrapper[0] == "" {
		bad("Wrapper begins with an empty string, want a program")
	}
	for _, entry := range o.Env {
		if i := strings.IndexByte(entry, '='); i < 1 || strings.ContainsRune(entry, 0) {
			bad("Env has %q, want NAME=value", entry)
		}
	}
	if (o.User == 0) != (o.Group == 0) {
		bad("User is %d and Group is %d, want both or none", o.User, o.Group)
	}
	if o.MaxInFlight < 0 || o.MaxInFlight > maxSlots {
		bad("MaxInFlight is %d, want 1 to %d, or 0 for the default", o.MaxInFlight, maxSlots)
	}
	if o.MaxBatch < 0 || o.MaxBatch > math.MaxInt32 {
		bad("MaxBatch is %d, want 0 to %d", o.MaxBatch, math.MaxInt32)
	}
	if o.ValueLenHint < 0 {
		bad("ValueLenHint is %d, want 0 or more", o.ValueLenHint)
	}
	if o.MemoryLimit < 0 {
		bad("MemoryLimit is %d, want 1 or more bytes, or 0 for no limit", o.MemoryLimit)
	}
	if o.Spin < 0 || o.Spin > time.Second {
		bad("Spin is %v, want 0 to 1s", o.Spin)
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"StartTimeout", o.StartTimeout}, {"OpenTimeout", o.OpenTimeout}, {"PingInterval", o.PingInterval},
		{"HangTimeout", o.HangTimeout}, {"Restart.Initial", o.Restart.Initial}, {"Restart.Max", o.Restart.Max},
	} {
		if d.value < 0 {
			bad("%s is %v, want 0 or more", d.name, d.value)
		}
	}
	if o.Restart.Jitter > 1 || math.IsNaN(o.Restart.Jitter) {
		bad("Restart.Jitter is %v, want at most 1", o.Restart.Jitter)
	}
	if o.Restart.MaxPerMinute < 0 {
		bad("Restart.MaxPerMinute is %d, want 1 or more, or 0 for the default", o.Restart.MaxPerMinute)
	}
	if strings.ContainsRune(o.Instance, 0) {
		bad("Instance is %q: NUL is not allowed in it", o.Instance)
	}
	if len(errs) == 0 {
		return nil
	}
	return &kv.Error{Op: "open", Connector: o.name(), Code: kv.Config, Err: params.Line(errs)}
}

// name is how errors call the connection before the library has said its name.
func (o *Options) name() string {
	switch {
	case o.Instance != "":
		return o.Instance
	case o.ClassName != "":
		return o.ClassName
	}
	return o.Library
}

func (o Options) withDefaults() Options {
	duration := func(d *time.Duration, def time.Duration) {
		if *d == 0 {
			*d = def
		}
	}
	if o.MaxInFlight == 0 {
		o.MaxInFlight = 1024
	}
	duration(&o.StartTimeout, 10*time.Second)
	duration(&o.PingInterval, time.Second)
	duration(&o.HangTimeout, 10*time.Second)
	duration(&o.Restart.Initial, 100*time.Millisecond)
	duration(&o.Restart.Max, 30*time.Second)
	o.Restart.Max = max(o.Restart.Max, o.Restart.Initial)
	switch {
	case o.Restart.Jitter == 0:
		o.Restart.Jitter = 0.25
	case o.Restart.Jitter < 0:
		o.Restart.Jitter = 0
	}
	if o.Restart.MaxPerMinute == 0 {
		o.Restart.MaxPerMinute = 20
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	return o
}

// maxSlots is the largest MaxInFlight.
const maxSlots = 32768

// MaxInFlight is the largest [Options].MaxInFlight.
const MaxInFlight = maxSlots
