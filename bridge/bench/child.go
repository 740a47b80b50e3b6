package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/eventfd"
	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/bridge/worker"
	"github.com/sixcall/sixcall/native"
)

// childSettings is one round of the bridge, in a process of its own so that it
// can be pinned like the C++ program.
type childSettings struct {
	op, face                 string
	batch, valueBytes, depth int
	lib, params              string
	seconds                  float64
}

func (c *childSettings) register() {
	flag.StringVar(&c.op, "op", "", "internal: run one round of this operation")
	flag.StringVar(&c.face, "face", "context", "internal: context, events or isolated")
	flag.IntVar(&c.batch, "batch", 1, "internal: keys per task")
	flag.IntVar(&c.valueBytes, "value-bytes", 1, "internal: bytes per value")
	flag.IntVar(&c.depth, "depth", 1, "internal: tasks in flight")
}

const (
	setBytes = 256 << 20 // the values that loads and stores move, as in sixcall-driver
	setKeys  = 4096
)

// lane is what one task in flight uses.
type lane struct {
	keys [][]kv.Key // batches to go through
	bufs []kv.Buffer
	next int

	latencies histogram
}

func (c *childSettings) run() error {
	conn, memory, err := c.open()
	if err != nil {
		return err
	}
	a, err := l2.New(conn, l2.Options{Arena: memory, MaxInFlight: max(1024, 2*c.depth)})
	if err != nil {
		return err
	}
	defer a.Close()
	lanes, err := c.lanes(a)
	if err != nil {
		return err
	}
	if err := c.fill(a, lanes); err != nil {
		return err
	}
	measure := c.contextFace
	if c.face == "events" {
		measure = c.eventFace
	}
	// A short warm-up, then the round.
	if _, err := measure(a, lanes, 50*time.Millisecond); err != nil {
		return err
	}
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu := cpuTime()
	start := time.Now()
	latencies, err := measure(a, lanes, time.Duration(c.seconds*float64(time.Second)))
	if err != nil {
		return err
	}
	elapsed := time.Since(start).Seconds()
	cpu = cpuTime() - cpu
	runtime.ReadMemStats(&after)
	ops := latencies.total
	r := result{Op: c.op, Batch: c.batch, ValueBytes: c.valueBytes, Depth: c.depth,
		OpsPerS: float64(ops) / elapsed, KeysPerS: float64(ops*c.batch) / elapsed,
		P50: latencies.quantile(0.5), P99: latencies.quantile(0.99),
		CPU: float64(cpu.Microseconds()) / float64(ops), Allocs: float64(after.Mallocs-before.Mallocs) / float64(ops)}
	if c.op != "lookup" {
		r.GBPerS = r.KeysPerS * float64(c.valueBytes) / 1e9
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// open opens the library in this process, or in a worker with the memory that the
// two share.
func (c *childSettings) open() (kv.Connector, *arena.Arena, error) {
	if c.face != "isolated" {
		conn, err := native.Open(native.Options{Connector: c.lib, Params: json.RawMessage(c.params), OpenTimeout: 10 * time.Second})
		if err != nil {
			return nil, nil, err
		}
		return conn, nil, nil
	}
	conn, err := worker.Open(context.Background(), worker.Options{Library: c.lib, Params: json.RawMessage(c.params)})
	if err != nil {
		return nil, nil, err
	}
	return conn, conn.Arena(), nil
}

// lanes prepares keys and buffers; keys have 90 bytes of text, as in the driver.
func (c *childSettings) lanes(a *l2.NativeAdapter) ([]*lane, error) {
	total := max(min(setKeys, setBytes/c.valueBytes), c.batch)
	keys := make([]kv.Key, total)
	for i := range keys {
		var hash [32]byte
		binary.BigEndian.PutUint64(hash[:], uint64(i)*0x9E3779B97F4A7C15)
		binary.BigEndian.PutUint64(hash[24:], uint64(i))
		keys[i] = kv.Key{ChunkHash: string(hash[:]), Model: "bench/llama70b", KVRank: 0x01000100}
	}
	lanes := make([]*lane, c.depth)
	for i := range lanes {
		l := &lane{}
		for at := 0; at+c.batch <= total; at += c.batch {
			l.keys = append(l.keys, keys[at:at+c.batch])
		}
		l.next = i * len(l.keys) / c.depth
		for range c.batch {
			block, err := a.Arena().Alloc(c.valueBytes)
			if err != nil {
				return nil, err
			}
			l.bufs = append(l.bufs, block.Bytes())
		}
		for _, buf := range l.bufs {
			for j := range buf {
				buf[j] = byte(j)
			}
		}
		lanes[i] = l
	}
	return lanes, nil
}

func (c *childSettings) fill(a *l2.NativeAdapter, lanes []*lane) error {
	for _, keys := range lanes[0].keys {
		if _, err := a.Store(context.Background(), keys, lanes[0].bufs); err != nil {
			return err
		}
	}
	return nil
}

func (l *lane) batch() []kv.Key {
	keys := l.keys[l.next]
	if l.next++; l.next == len(l.keys) {
		l.next = 0
	}
	return keys
}

// contextFace runs one goroutine per task in flight.
func (c *childSettings) contextFace(a *l2.NativeAdapter, lanes []*lane, d time.Duration) (*histogram, error) {
	ctx := context.Background()
	var wg sync.WaitGroup
	var mu sync.Mutex
	all := &histogram{}
	var first error
	end := time.Now().Add(d)
	for _, l := range lanes {
		wg.Go(func() {
			latencies := &l.latencies
			*latencies = histogram{}
			for start := time.Now(); start.Before(end); {
				keys := l.batch()
				n := len(keys)
				var err error
				switch c.op {
				case "lookup":
					var bits kv.Bitmap
					bits, err = a.Lookup(ctx, keys)
					n = bits.Count()
					a.Unlock(keys)
				case "load":
					var bits kv.Bitmap
					bits, err = a.Load(ctx, keys, l.bufs)
					n = bits.Count()
				case "store":
					_, err = a.Store(ctx, keys, l.bufs)
				}
				if err == nil && n != len(keys) {
					err = fmt.Errorf("%d of %d keys", n, len(keys))
				}
				now := time.Now()
				latencies.add(now.Sub(start))
				start = now
				if err != nil {
					mu.Lock()
					first = err
					mu.Unlock()
					return
				}
			}
			mu.Lock()
			defer mu.Unlock()
			all.merge(latencies)
		})
	}
	wg.Wait()
	return all, first
}

// eventFace keeps depth tasks in flight from one goroutine, as a host that polls
// the adapter's event fd does.
func (c *childSettings) eventFace(a *l2.NativeAdapter, lanes []*lane, d time.Duration) (*histogram, error) {
	type flight struct {
		lane  *lane
		keys  []kv.Key
		start time.Time
	}
	pending := map[kv.TaskID]flight{}
	fd := map[string]int{"lookup": a.LookupAndLockEventFD(), "load": a.LoadEventFD(), "store": a.StoreEventFD()}[c.op]
	poller, err := eventfd.NewPoller(fd)
	if err != nil {
		return nil, err
	}
	defer poller.Close()
	latencies := &histogram{}
	submit := func(l *lane) (err error) {
		f := flight{lane: l, keys: l.batch(), start: time.Now()}
		var id kv.TaskID
		switch c.op {
		case "lookup":
			id, err = a.SubmitLookupAndLockTask(f.keys, nil)
		case "load":
			id, err = a.SubmitLoadTask(f.keys, l.bufs)
		case "store":
			id, err = a.SubmitStoreTask(f.keys, l.bufs)
		}
		pending[id] = f
		return err
	}
	end := time.Now().Add(d)
	for _, l := range lanes {
		if err := submit(l); err != nil {
			return nil, err
		}
	}
	var failed error
	var done []kv.TaskID
	err = poller.Run(func() bool {
		var count [8]byte
		_, _ = syscall.Read(fd, count[:])
		done = done[:0]
		if c.op == "store" {
			for id, r := range a.PopCompletedStoreTasks() {
				if !r.OK {
					failed = fmt.Errorf("a store failed")
				}
				done = append(done, id)
			}
		} else {
			query := a.QueryLookupAndLockResult
			if c.op == "load" {
				query = a.QueryLoadResult
			}
			for id, f := range pending {
				bits, ok := query(id)
				if !ok {
					continue
				}
				if bits.Count() != len(f.keys) {
					failed = fmt.Errorf("%d of %d keys", bits.Count(), len(f.keys))
				}
				if c.op == "lookup" {
					a.SubmitUnlock(f.keys)
				}
				done = append(done, id)
			}
		}
		now := time.Now()
		for _, id := range done {
			f := pending[id]
			delete(pending, id)
			latencies.add(now.Sub(f.start))
			if failed == nil && now.Before(end) {
				failed = submit(f.lane)
			}
		}
		return failed != nil || len(pending) == 0
	})
	if failed != nil {
		err = failed
	}
	return latencies, err
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
