//go:build linux && (amd64 || arm64)

package worker

import (
	"context"
	"encoding/json"
	"path/filepath"
	"slices"
	"time"

	"github.com/sixcall/sixcall/bridge/kv"
)

// Replacement is what [Connector.Replace] changes.
type Replacement struct {
	// Library is the absolute path of the new version, which the caller has found
	// and checked. Default: the present path, whatever file is there now.
	Library string
	// Params is the new configuration. Default: the present one.
	Params json.RawMessage
}

// drainLimit is how long a worker that was replaced may take to finish its batches.
const drainLimit = 30 * time.Second

// Replace starts a worker with a new version or configuration beside the one that
// serves, and switches over when it is open. Batches that the old one has are
// finished by it, for at most 30 s; no request fails. The new library must declare
// the same name and can do no less: capabilities and limits, as Info has them.
//
// After an error the old worker serves as before.
func (c *Connector) Replace(ctx context.Context, by Replacement) error {
	if by.Library != "" && !filepath.IsAbs(by.Library) {
		return c.fail("replace", kv.Config, "Library is %q, want an absolute path", by.Library)
	}
	c.replacing.Lock()
	defer c.replacing.Unlock()
	if c.closed.Load() {
		return c.fail("replace", kv.Closed, "the connector is closed")
	}
	now := c.with.Load()
	library, params := now.library, now.params
	if by.Library != "" {
		library = by.Library
	}
	if by.Params != nil {
		params = slices.Clone(by.Params)
	}
	with, err := c.launch(library, params, c.info.Name)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	l, err := c.start(ctx, with)
	if err != nil {
		return err
	}
	if err := c.fits(l.info); err != nil {
		c.discard(l, "it cannot take over")
		return err
	}
	a := adoption{l: l, with: with, done: make(chan error, 1)}
	select {
	case c.adopting <- a:
		if err = <-a.done; err == nil {
			return nil
		}
	case <-ctx.Done():
		err = &kv.Error{Op: "replace", Connector: c.name(), Code: kv.Cancelled, Err: ctx.Err()}
	}
	c.discard(l, "it cannot take over")
	return err
}

// retire lets a worker that was replaced finish its batches and closes it.
func (c *Connector) retire(l *life) {
	l.mu.Lock()
	l.serving = false
	l.mu.Unlock()
	limit := time.NewTimer(drainLimit)
	defer limit.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
wait:
	for {
		l.mu.Lock()
		left := l.out
		l.mu.Unlock()
		if left == 0 {
			break
		}
		select {
		case <-tick.C:
		case <-limit.C:
			break wait
		case <-l.proc.ended:
			break wait
		case <-c.ctx.Done():
			break wait
		}
	}
	l.close(time.Second)
	select {
	case <-l.gone:
	case <-time.After(buryLimit):
	}
}
