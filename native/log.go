//go:build linux && (amd64 || arm64)

package native

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/ebitengine/purego"

	"github.com/sixcall/sixcall/internal/params"
)

const (
	maxLogLine   = 4 << 10 // bytes; longer lines are cut
	maxLogQueue  = 256     // lines that wait for the host's function
	maxLogPerSec = 1000    // lines of one connection that are taken in a second
)

// logSink takes lines of one connection from any thread, without blocking, and
// hands them to the host's function from one goroutine.
type logSink struct {
	id       uintptr // what the library gets as log_ctx; never used twice
	maxLevel int32
	lines    chan logLine
	done     chan struct{} // closed when the goroutine has ended

	second  atomic.Int64 // the clock second that taken counts
	taken   atomic.Int64
	dropped atomic.Int64
}

type logLine struct {
	level int
	text  string
}

// sinks maps log_ctx to *logSink. An index and not an address, so that a late
// or wrong log_ctx finds nothing.
var (
	sinks    sync.Map
	lastSink atomic.Uintptr
)

// logCallback is the one C function that all libraries log to.
var logCallback = sync.OnceValue(func() uintptr {
	return purego.NewCallback(func(ctx uintptr, level int32, text uintptr, length uint64) uintptr {
		if s, ok := sinks.Load(ctx); ok {
			s.(*logSink).take(level, text, length)
		}
		return 0
	})
})

// newLogSink starts a sink; mask hides secrets in a line.
func newLogSink(maxLevel int32, mask func(string) string, to func(level int, text string)) *logSink {
	s := &logSink{id: lastSink.Add(1), maxLevel: maxLevel, lines: make(chan logLine, maxLogQueue), done: make(chan struct{})}
	sinks.Store(s.id, s)
	go s.run(mask, to)
	return s
}

// take runs on a thread of the library, inside its call.
func (s *logSink) take(level int32, text uintptr, length uint64) {
	if level > s.maxLevel || text == 0 {
		return
	}
	if now := time.Now().Unix(); s.second.Swap(now) != now {
		s.taken.Store(0)
	}
	if s.taken.Add(1) > maxLogPerSec {
		s.dropped.Add(1)
		return
	}
	line := unsafe.String((*byte)(pointer(text)), min(length, maxLogLine))
	select {
	case s.lines <- logLine{int(max(level, 0)), strings.Clone(line)}:
	default:
		s.dropped.Add(1)
	}
}

func (s *logSink) run(mask func(string) string, to func(level int, text string)) {
	defer close(s.done)
	for line := range s.lines {
		if line.level < 0 {
			return
		}
		to(line.level, mask(params.Printable(line.text)))
		if n := s.dropped.Swap(0); n > 0 {
			to(cLogWarn, fmt.Sprintf("%d log lines of the connector were dropped: it logs faster than they are taken", n))
		}
	}
}

// stop takes no further lines and returns when those taken are handed over. The
// channel is never closed, since a library may log late, against the contract.
func (s *logSink) stop() {
	sinks.Delete(s.id)
	s.lines <- logLine{level: -1}
	<-s.done
}
