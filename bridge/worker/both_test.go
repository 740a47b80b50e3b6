//go:build linux && (amd64 || arm64)

package worker_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge"
	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/bridge/worker"
	"github.com/sixcall/sixcall/native"
)

// TestInProcessAndIsolatedAgree runs the same work over the same library in this
// process and in one of its own, and compares every answer.
func TestInProcessAndIsolatedAgree(t *testing.T) {
	libraries := map[string]func(t *testing.T) worker.Options{
		"mem":           func(t *testing.T) worker.Options { return mem(t, "{}") },
		"mem, full":     func(t *testing.T) worker.Options { return mem(t, `{"capacity_bytes":65536}`) },
		"mem, slow":     func(t *testing.T) worker.Options { return mem(t, `{"read_latency_us":200,"workers":3}`) },
		"faulty":        func(t *testing.T) worker.Options { return faulty(t, "", `{}`) },
		"faulty, tight": func(t *testing.T) worker.Options { return faulty(t, "", `{"x-queue":2}`) },
		"faulty, unset": func(t *testing.T) worker.Options { return faulty(t, "", `{"x-behaviour":"unset"}`) },
		"faulty, short": func(t *testing.T) worker.Options { return faulty(t, "", `{"x-behaviour":"short"}`) },
		"bare":          func(t *testing.T) worker.Options { return faulty(t, "_bare", `{}`) },
		"serial":        func(t *testing.T) worker.Options { return faulty(t, "_serial", `{}`) },
	}
	for name, options := range libraries {
		t.Run(name, func(t *testing.T) {
			opts := options(t)
			transcripts := map[string][]string{}
			for mode, open := range map[string]func() (kv.Connector, *arena.Arena){
				"in process": func() (kv.Connector, *arena.Arena) {
					c, err := native.Open(native.Options{Connector: opts.Library, Params: opts.Params})
					require.NoError(t, err)
					a, err := arena.New(arena.Options{})
					require.NoError(t, err)
					t.Cleanup(func() { require.NoError(t, a.Close()) })
					return c, a
				},
				"isolated": func() (kv.Connector, *arena.Arena) {
					c, err := worker.Open(t.Context(), opts)
					require.NoError(t, err)
					return c, c.Arena()
				},
			} {
				for _, integrity := range []bridge.Integrity{bridge.IntegrityOff, bridge.IntegrityXXH3} {
					conn, a := open()
					b, err := bridge.New(conn, bridge.Options{Arena: a, Integrity: integrity, Breaker: bridge.BreakerOptions{Failures: -1}, Deadlines: bridge.Deadlines{Lookup: time.Minute}})
					require.NoError(t, err)
					transcripts[mode] = append(transcripts[mode], work(t, b, conn)...)
					require.NoError(t, b.Close())
				}
			}
			require.NotEmpty(t, transcripts["isolated"])
			require.Equal(t, transcripts["in process"], transcripts["isolated"])
		})
	}
}

// work does a bit of everything and writes down what came of it.
func work(t *testing.T, b *bridge.Bridge, conn kv.Connector) (transcript []string) {
	ctx := context.Background()
	note := func(what string, r bridge.Result, err error) {
		var e *kv.Error
		code := kv.OK
		if err != nil {
			require.ErrorAs(t, err, &e)
			code = e.Code
		}
		transcript = append(transcript, fmt.Sprintf("%s: %v %s bytes=%d deleted=%+v code=%v", what, r.Outcome, r.Bits.String(), r.Bytes, r.Deleted, code))
	}
	info := conn.Info()
	transcript = append(transcript, fmt.Sprintf("%+v", info))
	value := func(i, n int) []byte { return bytes.Repeat([]byte{byte(i), byte(i >> 8), 0x5A}, n/3+1)[:n] }
	sizes := []int{0, 1, 63, 4095, 4096, 4097, 65536, 1<<20 + 1}
	for _, where := range []string{"arena", "heap"} {
		buffers := func(fill bool) []kv.Buffer {
			bufs := make([]kv.Buffer, len(sizes))
			for i, n := range sizes {
				bufs[i] = make([]byte, n)
				if where == "arena" && n > 0 {
					bufs[i] = bridgetest.Buffers(t, b.Arena(), 1, n, 0)[0]
				}
				if fill {
					copy(bufs[i], value(i, n))
				}
			}
			return bufs
		}
		keys := bridgetest.Keys(len(sizes) + 2)
		r, err := b.Do(ctx, bridge.Store, keys[:len(sizes)], buffers(true))
		note("store", r, err)
		r, err = b.Do(ctx, bridge.Lookup, keys, nil)
		note("lookup", r, err)
		b.Unlock(keys)
		got := buffers(false)
		r, err = b.Do(ctx, bridge.Load, keys[:len(sizes)], got)
		note("load", r, err)
		for i := range got {
			if r.Bits.Test(i) {
				require.True(t, bytes.Equal(value(i, sizes[i]), got[i]), "size %d", sizes[i])
			}
		}
		short := bridgetest.Buffers(t, b.Arena(), 2, 10, 0)
		r, err = b.Do(ctx, bridge.Load, []kv.Key{keys[4], keys[len(sizes)]}, short)
		note("load of another size, and of nothing", r, err)
		twice := bridgetest.Buffers(t, b.Arena(), 2, 100, 7)
		r, err = b.Do(ctx, bridge.Store, []kv.Key{keys[1], keys[1]}, twice)
		note("store of one key twice", r, err)
		if info.Caps.Has(kv.CapDelete) {
			r, err = b.Do(ctx, bridge.Delete, []kv.Key{keys[0], keys[1], keys[len(sizes)]}, nil)
			note("delete", r, err)
			r, err = b.Do(ctx, bridge.Lookup, keys, nil)
			note("lookup after delete", r, err)
			b.Unlock(keys)
		}
	}
	many := bridgetest.Keys(3000)
	r, err := b.Do(ctx, bridge.Lookup, many, nil)
	note("lookup of many", r, err)
	b.Unlock(many)
	if info.Caps.Has(kv.CapList) {
		sizes := map[string]int64{}
		for cursor := []byte(nil); ; {
			page, next, err := b.List(ctx, cursor)
			require.NoError(t, err)
			for _, e := range page {
				sizes[e.Key] = e.Size
			}
			if next == nil {
				break
			}
			cursor = next
		}
		for _, key := range slices.Sorted(maps.Keys(sizes)) {
			transcript = append(transcript, fmt.Sprintf("listed %q %d", key, sizes[key]))
		}
	}
	if reporter, ok := conn.(kv.UsageReporter); ok && info.Caps.Has(kv.CapUsage) {
		used, capacity, keys, err := reporter.Usage()
		transcript = append(transcript, fmt.Sprintf("usage %d %d %d %v", used, capacity, keys, err))
	}
	s := b.Stats()
	return append(transcript, fmt.Sprintf("misbehaviour %+v", s.Misbehaviour))
}

// TestTornValuesAreNeverServed stores and loads the same keys from several
// goroutines while the worker is killed, again and again: whatever comes back is
// whole, and every request is answered.
func TestTornValuesAreNeverServed(t *testing.T) {
	c, err := worker.Open(t.Context(), mem(t, "{}"))
	require.NoError(t, err)
	b, err := bridge.New(c, bridge.Options{Arena: c.Arena(), Breaker: bridge.BreakerOptions{Failures: -1}})
	require.NoError(t, err)
	stop := make(chan struct{})
	hits, answers := 0, 0
	var mu sync.Mutex
	var wg sync.WaitGroup
	keys := bridgetest.Keys(8)
	for g := range 3 {
		bufs := bridgetest.Buffers(t, b.Arena(), len(keys), 40_000, byte(g))
		into := bridgetest.Buffers(t, b.Arena(), len(keys), 40_000, 0)
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				_, _ = b.Do(t.Context(), bridge.Store, keys, bufs)
				r, _ := b.Do(t.Context(), bridge.Load, keys, into)
				mu.Lock()
				answers++
				for i := range keys {
					if r.Bits.Len() > i && r.Bits.Test(i) {
						hits++
						if bytes.Count(into[i], into[i][:1]) != len(into[i]) {
							t.Errorf("a torn value of key %d", i)
						}
					}
				}
				mu.Unlock()
			}
		})
	}
	for i := range int64(soak(t, 20)) {
		mu.Lock()
		before := hits
		mu.Unlock()
		eventually(t, "values are served", func() bool { mu.Lock(); defer mu.Unlock(); return hits > before })
		kill(t, c.Status().Pid)
		eventually(t, "the next worker serves", restarted(c, i+1))
	}
	close(stop)
	wg.Wait()
	require.Positive(t, answers)
	require.NoError(t, b.Close())
}
