package native

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/internal/params"
)

// Options configures [Open]. Only Connector is required. Open copies it.
type Options struct {
	// Connector is a path (it contains a '/') or a bare name such as "redis",
	// which [Find] resolves.
	Connector string
	// SearchPath is searched before all other places; absolute folders.
	SearchPath []string
	// ClassName, when set, must equal the name that the library declares.
	ClassName string
	// SHA256, when set, is the only content of the file that is accepted; hex.
	SHA256 string
	// Params is the connector's configuration, one JSON object; nil is {}.
	// {"$env": "NAME"} and {"$file": "/path"} stand for secrets.
	Params json.RawMessage
	// Instance names this connection in logs and errors. Default: the
	// library's name.
	Instance string

	// MaxInFlight, MaxBatch and ValueLenHint tell the connector what to expect:
	// batches in flight, keys in a batch, bytes of a usual value. 0 = unknown.
	MaxInFlight  int
	MaxBatch     int
	ValueLenHint int64
	// OpenTimeout is what the connector may take to connect. Default: its own.
	// A library that ignores it cannot be interrupted in process.
	OpenTimeout time.Duration

	// Log receives lines of the connector: level is 0 error, 1 warning, 2 info
	// or 3 debug. It is called from one goroutine, for which Close waits.
	// Default: no log.
	Log func(level int, text string)
	// LogDebug asks for lines of level 3 as well.
	LogDebug bool

	// AllowGoRuntime loads a library that embeds a Go runtime. Two Go runtimes
	// in one process are unsupported and fight for signals: for tests only.
	AllowGoRuntime bool
}

// validate reports every problem at once.
func (o *Options) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if o.Connector == "" {
		bad("Connector is empty, want a path or a name")
	}
	if o.MaxInFlight < 0 || o.MaxInFlight > math.MaxInt32 {
		bad("MaxInFlight is %d, want 0 to %d", o.MaxInFlight, math.MaxInt32)
	}
	if o.MaxBatch < 0 || o.MaxBatch > math.MaxInt32 {
		bad("MaxBatch is %d, want 0 to %d", o.MaxBatch, math.MaxInt32)
	}
	if o.ValueLenHint < 0 {
		bad("ValueLenHint is %d, want 0 or more", o.ValueLenHint)
	}
	if o.OpenTimeout < 0 {
		bad("OpenTimeout is %v, want 0 or more", o.OpenTimeout)
	}
	if strings.ContainsRune(o.Instance, 0) {
		bad("Instance is %q: NUL is not allowed in it", o.Instance)
	}
	if sum := o.SHA256; sum != "" && !validSHA256(sum) {
		bad("SHA256 is %q, want 64 hex digits", sum)
	}
	if len(errs) == 0 {
		return nil
	}
	return &kv.Error{Op: "open", Connector: o.Connector, Code: kv.Config, Err: params.Line(errs)}
}

// validSHA256 reports whether sum is a digest in hex.
func validSHA256(sum string) bool {
	return len(sum) == 64 && strings.Trim(strings.ToLower(sum), "0123456789abcdef") == ""
}

// milliseconds rounds d up to a whole number of milliseconds that fits the ABI.
func milliseconds(d time.Duration) uint32 {
	if d <= 0 {
		return 0
	}
	ms := (d + time.Millisecond - 1) / time.Millisecond
	return uint32(min(ms, math.MaxUint32))
}
