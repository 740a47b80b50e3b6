package bridge

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/eventfd"
	"github.com/sixcall/sixcall/bridge/kv"
)

// Bridge runs the tasks of one connector. Safe for concurrent use.
type Bridge struct {
	conn     kv.Connector
	info     kv.Info
	opts     Options
	maxBatch int
	arena    *arena.Arena
	ownArena bool
	log      *zap.Logger
	epoch    time.Time // the bridge's clock counts from here
	epochNS  uint64    // epoch on CLOCK_MONOTONIC, the clock of connectors

	index   *index
	events  dispatcher
	stage   stages
	stats   counters
	nextID  atomic.Int64
	tasks   sync.Pool // *task
	waiters sync.Pool // *waiter

	// Lock order: drainMu or pumpMu, then slotMu; index.mu and the dispatcher's
	// mutex are leaves. The connector, sinks and listeners are called under
	// drainMu at most, which only Drain needs.

	// slotMu guards the slot table, the phase, gen and task of every slot, and
	// the quarantine of a task that is answered early.
	slotMu   sync.Mutex
	slots    []*slot
	freeList []uint32
	backlog  []*slot // refused as busy, oldest first
	flying   int     // slots that are not free
	// idle is closed and replaced when flying falls to 0 while somebody waits.
	idle chan struct{}

	inFlight atomic.Int32   // flying, for readers without the mutex
	spinners [kinds]spinner // by kind

	// drainMu makes Drain have one caller; it guards what follows.
	drainMu sync.Mutex
	records []kv.Completion
	ready   []*task // finished by the records of one drain
	// drainedAt is when the records came.
	drainedAt int64
	flushes   []Flusher // of the results of one drain

	pumpMu   sync.Mutex // makes the backlog go out in order
	gate     gate       // of submits and other calls of the connector
	closing  sync.Once
	closeErr error

	health   health
	errors   errorLog
	breakers [kinds]breaker
	poller   *eventfd.Poller
	demux    sync.WaitGroup
	// finishers copy large staged loads.
	finishers sync.WaitGroup
	sweep     sweeper
}

// New starts a bridge on conn, which it owns from now on: Close, or a failed
// New, closes it.
func New(conn kv.Connector, opts Options) (*Bridge, error) {
	b, err := start(conn, opts)
	if err != nil {
		_ = conn.Close(time.Second)
		return nil, err
	}
	return b, nil
}

func start(conn kv.Connector, opts Options) (*Bridge, error) {
	if err := opts.Validate(); err != nil {
		return nil, &kv.Error{Op: "create", Connector: opts.Name, Code: kv.Invalid, Err: err}
	}
	info := conn.Info()
	if opts.Name == "" {
		opts.Name = info.Name
	}
	opts = opts.withDefaults()
	b := &Bridge{
		conn: conn, info: info, opts: opts, arena: opts.Arena,
		log: opts.Logger.With(zap.String("connector", opts.Name)), epoch: time.Now(), epochNS: eventfd.MonotonicNS(),
		index: newIndex(), records: make([]kv.Completion, 256),
	}
	b.gate.open()
	for i := range b.spinners {
		b.spinners[i].open(opts.Spin)
	}
	b.tasks.New = func() any { return new(task) }
	b.waiters.New = func() any { return &waiter{ready: make(chan struct{}, 1)} }
	b.maxBatch = info.Limits.MaxBatch
	if opts.MaxBatch > 0 && (b.maxBatch == 0 || opts.MaxBatch < b.maxBatch) {
		b.maxBatch = opts.MaxBatch
	}
	if b.arena == nil {
		own, err := arena.New(arena.Options{})
		if err != nil {
			return nil, err
		}
		b.arena, b.ownArena = own, true
	}
	b.stage.arena = b.arena
	for k := range b.breakers {
		b.breakers[k].opts = opts.Breaker
	}
	poller, err := eventfd.NewPoller(conn.EventFD())
	if err != nil {
		return nil, &kv.Error{Op: "create", Connector: opts.Name, Code: kv.Internal, Err: err}
	}
	b.poller = poller
	b.events.start(&b.stats.listenerPanics, b.log)
	b.demux.Go(func() {
		if err := b.poller.Run(func() bool { b.drain(); return false }); err != nil {
			b.health.set(stateDead, fmt.Sprintf("wait for completions: %v", err), b.log)
		}
	})
	b.sweep.start(b)
	return b, nil
}

// Info describes the connector.
func (b *Bridge) Info() kv.Info { return b.info }

// Name returns the configured name.
func (b *Bridge) Name() string { return b.opts.Name }

// Arena returns the memory that transfers without a copy.
func (b *Bridge) Arena() *arena.Arena { return b.arena }

// Usage returns a detached snapshot of what is accounted.
func (b *Bridge) Usage() kv.Usage { return b.index.usage(b.opts.MaxCapacityBytes) }

// Capacity returns the cap in bytes, 0 = none.
func (b *Bridge) Capacity() int64 { return b.opts.MaxCapacityBytes }

// Unlock takes one pin per key. Keys without a pin are ignored.
func (b *Bridge) Unlock(keys []kv.Key) { b.index.unlock(keys) }

// Listen adds a listener; see [Listener].
func (b *Bridge) Listen(l Listener) { b.events.add(l) }

// now is the bridge's clock: nanoseconds, monotonic, never 0.
func (b *Bridge) now() int64 { return int64(time.Since(b.epoch)) + 1 }

func (b *Bridge) errorf(op string, code kv.Code, format string, args ...any) error {
	return &kv.Error{Op: op, Connector: b.opts.Name, Code: code, Err: fmt.Errorf(format, args...)}
}

// List returns one page of what the connector holds; see [kv.Lister]. It is
// [kv.Unsupported] for a connector that cannot list.
func (b *Bridge) List(ctx context.Context, cursor []byte) (page []kv.KeyEntry, next []byte, err error) {
	lister, ok := b.conn.(kv.Lister)
	if !ok || !b.info.Caps.Has(kv.CapList) {
		return nil, nil, b.errorf("list", kv.Unsupported, "connector %s cannot list its keys", b.info.Name)
	}
	if err := b.enter("list"); err != nil {
		return nil, nil, err
	}
	defer b.gate.leave()
	return lister.List(ctx, cursor)
}
