//go:build linux && (amd64 || arm64)

package native

import (
	"fmt"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// region is anonymous memory outside the Go heap, handed out from the front.
// The collector neither moves nor scans it. One goroutine at a time.
type region struct {
	mem  []byte
	used int
}

// newRegion maps at least size zero bytes.
func newRegion(size int) (*region, error) {
	page := unix.Getpagesize()
	size = (size + page - 1) / page * page
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("map %d bytes: %w", size, err)
	}
	return &region{mem: mem}, nil
}

// take returns n bytes, 16-byte aligned. The size of the region is chosen by
// the caller so that they are there.
func (r *region) take(n int) []byte {
	start := (r.used + 15) &^ 15
	r.used = start + n
	return r.mem[start:r.used:r.used]
}

// text copies s with a terminating NUL and returns its address.
func (r *region) text(s string) uintptr {
	b := r.take(len(s) + 1)
	copy(b, s)
	return address(b)
}

// free unmaps the region. wipe first overwrites it, for secrets.
func (r *region) free(wipe bool) {
	if wipe {
		clear(r.mem)
	}
	_ = unix.Munmap(r.mem) // the mapping is ours and whole: it cannot fail
	r.mem = nil
}

// at returns b as a *T; b is outside the Go heap, aligned and long enough.
func at[T any](b []byte) *T { return (*T)(unsafe.Pointer(unsafe.SliceData(b))) }

// address returns where b lies.
func address(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }

// pointer turns an address that C gave into a pointer. The address is outside
// the Go heap, so the collector has no say in it.
func pointer(addr uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&addr)) }

// hostSlots hands out sixcall_host structs. They are never unmapped, so that a
// library that logs after its close, against the contract, reads valid memory.
// A released slot is reused last.
var hostSlots struct {
	sync.Mutex
	free []*cHost
}

func takeHostSlot() (*cHost, error) {
	hostSlots.Lock()
	defer hostSlots.Unlock()
	if len(hostSlots.free) == 0 {
		page, err := newRegion(unix.Getpagesize())
		if err != nil {
			return nil, err
		}
		for range len(page.mem) / 64 {
			hostSlots.free = append(hostSlots.free, at[cHost](page.take(64)))
		}
	}
	slot := hostSlots.free[0]
	hostSlots.free = hostSlots.free[1:]
	return slot, nil
}

func releaseHostSlot(h *cHost) {
	hostSlots.Lock()
	defer hostSlots.Unlock()
	hostSlots.free = append(hostSlots.free, h)
}
