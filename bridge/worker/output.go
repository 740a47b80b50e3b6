//go:build linux && (amd64 || arm64)

package worker

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sixcall/sixcall/internal/params"
)

const (
	maxLine       = 4 << 10 // bytes; longer lines are cut
	keptLines     = 32
	printedPerSec = 100  // lines of stdout and stderr
	loggedPerSec  = 1000 // lines of the connector's log
	maxLogQueue   = 256  // lines that wait for Options.Log
	logErrorLevel = 0
	logWarnLevel  = 1
	logInfoLevel  = 2
	logDebugLevel = 3
)

// output takes what workers print and log, keeps the end of it for Status, and
// passes it on to Options.Log from a goroutine of its own. Nothing here waits for
// that function: a worker that cannot print would stand still.
type output struct {
	to    func(level int, text string)
	queue chan printed
	done  chan struct{} // closed when the goroutine has ended
	lost  atomic.Int64

	printing, logging limiter

	mu    sync.Mutex // guards what follows
	lines [keptLines]string
	count int // lines ever kept
	ended bool
}

type printed struct {
	level int
	text  string
}

func newOutput(to func(level int, text string)) *output {
	o := &output{
		to: to, done: make(chan struct{}),
		printing: limiter{limit: printedPerSec}, logging: limiter{limit: loggedPerSec},
	}
	if to == nil {
		close(o.done)
		return o
	}
	o.queue = make(chan printed, maxLogQueue)
	go o.run()
	return o
}

func (o *output) run() {
	defer close(o.done)
	var told int64
	for line := range o.queue {
		o.to(line.level, line.text)
		if lost := o.lost.Load(); lost > told {
			o.to(logWarnLevel, fmt.Sprintf("%d lines of the worker were dropped: they come faster than they are taken", lost-told))
			told = lost
		}
	}
}

// add keeps a line and passes it on.
func (o *output) add(level int, label, line string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lines[o.count%keptLines] = label + line
	o.count++
	if o.to == nil || o.ended {
		return
	}
	select {
	case o.queue <- printed{level, label + line}:
	default:
		o.lost.Add(1)
	}
}

// last returns up to n lines, oldest first.
func (o *output) last(n int) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	n = min(n, o.count, keptLines)
	out := make([]string, 0, n)
	for i := o.count - n; i < o.count; i++ {
		out = append(out, o.lines[i%keptLines])
	}
	return out
}

// stop returns when the lines taken so far were passed on; later ones are not.
func (o *output) stop() {
	o.mu.Lock()
	ended := o.ended
	o.ended = true
	if !ended && o.to != nil {
		close(o.queue)
	}
	o.mu.Unlock()
	<-o.done
}

// read takes lines of a pipe until its end. mask hides secrets.
func (o *output) read(from io.Reader, level int, label string, mask func(string) string) {
	buf := make([]byte, 32<<10)
	var line []byte // what came since the last newline, cut
	flush := func() {
		if len(line) > 0 && line[len(line)-1] == '\r' {
			line = line[:len(line)-1]
		}
		switch {
		case len(line) == 0:
		case !o.printing.take():
			o.lost.Add(1)
		default:
			o.add(level, label, mask(params.Printable(string(line))))
		}
		line = line[:0]
	}
	for {
		n, err := from.Read(buf)
		for part := buf[:n]; len(part) > 0; {
			end := bytes.IndexByte(part, '\n')
			piece := part
			if end >= 0 {
				piece = part[:end]
			}
			line = append(line, piece[:min(len(piece), maxLine-len(line))]...)
			if end < 0 {
				break
			}
			flush()
			part = part[end+1:]
		}
		if err != nil {
			flush()
			return
		}
	}
}

// log takes a line of the connector's log.
func (o *output) log(l logLine, mask func(string) string) {
	if l.dropped > 0 {
		o.lost.Add(int64(min(l.dropped, 1<<32)))
	}
	if !o.logging.take() {
		o.lost.Add(1)
		return
	}
	o.add(min(max(l.level, logErrorLevel), logDebugLevel), "", mask(params.Printable(l.text)))
}

// limiter lets limit things pass in each second of the clock.
type limiter struct {
	limit int64

	mu     sync.Mutex // guards what follows
	second int64
	taken  int64
}

func (l *limiter) take() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now().Unix(); now != l.second {
		l.second, l.taken = now, 0
	}
	l.taken++
	return l.taken <= l.limit
}
