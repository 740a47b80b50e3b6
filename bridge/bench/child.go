package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/bridge/worker"
	"github.com/sixcall/sixcall/native"
)

// childSettings is one round of the bridge, in a process of its own so that it
// can be pinned like the C++ program.
type childSettings struct {
	op, face                           string
	batch, valueBytes, depth, adapters int
	busy                               bool
	lib, params                        string
	seconds                            float64
}

func (c *childSettings) register() {
	flag.StringVar(&c.op, "op", "", "internal: run one round of this operation")
	flag.StringVar(&c.face, "face", "context", "internal: context, events or isolated")
	flag.IntVar(&c.batch, "batch", 1, "internal: keys per task")
	flag.IntVar(&c.valueBytes, "value-bytes", 1, "internal: bytes per value")
	flag.IntVar(&c.depth, "depth", 1, "internal: tasks in flight")
	flag.IntVar(&c.adapters, "adapters", 1, "internal: adapters that the tasks are spread over")
	flag.BoolVar(&c.busy, "busy", false, "internal: a goroutine that computes beside")
}

const (
	setBytes = 256 << 20 // the values that loads and stores move, as in sixcall-driver
	setKeys  = 4096
)

// lane is what one task in flight uses.
type lane struct {
	adapter *l2.NativeAdapter
	batches [][]kv.Key // to go through, shared by all lanes
	bufs    []kv.Buffer
	next    int
}

func (l *lane) batch() []kv.Key {
	keys := l.batches[l.next]
	if l.next++; l.next == len(l.batches) {
		l.next = 0
	}
	return keys
}

func (c *childSettings) run() error {
	var lanes []*lane
	batches := c.keys()
	for i := range c.adapters {
		a, err := c.adapter()
		if err != nil {
			return err
		}
		defer a.Close()
		n := (c.depth + c.adapters - 1 - i) / c.adapters // of the lanes, evenly
		some, err := c.lanes(a, batches, n)
		if err != nil {
			return err
		}
		lanes = append(lanes, some...)
	}
	if c.busy {
		var stop atomic.Bool
		defer stop.Store(true)
		go func() {
			for n := 0; !stop.Load(); n++ {
			}
		}()
	}
	measure := c.contextFace
	if c.face == "events" {
		measure = c.eventFace
	}
	// A short warm-up, then the round.
	warm := 100*time.Millisecond + time.Duration(c.depth)*50*time.Microsecond
	if err := measure(lanes, warm, newHistogram()); err != nil {
		return err
	}
	latencies, pauses := newHistogram(), gcPauses()
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu, start := cpuTime(), time.Now()
	if err := measure(lanes, time.Duration(c.seconds*float64(time.Second)), latencies); err != nil {
		return err
	}
	elapsed := time.Since(start).Seconds()
	cpu = cpuTime() - cpu
	runtime.ReadMemStats(&after)
	done := latencies.total()
	r := result{Op: c.op, Batch: c.batch, ValueBytes: c.valueBytes, Depth: c.depth,
		OpsPerS: float64(done) / elapsed, KeysPerS: float64(done*c.batch) / elapsed,
		P50: latencies.quantile(0.5), P99: latencies.quantile(0.99), P999: latencies.quantile(0.999),
		CPU: float64(cpu.Microseconds()) / float64(done), Allocs: float64(after.Mallocs-before.Mallocs) / float64(done),
		GCs: int(after.NumGC - before.NumGC), GCPause99: quantileSince(pauses, gcPauses(), 0.99) * 1e6}
	if c.op != "lookup" {
		r.GBPerS = r.KeysPerS * float64(c.valueBytes) / 1e9
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// adapter opens the library in this process, or in a worker with the memory that
// the two share.
func (c *childSettings) adapter() (*l2.NativeAdapter, error) {
	opts := l2.Options{MaxInFlight: min(max(1024, 2*c.depth), 65536)}
	if c.face != "isolated" {
		conn, err := native.Open(native.Options{Connector: c.lib, Params: json.RawMessage(c.params), OpenTimeout: 10 * time.Second, MaxInFlight: opts.MaxInFlight})
		if err != nil {
			return nil, err
		}
		return l2.New(conn, opts)
	}
	conn, err := worker.Open(context.Background(), worker.Options{Library: c.lib, Params: json.RawMessage(c.params)})
	if err != nil {
		return nil, err
	}
	opts.Arena = conn.Arena()
	return l2.New(conn, opts)
}

// keys makes the batches; keys have 90 bytes of text, as in the driver.
func (c *childSettings) keys() (batches [][]kv.Key) {
	total := max(min(setKeys, setBytes/c.valueBytes), c.batch)
	keys := make([]kv.Key, total)
	for i := range keys {
		var hash [32]byte
		binary.BigEndian.PutUint64(hash[:], uint64(i)*0x9E3779B97F4A7C15)
		binary.BigEndian.PutUint64(hash[24:], uint64(i))
		keys[i] = kv.Key{ChunkHash: string(hash[:]), Model: "bench/llama70b", KVRank: 0x01000100}
	}
	for at := 0; at+c.batch <= total; at += c.batch {
		batches = append(batches, keys[at:at+c.batch])
	}
	return batches
}

// lanes prepares the buffers of n lanes of one adapter, and stores what they read.
func (c *childSettings) lanes(a *l2.NativeAdapter, batches [][]kv.Key, n int) (lanes []*lane, err error) {
	for i := range n {
		l := &lane{adapter: a, batches: batches, next: i * len(batches) / n}
		if c.op != "lookup" || i == 0 {
			if l.bufs, err = c.buffers(a); err != nil {
				return nil, err
			}
		}
		lanes = append(lanes, l)
	}
	if n == 0 || a.Info().Name == "null" {
		return lanes, nil
	}
	for _, keys := range batches {
		if _, err := a.Store(context.Background(), keys, lanes[0].bufs); err != nil {
			return nil, err
		}
	}
	return lanes, nil
}

func (c *childSettings) buffers(a *l2.NativeAdapter) (bufs []kv.Buffer, err error) {
	for range c.batch {
		block, err := a.Arena().Alloc(c.valueBytes)
		if err != nil {
			return nil, err
		}
		buf := block.Bytes()
		if a.Info().Name != "null" { // which moves nothing
			for j := range buf {
				buf[j] = byte(j)
			}
		}
		bufs = append(bufs, buf)
	}
	return bufs, nil
}

// gcPauses returns the counts of all pauses for collections so far.
func gcPauses() *metrics.Float64Histogram {
	sample := []metrics.Sample{{Name: "/sched/pauses/total/gc:seconds"}}
	metrics.Read(sample)
	return sample[0].Value.Float64Histogram()
}

// quantileSince returns the upper bound of the bucket that holds share of what was
// counted between two readings, in the unit of the histogram; 0 if nothing was.
func quantileSince(before, after *metrics.Float64Histogram, share float64) float64 {
	var total, seen uint64
	for i := range after.Counts {
		total += after.Counts[i] - before.Counts[i]
	}
	for i := range after.Counts {
		if seen += after.Counts[i] - before.Counts[i]; total > 0 && float64(seen) >= share*float64(total) {
			if bound := after.Buckets[i+1]; !math.IsInf(bound, 1) {
				return bound
			}
			return after.Buckets[i]
		}
	}
	return 0
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
