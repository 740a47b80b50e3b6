package bridge

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/sixcall/sixcall/bridge/kv"
)

const (
	sweepEvery = 10 * time.Millisecond
	// sweepLinger is how long the sweeper ticks on after the last work.
	sweepLinger = time.Second
	// rescueAfter is the age at which a batch makes the sweeper look for a
	// completion whose signal was lost.
	rescueAfter = 250 * time.Millisecond
	// deadAfter is how many drain errors in a row mean that the connector is
	// dead. With the back-off below this is about two seconds.
	deadAfter      = 8
	maxDrainPause  = time.Second
	firstDrainWait = 10 * time.Millisecond
)

// sweeper is the goroutine that watches the clock: deadlines, batches that a
// busy connector refused, signals that were lost, drains that failed. It sleeps
// while nothing is in flight. Deadlines cost nothing on the way of a task: the
// sweeper reads them from the slot table, 10,000 of which take microseconds.
type sweeper struct {
	kick   chan struct{}
	quit   chan struct{}
	asleep atomic.Bool
	wg     sync.WaitGroup

	// failures and retryAt are written by whoever drains.
	failures atomic.Int32
	retryAt  atomic.Int64
}

func (w *sweeper) start(b *Bridge) {
	w.kick, w.quit = make(chan struct{}, 1), make(chan struct{})
	w.wg.Go(func() { w.run(b) })
}

func (w *sweeper) stop() {
	close(w.quit)
	w.wg.Wait()
}

// wake makes a sleeping sweeper tick. It costs a load when the sweeper is awake.
func (w *sweeper) wake() {
	if w.asleep.Load() {
		select {
		case w.kick <- struct{}{}:
		default:
		}
	}
}

func (w *sweeper) run(b *Bridge) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	last := b.now()
	for {
		select {
		case <-w.quit:
			return
		case <-tick.C:
		}
		if b.sweepOnce() || w.failures.Load() > 0 || b.anyOpen() {
			last = b.now()
			continue
		}
		if b.now()-last < int64(sweepLinger) {
			continue
		}
		// A submit that comes between the check and the store of asleep would
		// not kick, so look once more after it.
		w.asleep.Store(true)
		if !b.sweepOnce() {
			tick.Stop()
			select {
			case <-w.quit:
				return
			case <-w.kick:
			}
			tick.Reset(sweepEvery)
		}
		w.asleep.Store(false)
		last = b.now()
	}
}

// sweepOnce does what the clock asks for and reports whether work is in flight.
func (b *Bridge) sweepOnce() bool {
	now := b.now()
	dead, reason := b.health.get()
	var expired []*task
	var oldest int64
	b.slotMu.Lock()
	flying := b.flying
	for _, s := range b.slots {
		t := s.task
		if s.phase == free || t == nil {
			continue
		}
		if s.phase == inFlight {
			oldest = max(oldest, now-t.started)
		}
		limit := t.deadline.Load()
		if (limit != 0 && now >= limit || dead == stateDead && !t.unsafe && t.launched.Load()) && b.claimEarly(t) {
			expired = append(expired, t)
		}
	}
	waiting := len(b.backlog) > 0
	b.slotMu.Unlock()
	for _, t := range expired {
		outcome, cause := Deadline, error(nil)
		if dead == stateDead {
			outcome, cause = Failed, kv.Unavailable
			b.errors.note(t.res.Kind.String(), &kv.Error{Op: t.res.Kind.String(), Connector: b.opts.Name, Code: kv.Unavailable, Err: textError(reason)}, b.log)
		}
		b.deliver(t, b.answerEarly(t, outcome, cause))
	}
	if waiting {
		b.pump()
	}
	if b.breakers[Lookup].due(now) {
		b.probe()
	}
	w := &b.sweep
	if w.failures.Load() > 0 {
		if now >= w.retryAt.Load() {
			b.drain()
		}
	} else if oldest > int64(rescueAfter) {
		b.drain()
	}
	return flying > 0
}

func (b *Bridge) anyOpen() bool {
	for k := range b.breakers {
		if b.breakers[k].state.Load() != breakerClosed {
			return true
		}
	}
	return false
}

// probeKey is what a probe asks for where the connector has no ping.
var (
	probeKey     = []kv.Key{{Model: "sixcall-probe"}}
	probeText, _ = textLen(probeKey)
)

// probe asks a connector whose lookups are stopped for a sign of life, so that
// it comes back without a caller who waits for the answer. The classes that
// move values come back with their next task.
func (b *Bridge) probe() {
	if b.enter("probe") != nil {
		return
	}
	defer b.gate.leave()
	pass, trial := b.breakers[Lookup].allow(b.now())
	if !pass {
		return
	}
	op, keys := kv.OpExists, probeKey
	if b.info.Caps.Has(kv.CapPing) {
		op, keys = kv.OpPing, nil
	}
	t := b.newTask(Lookup, len(keys))
	t.internal, t.trial = true, trial
	s, err := b.takeSlot(t)
	if err == nil {
		t.slots = append(t.slots, s)
		if err = s.encode(b.arena, op, keys, probeText, false, false); err == nil {
			s.batch.Ticket = s.ticket()
			err = b.launch(t)
		}
	}
	if err != nil {
		b.unwind(t)
		return
	}
	t.deadline.Store(t.started + int64(max(b.opts.Deadlines.Lookup, time.Second)))
	b.release(t)
}

// deliver hands an early answer to the sink and drops the claimer's reference.
func (b *Bridge) deliver(t *task, r Result) {
	deliver(t.sink, &r, nil)
	b.release(t)
}

// drainFailed notes a failed drain and returns how many failed in a row.
func (w *sweeper) drainFailed(now int64) int {
	n := w.failures.Add(1)
	pause := min(firstDrainWait<<min(n-1, 10), maxDrainPause)
	w.retryAt.Store(now + int64(pause))
	w.wake()
	return int(n)
}

// drainWorked ends a series of failures.
func (w *sweeper) drainWorked(b *Bridge) {
	if w.failures.Load() == 0 {
		return
	}
	w.failures.Store(0)
	b.health.set(stateReady, "", b.log)
}

// textError is an error that is only a sentence.
type textError string

func (e textError) Error() string { return string(e) }
