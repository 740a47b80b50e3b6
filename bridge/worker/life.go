//go:build linux && (amd64 || arm64)

package worker

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/internal/params"
)

// life is one worker from its start to the point where nothing of it is left. Each
// has rings, tickets and mappings of its own, so that what an old one left behind
// never meets a new one.
type life struct {
	c        *Connector
	library  string
	ringFD   int // open until the worker has it
	proc     *process
	control  *control
	pipes    []*os.File // our ends of stdout and stderr
	readers  sync.WaitGroup
	secrets  atomic.Pointer[params.Params] // for its Mask
	phase    atomic.Pointer[string]        // what the worker does beside batches, in words
	hello    hello
	info     kv.Info
	changed  []string
	warnings []string
	readyAt  time.Time

	// learning is held while the worker maps segments of the arena, so that each is
	// mapped once; the mutex of the regions does that for those.
	learning sync.Mutex
	mapMu    sync.Mutex // guards mappings
	mappings []mapping
	space    atomic.Pointer[space]
	handles  atomic.Pointer[[]handlePair]
	mapped   atomic.Int64 // bytes
	rss      atomic.Int64 // bytes of private memory

	wakeup *signal // of submissions
	// waking counts goroutines that are about to write to wakeup, and wakingSince is
	// when the latest of them began.
	waking      atomic.Int32
	wakingSince atomic.Int64

	// mu guards the slot table, serving, and our side of the submission ring. It is
	// never held across a system call or the worker's doing.
	mu      sync.Mutex
	rings   *ring
	serving bool
	slots   []slot
	unused  []uint32 // indexes of slots that are not out
	out     int

	// What follows belongs to Drain.
	distrusted bool // its completions count no more
	failedUpTo int  // slots that were failed after the end
	freed      bool

	doom    atomic.Pointer[doom] // why this side ends it; the first reason counts
	greeted chan struct{}        // closed when hello is set
	down    chan struct{}        // closed when the process has ended; ending is set by then
	ending  ending
	buried  atomic.Bool   // nothing can touch our memory any more
	gone    chan struct{} // closed when buried, with all its output read

	// What follows belongs to watch.
	pinged  *question // the latest ping
	suspect uint64    // when the call began that seemed to hang at the last look
}

// slot is one batch that the worker has.
type slot struct {
	gen      uint64
	out      bool
	op       kv.Op
	user     uint64 // ticket of the batch
	deadline uint64 // CLOCK_MONOTONIC, 0 = none
	batch    *kv.Batch
	copies   *bounce // nil = none
}

// doom is why this side ends a worker.
type doom struct {
	reason Reason
	text   string
}

// ending is how a worker ended. It is an error: what requests that were out get.
type ending struct {
	reason Reason
	exit   exit
	text   string // a sentence about "the worker process"
}

// Error implements the error interface.
func (e *ending) Error() string { return e.text }

// fileIdentity tells whether a path still leads to the file that was checked.
type fileIdentity struct {
	dev, ino      uint64
	size, mtimeNS int64
}

func identify(path string) (fileIdentity, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return fileIdentity{}, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return fileIdentity{uint64(st.Dev), st.Ino, st.Size, st.Mtim.Nano()}, nil
}

// kill ends the worker for a reason; the first one counts.
func (l *life) kill(reason Reason, format string, args ...any) {
	l.doom.CompareAndSwap(nil, &doom{reason, fmt.Sprintf(format, args...)})
	l.proc.kill()
}

// broken ends a worker that did what it must not, and says so.
func (l *life) broken(format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	l.kill(ReasonProtocol, "%s", text)
	return &kv.Error{Op: "worker", Connector: l.c.name(), Code: kv.Internal, Err: fmt.Errorf("the worker broke the protocol: %s", text)}
}

// listen reads the socket until its end.
func (l *life) listen() {
	greeted := false // only this goroutine looks
	err := l.control.run(func(body any) error {
		switch m := body.(type) {
		case hello:
			if greeted {
				return fmt.Errorf("it sent a second hello")
			}
			greeted = true
			l.hello = m
			close(l.greeted)
			return nil
		case logLine:
			l.c.output.log(m, l.mask)
			return nil
		}
		return fmt.Errorf("it sent a %T that nobody asked for", body)
	})
	close(l.control.over)
	if err != nil {
		l.kill(ReasonProtocol, "%v", err)
		return
	}
	select {
	case <-l.proc.ended:
	case <-time.After(time.Second): // a worker that is ending closes it a little earlier
		l.kill(ReasonProtocol, "it closed its control socket and lives on")
	}
}

// attend waits for the end of the process and clears up after it.
func (l *life) attend() {
	<-l.proc.ended
	l.mu.Lock()
	l.serving = false
	l.mu.Unlock()
	select {
	case <-l.control.over: // with what it still had to say
	case <-l.proc.buried:
		<-l.control.over
	}
	l.ending = l.conclude()
	l.control.end(&l.ending)
	close(l.down)

	<-l.proc.buried
	l.control.close()
	l.wakeup.clear()
	// The writers are dead, but for a process that left the group.
	for _, p := range l.pipes {
		_ = p.SetReadDeadline(time.Now().Add(time.Second))
	}
	l.readers.Wait()
	for _, p := range l.pipes {
		_ = p.Close()
	}
	l.buried.Store(true)
	l.c.event.raise()
	close(l.gone)
}

// conclude says how the process ended, after it has.
func (l *life) conclude() ending {
	e := ending{exit: l.proc.exit, reason: ReasonExit}
	place := l.where()
	switch d := l.doom.Load(); {
	case d != nil:
		e.reason, e.text = d.reason, "the worker process was killed: "+d.text
	default:
		if e.exit.signal != 0 {
			e.reason = ReasonCrash
		}
		e.text = "the worker process " + e.exit.String() + place
		// Just below the limit an allocation fails, and few libraries survive that.
		if limit := l.c.opts.MemoryLimit; limit > 0 && l.rss.Load() >= limit-limit/8 {
			e.reason = ReasonMemoryLimit
			e.text += fmt.Sprintf("; it used %d bytes of private memory, the limit is %d", l.rss.Load(), limit)
		}
	}
	return e
}

// where says in what the worker was when it was last seen, as a part of a sentence.
func (l *life) where() string {
	if name := callName(l.rings.head.Call.Load()); name != "" {
		return " in " + name
	}
	if phase := l.phase.Load(); phase != nil && *phase != "" {
		return " " + *phase
	}
	if kind := l.control.out(); kind != nil {
		return " in " + requestName(kind)
	}
	return ""
}

func (l *life) setPhase(text string) { l.phase.Store(&text) }

// callName names a SIXCALL_CALL_ value, "" for none.
func callName(call uint32) string {
	switch call {
	case callDrain:
		return "drain_completions"
	case callEventFD:
		return "event_fd"
	case callSubmit + uint32(kv.OpPing):
		return "submit_ping"
	case callSubmit + opList:
		return "submit_list"
	case callSubmit + ringCancel:
		return "cancel"
	}
	if op := kv.Op(call - callSubmit); call >= callSubmit && op >= kv.OpGet && op <= kv.OpDelete {
		return "submit_batch_" + op.String()
	}
	return ""
}

func requestName(kind any) string {
	switch k := kind.(type) {
	case loadRequest:
		return "the loading of the library"
	case openRequest:
		return "open"
	case mapRequest:
		if k.register {
			return "register_memory"
		}
		return "a mapping of memory"
	case unmapRequest:
		if k.handle != 0 {
			return "unregister_memory"
		}
		return "an unmapping of memory"
	case usageRequest:
		return "usage"
	case statsRequest:
		return "stats_text"
	case listRequest:
		return "submit_list"
	case closeRequest:
		return "close"
	}
	return "a ping"
}

// mask hides the secrets of the configuration.
func (l *life) mask(text string) string {
	if p := l.secrets.Load(); p != nil {
		return p.Mask(text)
	}
	return text
}

// close ends the worker, which may take grace to stop its work and close the
// library, and a second more. It reports whether the library closed by itself.
func (l *life) close(grace time.Duration) (clean bool) {
	limit := max(grace, 0) + time.Second
	l.mu.Lock()
	l.serving = false
	l.mu.Unlock()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	_, err := l.control.ask(limit, request{kind: closeRequest{milliseconds(grace)}})
	if err == nil {
		select {
		case <-l.proc.ended:
			return true
		case <-deadline.C:
		}
	}
	l.kill(ReasonHost, "it did not close within %v", limit)
	return false
}

// await waits until nothing of the worker is left, at most for limit.
func (l *life) await(limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-l.gone:
		return true
	case <-timer.C:
		return false
	}
}

// free gives the rings back. The worker is buried, and nobody submits.
func (l *life) free() {
	if l.freed {
		return
	}
	l.freed = true
	l.mu.Lock()
	mem := l.rings.mem
	l.rings, l.slots, l.unused = nil, nil, nil
	l.mu.Unlock()
	for l.waking.Load() > 0 { // a write that cannot block: the counter was cleared
		time.Sleep(10 * time.Microsecond)
	}
	l.wakeup.close()
	_ = unix.Munmap(mem)
}
