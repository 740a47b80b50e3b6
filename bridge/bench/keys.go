package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"time"

	"github.com/sixcall/sixcall/bridge/kv"
)

// keysTrack is what it costs to keep account of many keys.
type keysTrack struct {
	Keys        int     `json:"keys"`
	BytesPerKey float64 `json:"heap_bytes_per_key"`
	Usage       int64   `json:"usage_keys"`
	GCs         int     `json:"gc_runs"`
	Pause99     float64 `json:"gc_pause_p99_us"`
	PauseMax    float64 `json:"gc_pause_max_us"`
	GCMs        float64 `json:"gc_ms"` // one whole collection
}

const trackedKeys = 1_000_000

// keys runs trackKeys in a process of its own.
func (s *settings) keys() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	out, err := exec.Command(self, "--op", "keys", "--lib", s.build+"/libsixcall_null.so", "--batch", "256").Output()
	if err != nil {
		return err
	}
	k := &keysTrack{}
	if err := json.Unmarshal(out, k); err != nil {
		return fmt.Errorf("%q: %w", out, err)
	}
	fmt.Printf("\nkeys: %d tracked, %.1f bytes of heap each; %d collections beside lookups: pause p99 %.0f µs, longest %.0f µs; one collection takes %.1f ms\n",
		k.Usage, k.BytesPerKey, k.GCs, k.Pause99, k.PauseMax, k.GCMs)
	s.data.Keys = k
	return nil
}

// trackKeys stores a million keys, then runs lookups while the garbage collector
// runs again and again.
func (c *childSettings) trackKeys() error {
	a, err := c.adapter()
	if err != nil {
		return err
	}
	defer a.Close()
	c.valueBytes = 4096
	bufs, err := c.buffers(a)
	if err != nil {
		return err
	}
	keys := make([]kv.Key, c.batch)
	batchOf := func(first int) []kv.Key {
		for i := range keys {
			var hash [32]byte
			binary.BigEndian.PutUint64(hash[:], uint64(first+i)*0x9E3779B97F4A7C15)
			keys[i] = kv.Key{ChunkHash: string(hash[:]), Model: "bench/llama70b", KVRank: 0x01000100}
		}
		return keys
	}
	ctx := context.Background()
	if _, err := a.Store(ctx, batchOf(0), bufs); err != nil {
		return err
	}
	before := heap()
	for n := c.batch; n < trackedKeys; n += c.batch {
		if _, err := a.Store(ctx, batchOf(n), bufs); err != nil {
			return err
		}
	}
	k := keysTrack{Keys: trackedKeys, Usage: a.Usage().Keys}
	k.BytesPerKey = float64(heap()-before) / float64(k.Usage)
	start := time.Now()
	runtime.GC()
	k.GCMs = time.Since(start).Seconds() * 1e3

	stop := make(chan struct{})
	traffic := make(chan error, 1)
	go func() {
		for n := 0; ; n = (n + c.batch) % trackedKeys {
			select {
			case <-stop:
				traffic <- nil
				return
			default:
			}
			keys := batchOf(n)
			if _, err := a.Lookup(ctx, keys); err != nil {
				traffic <- err
				return
			}
			a.Unlock(keys)
		}
	}()
	pauses := gcPauses()
	for range 200 {
		runtime.GC()
		k.GCs++
	}
	after := gcPauses()
	close(stop)
	if err := <-traffic; err != nil {
		return err
	}
	k.Pause99, k.PauseMax = quantileSince(pauses, after, 0.99)*1e6, quantileSince(pauses, after, 1)*1e6
	return json.NewEncoder(os.Stdout).Encode(k)
}

// heap returns the bytes that are in use after a collection.
func heap() uint64 {
	runtime.GC()
	runtime.GC() // what sync.Pool kept over the first
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
