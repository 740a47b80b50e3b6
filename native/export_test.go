//go:build linux && (amd64 || arm64)

package native

import (
	"bytes"
	"testing"
	"time"

	"github.com/ebitengine/purego"
)

// What tests outside the package need of its inside.
var (
	FastCalls    = fastCalls
	EntryOfTests = cEntrySymbol
)

// The bounds of a log sink.
const (
	MaxLogLine   = maxLogLine
	MaxLogPerSec = maxLogPerSec
)

// RaisePrivileges makes the process look like a set-uid one during a test.
func RaisePrivileges(t testing.TB) {
	old := raisedPrivileges
	raisedPrivileges = func() (bool, string) { return true, "the process runs with raised privileges" }
	t.Cleanup(func() { raisedPrivileges = old })
}

// Symbol loads a library, unchecked, and returns the address of a function.
func Symbol(path, name string) (uintptr, error) {
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return 0, err
	}
	return purego.Dlsym(handle, name)
}

// A Caller calls through our trampoline, purego's, or purego.SyscallN.
type Caller struct{ c *caller }

// NewCaller returns a Caller for a path: "own", which not every architecture has,
// "trampoline" or "syscalln".
func NewCaller(path string) (c Caller, ok bool) {
	entry := map[string]uintptr{"own": ownTrampoline(), "trampoline": trampoline}[path]
	return Caller{&caller{entry: entry}}, entry != 0 || path == "syscalln"
}

// Call calls fn.
func (c Caller) Call(fn, a, b, d, e uintptr) uintptr { return c.c.call(fn, a, b, d, e) }

// CallPooled calls fn with a frame from the pool.
func CallPooled(fn, a, b, c, d uintptr) uintptr { return call(fn, a, b, c, d) }

// ReadImage runs every check that works on the bytes of a file alone.
func ReadImage(content []byte) error {
	img, err := openImage(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return err
	}
	r := &Report{Path: "/nowhere/lib.so"}
	img.survey(r, checks{})
	return r.Err()
}

// ReadNotes parses an area of notes.
func ReadNotes(area []byte) (notes []*Note) {
	for _, desc := range splitNotes(area) {
		if n, err := parseNote(desc); err == nil {
			notes = append(notes, n)
		}
	}
	return notes
}

// LogSinks counts the connections whose log is open.
func LogSinks() (n int) {
	sinks.Range(func(any, any) bool { n++; return true })
	return n
}

// Milliseconds is how durations cross the boundary.
func Milliseconds(d time.Duration) uint32 { return milliseconds(d) }
