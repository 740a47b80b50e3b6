//go:build linux && (amd64 || arm64)

package native

import (
	"reflect"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
)

// purego.SyscallN copies a frame of 42 words three times per call. The names
// below are what it uses itself: the runtime's entry into C and purego's
// trampoline, which loads a frame's words into the argument registers, calls fn
// and stores the results in the frame. Calling them with a frame of our own
// costs little more than cgo. Before the first use fastCalls proves that the
// trampoline of the linked purego has the frame we know; if it has not, calls go
// through SyscallN. On amd64 the trampoline is our own: eleven instructions, for
// the four integers that the ABI's functions take.

//go:linkname cgocall runtime.cgocall
func cgocall(fn uintptr, frame unsafe.Pointer) int32

//go:linkname trampoline github.com/ebitengine/purego.syscallXABI0
var trampoline uintptr

//go:linkname trampolineFrames github.com/ebitengine/purego.thePool
var trampolineFrames sync.Pool

// frame is a call: the head of purego's syscallArgs, and room for the rest of
// it, which is zero (stack and floating-point arguments that nobody reads). It
// lies on the Go heap: only purego's trampoline reads it, never the library.
type frame struct {
	fn   uintptr
	args [4]uintptr // the first becomes the result
	_    [59]uintptr
}

// fastCalls reports whether purego's frame is laid out as [frame] expects.
var fastCalls = sync.OnceValue(func() bool {
	if trampoline == 0 || trampolineFrames.New == nil {
		return false
	}
	t := reflect.TypeOf(trampolineFrames.New())
	if t == nil || t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
		return false
	}
	t = t.Elem()
	if t.Size() > unsafe.Sizeof(frame{}) {
		return false
	}
	for i, name := range []string{"fn", "a1", "a2", "a3", "a4"} {
		f, ok := t.FieldByName(name)
		if !ok || f.Offset != uintptr(i)*8 || f.Type.Kind() != reflect.Uintptr {
			return false
		}
	}
	return true
})

// caller makes calls with a frame that is its own. One goroutine at a time.
type caller struct {
	frame frame
	entry uintptr // the trampoline; 0 = SyscallN
}

func newCaller() *caller { return &caller{entry: bestEntry()} }

// bestEntry returns the fastest trampoline that there is.
var bestEntry = sync.OnceValue(func() uintptr {
	switch own := ownTrampoline(); {
	case own != 0:
		return own
	case fastCalls():
		return trampoline
	}
	return 0
})

var callers = sync.Pool{New: func() any { return newCaller() }}

// call calls the C function fn with up to four integers or addresses outside
// the Go heap. It does not allocate.
func (c *caller) call(fn, a, b, d, e uintptr) uintptr {
	f := &c.frame
	f.args = [4]uintptr{a, b, d, e}
	if c.entry == 0 {
		r, _, _ := purego.SyscallN(fn, f.args[:]...)
		return r
	}
	f.fn = fn
	cgocall(c.entry, unsafe.Pointer(f))
	return f.args[0]
}

// call is for calls off the hot path.
func call(fn, a, b, c, d uintptr) uintptr {
	one := callers.Get().(*caller)
	r := one.call(fn, a, b, c, d)
	callers.Put(one)
	return r
}

// call32 is call for functions that return int32_t.
func call32(fn, a, b, c, d uintptr) int32 { return int32(call(fn, a, b, c, d)) }
