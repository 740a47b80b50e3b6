//go:build linux && (amd64 || arm64)

package worker

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/sixcall/sixcall/bridge/kv"
)

// The layout of ring.h, which generates nothing: ring_test.go compares the offsets.

const (
	ringMagic   = 0x31474E4952584953
	ringVersion = 1
	ringCancel  = 0x100 // the op of a submission that cancels its ticket
	wakeAlways  = 2     // in SQNeedWake: the worker wants a signal with every submission
	opList      = 6     // the worker's own, in a breadcrumb

	callSubmit  = 0x1000 // and an operation
	callDrain   = 0x2000
	callEventFD = 0x2001
)

// submission is sixcall_submission. Its addresses are the worker's.
type submission struct {
	Ticket     uint64
	Op, N      uint32
	Items      uint64
	Status     uint64
	ValueLens  uint64
	Err        uint64
	DeadlineNS uint64
	MemHandle  uint64
}

// record is sixcall_ring_completion.
type record struct {
	Ticket     uint64
	RC         int32
	Op         uint32
	NOK, Flags uint32
	DoneNS     uint64
}

// item is sixcall_item. Its addresses are the worker's.
type item struct {
	Key           uint64
	KeyLen, Flags uint32
	Buf, Len      uint64
}

// ringHead is sixcall_ring.
type ringHead struct {
	Magic                uint64
	Version              uint32
	SQEntries, CQEntries uint32
	SQOffset, CQOffset   uint32
	_                    [9]uint32
	SQTail               atomic.Uint32
	_                    [15]uint32
	SQHead, SQNeedWake   atomic.Uint32
	_                    [14]uint32
	CQTail               atomic.Uint32
	_                    [15]uint32
	CQHead, CQNeedWake   atomic.Uint32
	_                    [14]uint32
	Call                 atomic.Uint32
	_                    uint32
	CallTicket           atomic.Uint64
	CallSinceNS          atomic.Uint64
	Calls, Completions   atomic.Uint64
	_                    [6]uint32
}

const (
	submissionSize = int(unsafe.Sizeof(submission{}))
	recordSize     = int(unsafe.Sizeof(record{}))
	itemSize       = int(unsafe.Sizeof(item{}))
	ringHeadSize   = int(unsafe.Sizeof(ringHead{}))
)

// ring is our view of the memory of one worker's two rings.
type ring struct {
	mem  []byte
	head *ringHead
	sq   []submission
	cq   []cqRecord
	tail uint32 // of the submissions; the worker's copy may say anything
	next uint32 // of the completions, likewise
}

// cqRecord is a record as it lies in the ring.
type cqRecord [4]atomic.Uint64

// newRing lays rings of entries submissions and twice as many completions out in
// mem, which is zero.
func newRing(mem []byte, entries int) *ring {
	head := (*ringHead)(unsafe.Pointer(unsafe.SliceData(mem)))
	sq := ringBytes(0)
	cq := sq + entries*submissionSize
	*head = ringHead{
		Magic: ringMagic, Version: ringVersion,
		SQEntries: uint32(entries), CQEntries: uint32(2 * entries),
		SQOffset: uint32(sq), CQOffset: uint32(cq),
	}
	head.CQNeedWake.Store(1)
	return &ring{
		mem: mem, head: head,
		sq: unsafe.Slice((*submission)(unsafe.Pointer(unsafe.SliceData(mem[sq:]))), entries),
		cq: unsafe.Slice((*cqRecord)(unsafe.Pointer(unsafe.SliceData(mem[cq:]))), 2*entries),
	}
}

// ringBytes is the memory that rings of that many submissions need.
func ringBytes(entries int) int {
	const page = 4096
	return page + entries*submissionSize + 2*entries*recordSize
}

// push publishes a submission and reports whether the worker has to be woken. ok is
// false when the worker says that it has read what was never written.
func (r *ring) push(s *submission) (wake, full, ok bool) {
	head := r.head
	used := r.tail - head.SQHead.Load()
	if used >= uint32(len(r.sq)) {
		return false, true, used == uint32(len(r.sq))
	}
	r.sq[r.tail&uint32(len(r.sq)-1)] = *s
	r.tail++
	head.SQTail.Store(r.tail)
	switch head.SQNeedWake.Load() {
	case 0:
		return false, false, true
	case wakeAlways:
		return true, false, true
	}
	return head.SQNeedWake.Swap(0) != 0, false, true
}

// waiting returns how many completions can be read. ok is false when the worker
// says that it has written more than there is room for.
func (r *ring) waiting() (n uint32, ok bool) {
	n = r.head.CQTail.Load() - r.next
	return n, n <= uint32(len(r.cq))
}

// pop copies the next completion, before anybody looks at it.
func (r *ring) pop() record {
	at := &r.cq[r.next&uint32(len(r.cq)-1)]
	r.next++
	a, b, c, d := at[0].Load(), at[1].Load(), at[2].Load(), at[3].Load()
	return record{
		Ticket: a, RC: int32(uint32(b)), Op: uint32(b >> 32),
		NOK: uint32(c), Flags: uint32(c >> 32), DoneNS: d,
	}
}

// popped tells the worker how far we have read.
func (r *ring) popped() { r.head.CQHead.Store(r.next) }

// sleep asks for a signal with the next completion.
func (r *ring) sleep() { r.head.CQNeedWake.Store(1) }

// address returns where p begins, for memory that does not move.
func address(p []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(p))) }

// bytesOf returns the memory of v.
func bytesOf(v []uint64) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), 8*len(v))
}

// itemsIn returns p, which is 8-byte aligned, as n items.
func itemsIn(p []byte, n int) []item {
	return unsafe.Slice((*item)(unsafe.Pointer(unsafe.SliceData(p[:n*itemSize]))), n)
}

// signal is an eventfd that another process has as well, and may have made
// blocking, filled or emptied: no use of it blocks for that.
type signal struct{ fd atomic.Int32 } // -1 after close

func newSignal() (*signal, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, err
	}
	s := &signal{}
	s.fd.Store(int32(fd))
	return s, nil
}

// num is the descriptor.
func (s *signal) num() int { return int(s.fd.Load()) }

// clear makes the descriptor silent.
func (s *signal) clear() {
	var count [8]byte
	vec := unix.Iovec{Base: &count[0], Len: 8}
	const noWait = 0x8 // RWF_NOWAIT
	for {
		_, _, errno := unix.RawSyscall6(unix.SYS_PREADV2, uintptr(s.fd.Load()), uintptr(unsafe.Pointer(&vec)), 1, ^uintptr(0), ^uintptr(0), noWait)
		switch errno {
		case unix.EINTR:
			continue
		case unix.EOPNOTSUPP, unix.ENOSYS:
			if s.readable() {
				_, _ = unix.Read(s.num(), count[:])
			}
		}
		return
	}
}

var one = [8]byte{1}

// raise makes the descriptor readable.
func (s *signal) raise() {
	if !s.readable() { // then the counter is 0, and the write does not block
		_, _ = unix.Write(s.num(), one[:])
	}
}

func (s *signal) readable() bool {
	fds := [1]unix.PollFd{{Fd: s.fd.Load(), Events: unix.POLLIN}}
	n, err := unix.Poll(fds[:], 0)
	return n == 1 && err == nil
}

func (s *signal) close() {
	if s == nil {
		return
	}
	if fd := s.fd.Swap(-1); fd >= 0 {
		_ = unix.Close(int(fd))
	}
}

// errSize is the size of the error block of a batch.
const errSize = kv.ErrBlockSize

// childStatus is the si_status of a SIGCHLD siginfo: the exit code or the signal.
func childStatus(info *unix.Siginfo) int {
	const offset = 24
	return int(*(*int32)(unsafe.Add(unsafe.Pointer(info), offset)))
}
