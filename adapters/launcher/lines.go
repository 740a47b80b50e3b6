package launcher

import (
	"bytes"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// longestLine is where a line is cut in two, bytes.
const longestLine = 16 << 10

// splitter turns the bytes of one plugin into lines of text. What is not UTF-8, or
// would disturb a terminal, is shown as an escape. One goroutine.
type splitter struct {
	buf  []byte
	line func(text string)
}

// Write takes all of p.
func (s *splitter) Write(p []byte) (int, error) {
	for n := len(p); ; {
		end := bytes.IndexByte(p, '\n')
		room := longestLine - len(s.buf)
		switch {
		case end >= 0 && end <= room:
			s.buf = append(s.buf, p[:end]...)
			p = p[end+1:]
			s.flush()
		case len(p) > room:
			s.buf = append(s.buf, p[:room]...)
			p = p[room:]
			s.flush()
		default:
			s.buf = append(s.buf, p...)
			return n, nil
		}
	}
}

// end reports what came after the last line end.
func (s *splitter) end() {
	if len(s.buf) > 0 {
		s.flush()
	}
}

func (s *splitter) flush() {
	s.line(readable(bytes.TrimRight(s.buf, " \t\r")))
	s.buf = s.buf[:0]
}

func readable(line []byte) string {
	var b strings.Builder
	for len(line) > 0 {
		r, size := utf8.DecodeRune(line)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, line[0])
		case r == '\t' || unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		line = line[size:]
	}
	return b.String()
}

// limiter lets a burst of lines pass, and then so many a second. One goroutine.
type limiter struct {
	perSecond float64
	burst     float64
	tokens    float64
	last      time.Time
	dropped   int
}

func newLimiter(perSecond int) *limiter {
	rate := float64(perSecond)
	return &limiter{perSecond: rate, burst: 2 * rate, tokens: 2 * rate}
}

// pass reports whether a line at this time is shown, and how many were not since
// the last one that was.
func (l *limiter) pass(now time.Time) (ok bool, dropped int) {
	if !l.last.IsZero() {
		l.tokens = min(l.burst, l.tokens+now.Sub(l.last).Seconds()*l.perSecond)
	}
	l.last = now
	if l.tokens < 1 {
		l.dropped++
		return false, 0
	}
	l.tokens--
	dropped, l.dropped = l.dropped, 0
	return true, dropped
}
