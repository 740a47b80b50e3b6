//go:build linux && (amd64 || arm64)

package worker

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
	"unsafe"

	flatbuffers "github.com/google/flatbuffers/go"
	"golang.org/x/sys/unix"

	"github.com/sixcall/sixcall/bridge/eventfd"
	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/bridge/worker/wire"
)

// FakeEnv makes the test program be a worker: it holds what the worker does, as a
// comma-separated list. A worker in Go speaks the protocol as the real one does,
// keeps values in a map, and can be told to break every rule.
const FakeEnv = "SIXCALL_TEST_FAKE_WORKER"

// fake is a worker.
type fake struct {
	does []string
	sock int
	head *ringHead
	sq   []submission
	cq   []cqRecord
	wake int // eventfd of submissions
	done int // eventfd of completions

	mu     sync.Mutex // guards what follows, and the completion ring
	values map[string][]byte
	maps   [][]byte
	held   []submission
}

func (f *fake) is(what string) bool { return slices.Contains(f.does, what) }

// FakeMain runs the worker; it does not return.
func FakeMain() {
	f := &fake{does: strings.Split(os.Getenv(FakeEnv), ","), sock: 3, values: map[string][]byte{}}
	switch {
	case f.is("exit"):
		fmt.Fprintln(os.Stderr, "no such thing as a library")
		os.Exit(7)
	case f.is("mute"):
		select {}
	case f.is("noise"):
		f.sendRaw(bytes.Repeat([]byte{0xA5}, 100))
		select {}
	}
	f.hello()
	for {
		id, kind, m, fds := f.receive()
		f.serve(id, kind, m, fds)
	}
}

func (f *fake) hello() {
	major := uint16(1)
	if f.is("version2") {
		major = 2
	}
	f.send(0, wire.BodyHello, func(b *flatbuffers.Builder) flatbuffers.UOffsetT {
		version := b.CreateString("0.0.1-fake")
		wire.HelloStart(b)
		wire.HelloAddProtocolMajor(b, major)
		wire.HelloAddAbiMajor(b, 1)
		wire.HelloAddVersion(b, version)
		wire.HelloAddPid(b, int32(os.Getpid()))
		return wire.HelloEnd(b)
	})
}

// serve answers one request.
func (f *fake) serve(id uint64, kind wire.Body, m flatbuffers.Table, fds []int) {
	switch kind {
	case wire.BodyLoad:
		f.load(fds)
		if f.is("crash-load") {
			crash()
		}
		f.loaded(id)
	case wire.BodyOpen:
		var open wire.Open
		open.Init(m.Bytes, m.Pos)
		config := make([]byte, open.ConfigLen())
		if _, err := unix.Pread(fds[0], config, 0); err != nil {
			panic(err)
		}
		_ = unix.Close(fds[0])
		if f.is("refuse-open") {
			f.refuse(id, -10, 111, "cannot connect with "+string(config))
			return
		}
		if f.is("hang-open") {
			select {}
		}
		f.send(id, wire.BodyOpened, func(b *flatbuffers.Builder) flatbuffers.UOffsetT {
			wire.OpenedStart(b)
			wire.OpenedAddLimits(b, wire.CreateLimits(b, 0, 0, 8, 0, 0, 0))
			return wire.OpenedEnd(b)
		})
		go f.pump()
		f.misbehave()
	case wire.BodyMap:
		f.mapMemory(id, m, fds)
	case wire.BodyPing:
		if !f.is("no-pong") {
			f.send(id, wire.BodyPong, empty(wire.PongStart, wire.PongEnd))
		}
	case wire.BodyUsage:
		switch {
		case f.is("wrong-answer"):
			f.send(id, wire.BodyDone, empty(wire.DoneStart, wire.DoneEnd))
		case f.is("hang-usage"):
		default:
			f.send(id, wire.BodyUsageReply, empty(wire.UsageReplyStart, wire.UsageReplyEnd))
		}
	case wire.BodyStats:
		f.send(id, wire.BodyStatsReply, func(b *flatbuffers.Builder) flatbuffers.UOffsetT {
			text := b.CreateString("fake 1\n")
			wire.StatsReplyStart(b)
			wire.StatsReplyAddText(b, text)
			return wire.StatsReplyEnd(b)
		})
	case wire.BodyList:
		f.send(id, wire.BodyListReply, func(b *flatbuffers.Builder) flatbuffers.UOffsetT {
			entries := b.CreateByteVector([]byte{200, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 'a'})
			wire.ListReplyStart(b)
			wire.ListReplyAddN(b, 1<<31)
			wire.ListReplyAddEntries(b, entries)
			return wire.ListReplyEnd(b)
		})
	case wire.BodyUnmap:
		f.send(id, wire.BodyDone, empty(wire.DoneStart, wire.DoneEnd))
	case wire.BodyClose:
		if f.is("stay") {
			return
		}
		f.send(id, wire.BodyDone, empty(wire.DoneStart, wire.DoneEnd))
		os.Exit(0)
	}
}

func empty(start func(*flatbuffers.Builder), end func(*flatbuffers.Builder) flatbuffers.UOffsetT) func(*flatbuffers.Builder) flatbuffers.UOffsetT {
	return func(b *flatbuffers.Builder) flatbuffers.UOffsetT { start(b); return end(b) }
}

// load maps the rings.
func (f *fake) load(fds []int) {
	if len(fds) != 3 {
		panic(fmt.Sprintf("%d descriptors came with Load", len(fds)))
	}
	var st unix.Stat_t
	if err := unix.Fstat(fds[0], &st); err != nil {
		panic(err)
	}
	mem, err := unix.Mmap(fds[0], 0, int(st.Size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		panic(err)
	}
	f.head = (*ringHead)(unsafe.Pointer(&mem[0]))
	if f.head.Magic != ringMagic || f.head.Version != ringVersion {
		panic("no ring")
	}
	f.sq = unsafe.Slice((*submission)(unsafe.Pointer(&mem[f.head.SQOffset])), f.head.SQEntries)
	f.cq = unsafe.Slice((*cqRecord)(unsafe.Pointer(&mem[f.head.CQOffset])), f.head.CQEntries)
	f.wake, f.done = fds[1], fds[2]
}

func (f *fake) loaded(id uint64) {
	f.send(id, wire.BodyLoaded, func(b *flatbuffers.Builder) flatbuffers.UOffsetT {
		name, version := b.CreateString("fake"), b.CreateString("1.2.3")
		schema := b.CreateString(`{"type":"object","properties":{"token":{"type":"string"},"size":{"type":"integer"}}}`)
		wire.LoadedStart(b)
		wire.LoadedAddName(b, name)
		wire.LoadedAddVersion(b, version)
		wire.LoadedAddVendor(b, name)
		caps := kv.CapDelete | kv.CapPing | kv.CapCancel | kv.CapRegisterMemory | kv.CapUsage | kv.CapList | kv.CapStatsText | kv.CapDeadline
		if f.is("less") {
			caps = kv.CapDelete
		}
		wire.LoadedAddCaps(b, uint64(caps))
		wire.LoadedAddConfigSchema(b, schema)
		return wire.LoadedEnd(b)
	})
}

func (f *fake) mapMemory(id uint64, m flatbuffers.Table, fds []int) {
	var req wire.Map
	req.Init(m.Bytes, m.Pos)
	mem, err := unix.Mmap(fds[0], int64(req.Offset()), int(req.Len()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		panic(err)
	}
	_ = unix.Close(fds[0])
	if f.is("slow-map") {
		return
	}
	f.mu.Lock()
	f.maps = append(f.maps, mem)
	f.mu.Unlock()
	base := uint64(uintptr(unsafe.Pointer(&mem[0])))
	if f.is("map-nowhere") {
		base = 0
	}
	f.send(id, wire.BodyMapped, func(b *flatbuffers.Builder) flatbuffers.UOffsetT {
		wire.MappedStart(b)
		wire.MappedAddBase(b, base)
		if req.Register() {
			wire.MappedAddHandle(b, 4711)
		}
		return wire.MappedEnd(b)
	})
}

// misbehave does what needs no batch.
func (f *fake) misbehave() {
	switch {
	case f.is("tail-far"):
		f.head.CQTail.Store(1 << 20)
	case f.is("sq-head"):
		f.head.SQHead.Store(77)
	case f.is("unasked"):
		f.send(999, wire.BodyDone, empty(wire.DoneStart, wire.DoneEnd))
	case f.is("second-hello"):
		f.hello()
	case f.is("empty-message"):
		f.sendRaw(nil)
	case f.is("long-message"):
		f.sendRaw(make([]byte, maxMessage+100))
	case f.is("bad-message"):
		raw := bytes.Repeat([]byte{0xFF}, 64)
		copy(raw[4:], messageMark)
		f.sendRaw(raw)
	case f.is("event-fd"):
		f.seizeEvents()
	case f.is("grandchild"):
		cmd := exec.Command("sh", "-c", "trap '' TERM; echo grandchild $$; while :; do sleep 600; done")
		cmd.Stdout = os.Stdout
		if err := cmd.Start(); err != nil {
			panic(err)
		}
	case f.is("leak"):
		go func() {
			for {
				hold := make([]byte, 16<<20)
				for i := 0; i < len(hold); i += 4096 {
					hold[i] = 1
				}
				f.mu.Lock()
				f.values[fmt.Sprint(len(f.values))] = hold
				f.mu.Unlock()
				time.Sleep(time.Millisecond)
			}
		}()
	}
	if f.is("scribble") {
		go f.scribble()
	}
	if f.is("flood") {
		go func() {
			for {
				fmt.Fprintf(os.Stderr, "flood \x1b[31m\x00\xff %s\n", strings.Repeat("x", 100))
			}
		}()
	}
}

// seizeEvents makes both event descriptors blocking, and as full or empty as hurts
// most.
func (f *fake) seizeEvents() {
	for _, fd := range []int{f.wake, f.done} {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		if err != nil {
			panic(err)
		}
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFL, flags&^unix.O_NONBLOCK); err != nil {
			panic(err)
		}
	}
	full := bytes.Repeat([]byte{0xFF}, 8)
	full[0] = 0xFE
	_, _ = unix.Write(f.wake, full)
}

// scribble writes noise over everything that is shared, except the rings.
func (f *fake) scribble() {
	for {
		f.mu.Lock()
		maps := f.maps
		f.mu.Unlock()
		for _, mem := range maps {
			for range 1000 {
				// Most of it at the start, where small arenas have everything.
				at := rand.IntN(min(len(mem), 1<<rand.IntN(24)+8))
				mem[at] = byte(rand.Uint32())
			}
		}
		if f.is("gently") {
			time.Sleep(10 * time.Microsecond)
		}
	}
}

// pump reads submissions.
func (f *fake) pump() {
	runtime.LockOSThread()
	if f.is("scribble") { // its items are noise, too
		defer func() { _ = recover(); crash() }()
	}
	var next uint32
	var count [8]byte
	for {
		if f.head.SQTail.Load() == next {
			f.head.SQNeedWake.Store(1)
			if f.head.SQTail.Load() == next && !f.is("event-fd") {
				fds := []unix.PollFd{{Fd: int32(f.wake), Events: unix.POLLIN}}
				_, _ = unix.Poll(fds, -1)
				_, _ = unix.Read(f.wake, count[:])
			}
			continue
		}
		s := f.sq[next%uint32(len(f.sq))]
		next++
		if !f.is("sq-head") {
			f.head.SQHead.Store(next)
		}
		f.run(s)
	}
}

// run executes one submission.
func (f *fake) run(s submission) {
	switch {
	case s.Op == ringCancel:
		f.release(s.Ticket)
		return
	case f.is("hold"):
		f.mu.Lock()
		f.held = append(f.held, s)
		f.mu.Unlock()
		return
	case f.is("crash-get") && kv.Op(s.Op) == kv.OpGet:
		f.enter(s)
		status := at[byte](s.Status, int(s.N))
		for i := range status {
			status[i] = kv.StatusHit // which proves nothing
		}
		crash()
	case f.is("hang-get") && kv.Op(s.Op) == kv.OpGet:
		f.enter(s)
		select {}
	case f.is("tickets"):
		for _, ticket := range []uint64{0, 1, ^uint64(0), s.Ticket + 1, s.Ticket + 1<<slotBits, s.Ticket ^ 1<<62} {
			f.complete(submission{Ticket: ticket, Op: s.Op}, 0)
		}
	}
	var ok uint32
	if s.Op != uint32(kv.OpPing) && !f.is("scribble") {
		ok = f.items(s)
	}
	if f.is("wrong-op") {
		s.Op = 77
	}
	f.complete(s, ok)
	if f.is("tail-back") {
		f.head.CQTail.Add(^uint32(100))
	}
	if f.is("twice") || f.is("tickets") {
		f.complete(s, ok)
	}
}

// enter leaves the breadcrumb of a call.
func (f *fake) enter(s submission) {
	f.head.CallSinceNS.Store(eventfd.MonotonicNS())
	f.head.CallTicket.Store(s.Ticket)
	f.head.Call.Store(callSubmit + s.Op)
}

func (f *fake) items(s submission) (ok uint32) {
	items := at[item](s.Items, int(s.N))
	status := at[byte](s.Status, int(s.N))
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, it := range items {
		key := string(at[byte](it.Key, int(it.KeyLen)))
		var buf []byte
		if it.Len > 0 {
			buf = at[byte](it.Buf, int(it.Len))
		}
		value, there := f.values[key]
		result := byte(kv.StatusMiss)
		switch kv.Op(s.Op) {
		case kv.OpSet:
			f.values[key], result = bytes.Clone(buf), kv.StatusHit
		case kv.OpGet:
			if there && len(value) == len(buf) {
				copy(buf, value)
				result = kv.StatusHit
			} else if there {
				result = kv.StatusSize
			}
		case kv.OpExists:
			if there {
				result = kv.StatusHit
			}
		case kv.OpDelete:
			if there {
				delete(f.values, key)
				result = kv.StatusHit
			}
		}
		status[i] = result
		if result == kv.StatusHit {
			ok++
		}
	}
	return ok
}

// release completes a batch that was held, as cancelled.
func (f *fake) release(ticket uint64) {
	f.mu.Lock()
	i := slices.IndexFunc(f.held, func(s submission) bool { return s.Ticket == ticket })
	if i < 0 {
		f.mu.Unlock()
		return
	}
	s := f.held[i]
	f.held = slices.Delete(f.held, i, i+1)
	f.mu.Unlock()
	status := at[byte](s.Status, int(s.N))
	for i := range status {
		status[i] = kv.StatusCancelled
	}
	f.completeRC(s, 0, -8)
}

func (f *fake) complete(s submission, ok uint32) { f.completeRC(s, ok, 0) }

func (f *fake) completeRC(s submission, ok uint32, rc int32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	tail := f.head.CQTail.Load()
	at := &f.cq[tail%uint32(len(f.cq))]
	at[0].Store(s.Ticket)
	at[1].Store(uint64(uint32(rc)) | uint64(s.Op)<<32)
	at[2].Store(uint64(ok))
	at[3].Store(eventfd.MonotonicNS())
	f.head.CQTail.Store(tail + 1)
	if f.head.CQNeedWake.Swap(0) != 0 {
		_, _ = unix.Write(f.done, one[:])
	}
}

// crash ends the process by a signal that Go does not make an exit of.
func crash() {
	_ = unix.Kill(os.Getpid(), unix.SIGKILL)
	select {}
}

func (f *fake) refuse(id uint64, code, vendorCode int32, message string) {
	f.send(id, wire.BodyFailed, func(b *flatbuffers.Builder) flatbuffers.UOffsetT {
		at := b.CreateString(message)
		wire.FailedStart(b)
		wire.FailedAddCode(b, code)
		wire.FailedAddVendorCode(b, vendorCode)
		wire.FailedAddText(b, at)
		return wire.FailedEnd(b)
	})
}

func (f *fake) send(id uint64, kind wire.Body, body func(*flatbuffers.Builder) flatbuffers.UOffsetT) {
	b := flatbuffers.NewBuilder(256)
	at := body(b)
	wire.MessageStart(b)
	wire.MessageAddId(b, id)
	wire.MessageAddBodyType(b, kind)
	wire.MessageAddBody(b, at)
	b.FinishWithFileIdentifier(wire.MessageEnd(b), []byte(messageMark))
	f.sendRaw(b.FinishedBytes())
}

func (f *fake) sendRaw(data []byte) {
	for {
		err := unix.Sendto(f.sock, data, unix.MSG_NOSIGNAL, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			os.Exit(4)
		}
		return
	}
}

func (f *fake) receive() (id uint64, kind wire.Body, m flatbuffers.Table, fds []int) {
	data, rights := make([]byte, maxMessage), make([]byte, 256)
	n, rn, _, _, err := unix.Recvmsg(f.sock, data, rights, unix.MSG_CMSG_CLOEXEC)
	for err == unix.EINTR {
		n, rn, _, _, err = unix.Recvmsg(f.sock, data, rights, unix.MSG_CMSG_CLOEXEC)
	}
	if err != nil || n == 0 {
		os.Exit(4)
	}
	if rn > 0 {
		all, err := unix.ParseSocketControlMessage(rights[:rn])
		if err != nil {
			panic(err)
		}
		for i := range all {
			got, err := unix.ParseUnixRights(&all[i])
			if err != nil {
				panic(err)
			}
			fds = append(fds, got...)
		}
	}
	root := wire.GetRootAsMessage(data[:n], 0)
	root.Body(&m)
	return root.Id(), root.BodyType(), m, fds
}

// at returns n values at an address of this process, which the host has computed.
func at[T any](addr uint64, n int) []T { return unsafe.Slice(*(**T)(unsafe.Pointer(&addr)), n) }
