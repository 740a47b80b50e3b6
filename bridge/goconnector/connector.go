package goconnector

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sixcall/sixcall/bridge/eventfd"
	"github.com/sixcall/sixcall/bridge/kv"
)

// Options configures [New]. Only Name is required.
type Options struct {
	Name    string // of the connector, as class_name
	Version string
	Vendor  string
	// Caps are capabilities beyond those that follow from the methods of the
	// backend, such as [kv.CapPersistent].
	Caps   kv.Caps
	Limits kv.Limits
	// Workers is how many values move at a time. Default 16.
	Workers int
	// LookupWorkers is how many keys are looked up or deleted at a time, beside
	// the values. Default 8.
	LookupWorkers int
	// MaxInFlight is how many batches may be pending; further ones are refused
	// with [kv.Busy]. Default 1024.
	MaxInFlight int
}

func (o Options) validate() error {
	var errs []error
	if o.Name == "" {
		errs = append(errs, errors.New("option Name is empty, want the connector's name"))
	}
	for _, f := range []struct {
		name  string
		value int
	}{{"Workers", o.Workers}, {"LookupWorkers", o.LookupWorkers}, {"MaxInFlight", o.MaxInFlight}} {
		if f.value < 0 {
			errs = append(errs, fmt.Errorf("%s is %d, want 1 or more, or 0 for the default", f.name, f.value))
		}
	}
	return errors.Join(errs...)
}

// Connector runs the batches of one [Backend]. It implements [kv.Connector] and
// [kv.Canceler], and passes [kv.Lister] and [kv.UsageReporter] on; whether the
// backend has those shows in Info().Caps.
type Connector struct {
	backend Backend
	info    kv.Info
	max     int
	event   *eventfd.Event
	ctx     context.Context // of all calls
	stop    context.CancelFunc
	workers sync.WaitGroup
	lanes   [2]lane // transfers, lookups

	mu       sync.Mutex // guards what follows
	inFlight map[uint64]*job
	queue    []kv.Completion
	closed   bool
}

var (
	_ kv.Connector     = (*Connector)(nil)
	_ kv.Canceler      = (*Connector)(nil)
	_ kv.Lister        = (*Connector)(nil)
	_ kv.UsageReporter = (*Connector)(nil)
)

// New starts the workers of a connector, which owns backend from now on: Close
// closes it. When New fails, backend is closed.
func New(backend Backend, opts Options) (*Connector, error) {
	fail := func(code kv.Code, err error) (*Connector, error) {
		return nil, &kv.Error{Op: "open", Connector: opts.Name, Code: code, Err: errors.Join(err, backend.Close())}
	}
	if err := opts.validate(); err != nil {
		return fail(kv.Config, err)
	}
	event, err := eventfd.New()
	if err != nil {
		return fail(kv.NoMemory, err)
	}
	c := &Connector{
		backend: backend, event: event, max: orDefault(opts.MaxInFlight, 1024),
		info:     kv.Info{Name: opts.Name, Version: opts.Version, Vendor: opts.Vendor, Caps: opts.Caps | kv.CapCancel | capsOf(backend), Limits: opts.Limits},
		inFlight: map[uint64]*job{},
	}
	c.info.Limits.MaxInFlight = c.max
	c.ctx, c.stop = context.WithCancel(context.Background())
	for i, workers := range []int{orDefault(opts.Workers, 16), orDefault(opts.LookupWorkers, 8)} {
		c.lanes[i].init()
		for range workers {
			c.workers.Go(func() { c.work(&c.lanes[i]) })
		}
	}
	return c, nil
}

func orDefault(v, def int) int {
	if v == 0 {
		return def
	}
	return v
}

func capsOf(backend Backend) kv.Caps {
	var caps kv.Caps
	if _, ok := backend.(Deleter); ok {
		caps |= kv.CapDelete
	}
	if _, ok := backend.(Pinger); ok {
		caps |= kv.CapPing
	}
	if _, ok := backend.(kv.Lister); ok {
		caps |= kv.CapList
	}
	if _, ok := backend.(kv.UsageReporter); ok {
		caps |= kv.CapUsage
	}
	return caps | kv.CapLimits | kv.CapValueLens
}

// Info implements [kv.Connector].
func (c *Connector) Info() kv.Info { return c.info }

// EventFD implements [kv.Connector].
func (c *Connector) EventFD() int { return c.event.FD() }

// Submit implements [kv.Connector].
func (c *Connector) Submit(b *kv.Batch) error {
	if err := c.check(b); err != nil {
		return err
	}
	j := &job{batch: b}
	j.remaining.Store(int64(max(b.Len(), 1)))
	if b.DeadlineNS != 0 {
		left := time.Duration(int64(b.DeadlineNS) - int64(eventfd.MonotonicNS()))
		j.ctx, j.cancel = context.WithTimeout(c.ctx, left)
	} else {
		j.ctx, j.cancel = context.WithCancel(c.ctx)
	}
	if err := c.admit(j); err != nil {
		j.cancel()
		return err
	}
	l := &c.lanes[0]
	if b.Op != kv.OpGet && b.Op != kv.OpSet {
		l = &c.lanes[1]
	}
	l.push(j)
	return nil
}

// check refuses what breaks the contract.
func (c *Connector) check(b *kv.Batch) error {
	n := b.Len()
	switch b.Op {
	case kv.OpPing:
		if n != 0 {
			return c.fail("submit", kv.Invalid, "a ping has no keys, this one has %d", n)
		}
	case kv.OpGet, kv.OpSet, kv.OpExists, kv.OpDelete:
		if n == 0 {
			return c.fail("submit", kv.Invalid, "a batch needs at least one key")
		}
	}
	switch {
	case b.Op == kv.OpDelete && !c.info.Caps.Has(kv.CapDelete),
		b.Op == kv.OpPing && !c.info.Caps.Has(kv.CapPing),
		b.Op < kv.OpGet || b.Op > kv.OpPing:
		return c.fail("submit", kv.Unsupported, "%q does not implement %s", c.info.Name, b.Op)
	case len(b.Status) != n:
		return c.fail("submit", kv.Invalid, "Status has %d bytes for %d keys", len(b.Status), n)
	case (b.Op == kv.OpGet || b.Op == kv.OpSet) && len(b.Bufs) != n:
		return c.fail("submit", kv.Invalid, "Bufs has %d entries for %d keys", len(b.Bufs), n)
	case b.ValueLens != nil && len(b.ValueLens) != n:
		return c.fail("submit", kv.Invalid, "ValueLens has %d entries for %d keys", len(b.ValueLens), n)
	}
	if m := c.info.Limits.MaxBatch; m > 0 && n > m {
		return c.fail("submit", kv.Invalid, "a batch of %d keys, want at most %d", n, m)
	}
	return nil
}

// admit counts the job as in flight.
func (c *Connector) admit(j *job) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return c.fail("submit", kv.Closed, "the connector is closed")
	case len(c.inFlight) >= c.max:
		return &kv.Error{Op: "submit", Connector: c.info.Name, Code: kv.Busy}
	case c.inFlight[j.batch.Ticket] != nil:
		return c.fail("submit", kv.Invalid, "ticket %d is in flight already", j.batch.Ticket)
	}
	c.inFlight[j.batch.Ticket] = j
	return nil
}

// complete publishes the end of j, after which its batch is the host's again.
func (c *Connector) complete(j *job) {
	j.cancel()
	record := kv.Completion{Ticket: j.batch.Ticket, Op: j.batch.Op, RC: j.rc, DoneNS: eventfd.MonotonicNS()}
	for _, s := range j.batch.Status {
		if s == kv.StatusHit {
			record.NOK++
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.inFlight, j.batch.Ticket)
	c.queue = append(c.queue, record)
	c.event.Signal()
}

// Drain implements [kv.Connector].
func (c *Connector) Drain(dst []kv.Completion) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := copy(dst, c.queue)
	c.queue = append(c.queue[:0], c.queue[n:]...)
	if len(c.queue) == 0 {
		c.event.Clear() // under the mutex: nothing can be published in between
	}
	return n, nil
}

// Cancel implements [kv.Canceler]: it ends the context of the calls.
func (c *Connector) Cancel(ticket uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	j := c.inFlight[ticket]
	if j == nil {
		return c.fail("cancel", kv.Invalid, "ticket %d is not in flight", ticket)
	}
	j.cancel()
	return nil
}

// List implements [kv.Lister].
func (c *Connector) List(ctx context.Context, cursor []byte) ([]kv.KeyEntry, []byte, error) {
	if l, ok := c.backend.(kv.Lister); ok {
		return l.List(ctx, cursor)
	}
	return nil, nil, c.fail("list", kv.Unsupported, "%q does not implement list", c.info.Name)
}

// Usage implements [kv.UsageReporter].
func (c *Connector) Usage() (bytesUsed, bytesCapacity, keys int64, err error) {
	if u, ok := c.backend.(kv.UsageReporter); ok {
		return u.Usage()
	}
	return -1, -1, -1, c.fail("usage", kv.Unsupported, "%q does not implement usage", c.info.Name)
}

// Close implements [kv.Connector]: it ends the context of all calls and waits for
// them. A backend that does not return within grace makes it [kv.Stuck].
func (c *Connector) Close(grace time.Duration) error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.stop()
	for i := range c.lanes {
		c.lanes[i].close()
	}
	ended := make(chan error, 1)
	go func() {
		c.workers.Wait()
		ended <- c.backend.Close()
	}()
	timer := time.NewTimer(max(grace, 0))
	defer timer.Stop()
	select {
	case err := <-ended:
		c.event.Close()
		if err != nil {
			return c.fail("close", codeOf(err), "%v", err)
		}
		return nil
	case <-timer.C:
		return c.fail("close", kv.Stuck, "calls of %q did not return within %v", c.info.Name, grace)
	}
}

func (c *Connector) fail(op string, code kv.Code, format string, args ...any) error {
	return &kv.Error{Op: op, Connector: c.info.Name, Code: code, Err: fmt.Errorf(format, args...)}
}
