package eviction

import (
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/sixcall/sixcall/adapters/l2/eviction/quota"
)

// Options configures a Controller. The zero value is ready to use, without
// IsolatedLRU.
type Options struct {
	// Period is the pause between two cycles. Default 1s. Negative means that
	// there are none but those of [Controller.Cycle].
	Period time.Duration
	// DeleteTimeout limits one delete. Default 30s.
	DeleteTimeout time.Duration
	// EventWait is how long a pass waits for the events of a delete that removed
	// some of its keys: only they say which. Default 250ms.
	EventWait time.Duration
	// DeleteBatch is how many keys one delete has at most. Default 1024.
	DeleteBatch int
	// Quotas are the limits of the salts, for IsolatedLRU, which cannot be used
	// without: it wipes salts that have none.
	Quotas *quota.Manager
	// OnEvicted is told after each pass that tried to remove keys. It runs on the
	// goroutine of the pass, after it, and may use the Controller but not close
	// it. A panic is caught and counted. Default: nobody.
	OnEvicted func(Evicted)
	// Clock paces the cycles. Default: the system's.
	Clock Clock
	// Logger receives state changes, never a line per cycle. Default: discard.
	Logger *zap.Logger
}

// Clock is the time that paces cycles. Safe for concurrent use.
type Clock interface {
	// After returns a channel that receives once d has passed.
	After(d time.Duration) <-chan time.Time
}

type systemClock struct{}

func (systemClock) After(d time.Duration) <-chan time.Time { return time.After(d) }

// Validate reports every problem at once.
func (o Options) Validate() error {
	var errs []error
	if o.DeleteTimeout < 0 {
		errs = append(errs, fmt.Errorf("DeleteTimeout is %v, want more than 0, or 0 for the default", o.DeleteTimeout))
	}
	if o.EventWait < 0 {
		errs = append(errs, fmt.Errorf("EventWait is %v, want more than 0, or 0 for the default", o.EventWait))
	}
	if o.DeleteBatch < 0 {
		errs = append(errs, fmt.Errorf("DeleteBatch is %d, want 1 or more, or 0 for the default", o.DeleteBatch))
	}
	return errors.Join(errs...)
}

func (o Options) withDefaults() Options {
	if o.Period == 0 {
		o.Period = time.Second
	}
	if o.DeleteTimeout == 0 {
		o.DeleteTimeout = 30 * time.Second
	}
	if o.EventWait == 0 {
		o.EventWait = 250 * time.Millisecond
	}
	if o.DeleteBatch == 0 {
		o.DeleteBatch = 1024
	}
	if o.Clock == nil {
		o.Clock = systemClock{}
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	return o
}
