//go:build linux && (amd64 || arm64)

package native

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A library must not touch signal handlers: a handler without SA_ONSTACK
// corrupts goroutine stacks, and one for SIGURG stalls the collector. guard runs
// library code between two looks at all handlers and at this thread's mask and
// signal stack, and puts back what changed.

// sigaction is the kernel's struct, the same on amd64 and arm64.
type sigaction struct {
	handler  uintptr
	flags    uint64
	restorer uintptr
	mask     uint64
}

type sigstack struct {
	sp    uintptr
	flags int32
	_     int32
	size  uint64
}

const lastSignal = 64

type handlers [lastSignal + 1]sigaction

// guarded is the process-wide part: handlers before the first of the library
// calls that are running at this moment, and their names.
var guarded struct {
	sync.Mutex
	running []string
	base    handlers
}

// guard calls f on a locked thread on behalf of the named library and returns
// what f changed, one short text per thing.
//
// Code of this program that takes handlers away meanwhile (os/signal.Ignore,
// Reset or Stop) is mistaken for the library; os/signal.Notify is not.
func guard(library string, f func()) (changed []string) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	guarded.Lock()
	if len(guarded.running) == 0 {
		guarded.base = readHandlers()
	}
	guarded.running = append(guarded.running, library)
	guarded.Unlock()
	mask, stack := threadMask(nil), signalStack(nil)

	f()

	if now := threadMask(nil); now != mask {
		threadMask(&mask)
		changed = append(changed, "the signal mask of the calling thread ("+maskDifference(mask, now)+")")
	}
	if now := signalStack(nil); now.sp != stack.sp || now.size != stack.size {
		signalStack(&stack)
		changed = append(changed, "the signal stack of the calling thread")
	}
	guarded.Lock()
	defer guarded.Unlock()
	changed = append(changed, restoreHandlers(&guarded.base)...)
	i := slices.Index(guarded.running, library)
	guarded.running = slices.Delete(guarded.running, i, i+1)
	if others := slices.Compact(slices.Sorted(slices.Values(guarded.running))); len(others) > 0 {
		for i := range changed {
			changed[i] += fmt.Sprintf(" (or by %s, at the same time)", strings.Join(others, ", "))
		}
	}
	return changed
}

func readHandlers() (all handlers) {
	for sig := 1; sig <= lastSignal; sig++ {
		_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), 0, uintptr(unsafe.Pointer(&all[sig])), 8, 0, 0)
	}
	return all
}

// restoreHandlers puts back every handler that differs from base and names it.
func restoreHandlers(base *handlers) (changed []string) {
	now := readHandlers()
	// The runtime's own handler: os/signal installs it for further signals.
	ours := base[unix.SIGURG].handler
	for sig := 1; sig <= lastSignal; sig++ {
		if now[sig] == base[sig] || now[sig].handler == ours && base[sig].handler != ours && ours > 1 {
			continue
		}
		_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&base[sig])), 0, 8, 0, 0)
		text := "the handler of " + signalName(sig)
		if errno != 0 {
			text += " (which could not be put back: " + errno.Error() + ")"
		}
		changed = append(changed, text)
	}
	return changed
}

// threadMask returns the signal mask of this thread, and sets it if set is not nil.
func threadMask(set *uint64) (old uint64) {
	const setMask = 2 // SIG_SETMASK
	_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, setMask, uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(&old)), 8, 0, 0)
	return old
}

// signalStack returns the signal stack of this thread, and sets it if set is not nil.
func signalStack(set *sigstack) (old sigstack) {
	_, _, _ = unix.RawSyscall(unix.SYS_SIGALTSTACK, uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(&old)), 0)
	return old
}

func maskDifference(before, after uint64) string {
	var parts []string
	for sig := 1; sig <= lastSignal; sig++ {
		bit := uint64(1) << (sig - 1)
		switch {
		case before&bit == 0 && after&bit != 0:
			parts = append(parts, signalName(sig)+" blocked")
		case before&bit != 0 && after&bit == 0:
			parts = append(parts, signalName(sig)+" unblocked")
		}
	}
	return strings.Join(parts, ", ")
}

func signalName(sig int) string {
	if name := unix.SignalName(unix.Signal(sig)); name != "" {
		return name
	}
	return fmt.Sprintf("signal %d", sig)
}
