package bridge

import (
	"errors"
	"maps"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/sixcall/sixcall/bridge/kv"
)

// burst is how long an error must have been absent for its next one to be
// logged again.
const burst = 30 * time.Second

// ErrorCount is how often one error happened in one class.
type ErrorCount struct {
	Class string // of the task, or "drain"
	Code  kv.Code
	// VendorCode is the backend's own number, 0 if it gave none.
	VendorCode int32
}

// ErrorStat is what is known of one ErrorCount.
type ErrorStat struct {
	Count int64
	First string    // the text of the first one
	Last  time.Time // of the last one
}

// maxErrorKinds bounds the table: vendor codes are the vendor's to choose.
const maxErrorKinds = 128

// errorLog counts errors by kind, keeps the first text of each, and logs one
// line per burst. It is used on failures only. Safe for concurrent use.
type errorLog struct {
	mu    sync.Mutex // guards what follows
	kinds map[ErrorCount]ErrorStat
	last  string
}

// note counts an error.
func (l *errorLog) note(class string, err error, log *zap.Logger) {
	kind := ErrorCount{Class: class, Code: kv.Internal}
	var e *kv.Error
	if errors.As(err, &e) {
		kind.Code, kind.VendorCode = e.Code, e.VendorCode
	}
	text, now := err.Error(), time.Now()
	l.mu.Lock()
	if l.kinds == nil {
		l.kinds = map[ErrorCount]ErrorStat{}
	}
	stat, known := l.kinds[kind]
	if !known && len(l.kinds) >= maxErrorKinds {
		kind.VendorCode = 0
		stat, known = l.kinds[kind]
	}
	if !known {
		stat.First = text
	}
	quiet := now.Sub(stat.Last) > burst
	stat.Count++
	stat.Last = now
	l.kinds[kind] = stat
	l.last = text
	l.mu.Unlock()
	if quiet {
		log.Warn("operation failed; more of the same within the next seconds are only counted",
			zap.String("class", class), zap.Error(err))
	}
}

// snapshot returns a copy of the table and the last text.
func (l *errorLog) snapshot() (map[ErrorCount]ErrorStat, string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.kinds), l.last
}
