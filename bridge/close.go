package bridge

import (
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/sixcall/sixcall/bridge/kv"
)

// Close ends the bridge and its connector. Submits fail with [kv.Closed] from
// now on. Work in flight may run for CloseGrace; what is left is answered as
// closed. Then the connector is closed.
//
// An error that matches [kv.Stuck] means that the connector could not stop: the
// memory of the unfinished batches stays lent for ever. Further calls return the
// same result.
func (b *Bridge) Close() error {
	b.closing.Do(func() { b.closeErr = b.shutdown() })
	return b.closeErr
}

func (b *Bridge) shutdown() error {
	b.gate.close()
	b.waitIdle(b.opts.CloseGrace)

	// From here on no completion is routed: what is unfinished stays unfinished.
	b.sweep.stop()
	b.poller.Close()
	b.demux.Wait()
	b.finishers.Wait()
	b.answerRest(false)

	b.drainMu.Lock() // nobody drains any more, and nobody may
	b.pumpMu.Lock()
	err := b.closeConnector()
	b.answerRest(true)
	b.events.stop()
	if err != nil {
		if errors.Is(err, kv.Stuck) {
			b.log.Error("the connector could not stop; its memory is kept", zap.Error(err), zap.Int("batches", b.InFlight()))
		}
		b.health.set(stateClosed, "closed; "+err.Error(), b.log)
		return &kv.Error{Op: "close", Connector: b.opts.Name, Code: closeCode(err), Err: err}
	}
	b.health.set(stateClosed, "closed", b.log)
	b.reclaim()
	return nil
}

// closeConnector closes the connector. One in Go that panics counts as stuck:
// what it still touches is unknown.
func (b *Bridge) closeConnector() (err error) {
	defer func() {
		if p := recover(); p != nil {
			b.log.Error("the connector panicked in close", zap.Any("panic", p), zap.Stack("stack"))
			err = &kv.Error{Op: "close", Connector: b.opts.Name, Code: kv.Stuck, Err: fmt.Errorf("panic: %v", p)}
		}
	}()
	return b.conn.Close(b.opts.CloseGrace)
}

func closeCode(err error) kv.Code {
	if c, ok := codeOf(err); ok {
		return c
	}
	return kv.Internal
}

// waitIdle waits until nothing is in flight, at most for grace.
func (b *Bridge) waitIdle(grace time.Duration) {
	timer := time.NewTimer(grace)
	defer timer.Stop()
	for {
		b.slotMu.Lock()
		if b.flying == 0 {
			b.slotMu.Unlock()
			return
		}
		if b.idle == nil {
			b.idle = make(chan struct{})
		}
		idle := b.idle
		b.slotMu.Unlock()
		select {
		case <-idle:
		case <-timer.C:
			return
		}
	}
}

// answerRest answers every running task as closed. Tasks whose memory is the
// host's wait for unsafe, which is after the connector has let go of it.
func (b *Bridge) answerRest(unsafe bool) {
	var rest []*task
	b.slotMu.Lock()
	for _, s := range b.slots {
		if t := s.task; t != nil && s.phase != free && (unsafe || !t.unsafe) && b.claimEarly(t) {
			rest = append(rest, t)
		}
	}
	b.slotMu.Unlock()
	for _, t := range rest {
		b.deliver(t, b.answerEarly(t, Closed, nil))
	}
}

// reclaim frees all memory after the connector has let go of it.
func (b *Bridge) reclaim() {
	b.slotMu.Lock()
	tasks := map[*task]bool{}
	for _, s := range b.slots {
		if s.task != nil && s.phase != free {
			tasks[s.task] = true
		}
	}
	b.slotMu.Unlock()
	for t := range tasks {
		b.settleReservation(t)
		b.freeSlots(t, true)
	}
	b.stage.drop()
	b.slotMu.Lock()
	for _, s := range b.slots {
		if s.mem != nil {
			s.mem.Release()
			s.mem = nil
		}
	}
	b.slotMu.Unlock()
	if b.ownArena {
		// Blocks that callers have not released keep the arena; that is theirs
		// to do, and no error of the close.
		_ = b.arena.Close()
	}
}
