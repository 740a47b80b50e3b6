//go:build linux && (amd64 || arm64)

package worker

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/kv"
)

// Connector is one open connection of a library that runs in a worker process. It
// implements [kv.Connector] and is safe for concurrent use as that says.
//
// The methods of the optional interfaces always exist; without the capability they
// return an error that matches [kv.Unsupported], so look at Info().Caps.
type Connector struct {
	opts     Options
	program  string
	arena    *arena.Arena
	ownArena bool
	event    *signal // what EventFD returns; workers have it too
	output   *output
	info     kv.Info // constant once Open has returned
	does     [6]bool // by kv.Op
	busy     error   // the refusal of a full queue, made once
	called   atomic.Pointer[string]

	// current takes submissions; nil while no worker is up.
	current atomic.Pointer[life]
	why     atomic.Pointer[kv.Error] // while current is nil
	// lives are the workers that may have completions. Replaced under livesMu.
	lives   atomic.Pointer[[]*life]
	livesMu sync.Mutex
	regions regions

	draining sync.Mutex // makes Drain have one caller; guards what is Drain's of each life
	closed   atomic.Bool

	ctx        context.Context // ends with Close
	cancel     context.CancelFunc
	adopting   chan adoption
	supervised chan struct{} // closed when the supervisor has ended
	retiring   sync.WaitGroup
	replacing  sync.Mutex             // one Replace at a time
	with       atomic.Pointer[launch] // what restarts use

	status  statusBoard
	closing sync.Mutex // guards the two below
	ended   bool
	endErr  error
	counters
}

// counters are those of Status.
type counters struct {
	bouncedBatches, bouncedBytes, failedBatches, unknownTickets, wrongOps, restarts, replaces atomic.Int64
}

var (
	_ kv.Connector     = (*Connector)(nil)
	_ kv.Registrar     = (*Connector)(nil)
	_ kv.Canceler      = (*Connector)(nil)
	_ kv.Lister        = (*Connector)(nil)
	_ kv.UsageReporter = (*Connector)(nil)
)

// Open starts a worker that loads the library and opens a connection with it. It may
// block as long as the library needs to connect; when ctx ends first, the worker is
// killed. An error wraps a [kv.Error] that holds no secret; after it nothing is left.
func Open(ctx context.Context, opts Options) (*Connector, error) {
	if err := opts.validate(); err != nil {
		return nil, err
	}
	opts = opts.withDefaults()
	opts.Params = slices.Clone(opts.Params)
	program, err := FindProgram(opts.Program)
	if err != nil {
		return nil, err
	}
	c := &Connector{
		opts: opts, program: program, arena: opts.Arena,
		adopting: make(chan adoption), supervised: make(chan struct{}),
	}
	name := opts.name()
	c.called.Store(&name)
	c.lives.Store(&[]*life{})
	c.why.Store(&kv.Error{Op: "submit", Connector: name, Code: kv.Unavailable})
	with, err := c.launch(opts.Library, opts.Params, opts.ClassName)
	if err != nil {
		return nil, err
	}
	c.with.Store(&with)
	if c.event, err = newSignal(); err != nil {
		return nil, c.fail("open", kv.NoMemory, "eventfd: %v", err)
	}
	if c.arena == nil {
		if c.arena, err = arena.New(arena.Options{}); err != nil {
			c.event.close()
			return nil, c.fail("open", kv.NoMemory, "%v", err)
		}
		c.ownArena = true
	}
	c.output = newOutput(opts.Log)
	c.ctx, c.cancel = context.WithCancel(context.Background())
	l, err := c.start(ctx, with)
	if err == nil {
		c.describe(l.info)
		if err = c.adopt(l); err != nil {
			l.kill(ReasonHost, "its memory could not be mapped")
			if l.await(buryLimit) {
				l.free()
			}
		}
	}
	if err != nil {
		c.cancel()
		c.output.stop()
		c.event.close()
		if c.ownArena {
			_ = c.arena.Close()
		}
		return nil, err
	}
	c.setState(Ready, "")
	go c.supervise(l)
	return c, nil
}

// launch checks what a worker is to be started with.
func (c *Connector) launch(library string, params []byte, className string) (launch, error) {
	real, err := filepath.EvalSymlinks(library)
	if err != nil {
		return launch{}, c.fail("open", kv.Config, "%v", err)
	}
	id, err := identify(real)
	if err != nil {
		return launch{}, c.fail("open", kv.Config, "%v", err)
	}
	return launch{library: real, identity: id, params: params, className: className}, nil
}

// describe fixes what Info says.
func (c *Connector) describe(info kv.Info) {
	c.info = info
	c.does[kv.OpGet], c.does[kv.OpSet], c.does[kv.OpExists] = true, true, true
	c.does[kv.OpDelete] = info.Caps.Has(kv.CapDelete)
	c.does[kv.OpPing] = info.Caps.Has(kv.CapPing)
	c.busy = &kv.Error{Op: "submit", Connector: c.name(), Code: kv.Busy}
}

// adopt makes a worker that was started the one that takes submissions.
func (c *Connector) adopt(l *life) error {
	c.regions.mu.Lock()
	defer c.regions.mu.Unlock()
	if err := l.mapAll(); err != nil {
		return l.explain(err)
	}
	c.livesMu.Lock()
	all := append(slices.Clone(*c.lives.Load()), l)
	c.lives.Store(&all)
	c.livesMu.Unlock()
	l.mu.Lock()
	select {
	case <-l.proc.ended:
	default:
		l.serving = true
	}
	l.mu.Unlock()
	c.current.Store(l)
	return nil
}

// forget takes a worker that can have no more completions off the list.
func (c *Connector) forget(l *life) {
	c.livesMu.Lock()
	defer c.livesMu.Unlock()
	all := slices.DeleteFunc(slices.Clone(*c.lives.Load()), func(other *life) bool { return other == l })
	c.lives.Store(&all)
}

// Info implements [kv.Connector]. It stays the same over restarts.
func (c *Connector) Info() kv.Info { return c.info }

// EventFD implements [kv.Connector]. It stays the same over restarts.
func (c *Connector) EventFD() int { return c.event.num() }

// Arena returns the memory that batches are to be in.
func (c *Connector) Arena() *arena.Arena { return c.arena }

// name is how errors call the connection.
func (c *Connector) name() string { return *c.called.Load() }

// named is told the name that the library declares.
func (c *Connector) named(library string) {
	if c.opts.Instance == "" {
		c.called.Store(&library)
	}
}

func (c *Connector) fail(op string, code kv.Code, format string, args ...any) error {
	return &kv.Error{Op: op, Connector: c.name(), Code: code, Err: fmt.Errorf(format, args...)}
}

// unavailable is the error of a submit while no worker is up.
func (c *Connector) unavailable() error { return c.why.Load() }
