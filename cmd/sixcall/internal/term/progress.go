package term

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// Progress shows how far a run is, on a terminal only. Add is safe for
// concurrent use and cheap.
type Progress struct {
	done, bytes atomic.Int64
	stop        chan struct{}
	stopped     chan struct{}
}

// NewProgress starts a bar of total steps, called noun, on w. When w is no
// terminal nothing is written.
func NewProgress(w io.Writer, noun string, total int) *Progress {
	p := &Progress{stop: make(chan struct{}), stopped: make(chan struct{})}
	if f, ok := w.(*os.File); !ok || !term.IsTerminal(int(f.Fd())) {
		close(p.stopped)
		return p
	}
	bar := progressbar.NewOptions(total,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetDescription(noun),
		progressbar.OptionShowCount(),
		progressbar.OptionSetWidth(24),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionSetElapsedTime(true),
		progressbar.OptionFullWidth(),
		progressbar.OptionClearOnFinish(),
	)
	go p.draw(bar, noun)
	return p
}

// draw updates the bar ten times a second until Stop.
func (p *Progress) draw(bar *progressbar.ProgressBar, noun string) {
	defer close(p.stopped)
	const interval = 100 * time.Millisecond
	tick := time.NewTicker(interval)
	defer tick.Stop()
	started := time.Now()
	for {
		select {
		case <-p.stop:
			_ = bar.Clear() // the result follows; a bar that cannot be drawn is no failure
			return
		case <-tick.C:
			done, took := p.done.Load(), time.Since(started)
			bar.Describe(fmt.Sprintf("%s %.0f/s %s GB/s", noun, float64(done)/took.Seconds(), Rate(p.bytes.Load(), took)))
			_ = bar.Set64(done)
		}
	}
}

// Add counts one step that moved bytes.
func (p *Progress) Add(bytes int64) {
	p.done.Add(1)
	p.bytes.Add(bytes)
}

// Stop takes the bar away. Call it once.
func (p *Progress) Stop() {
	close(p.stop)
	<-p.stopped
}
