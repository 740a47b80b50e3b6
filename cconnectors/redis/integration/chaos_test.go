package redis_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge"
	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/internal/servers"
	"github.com/sixcall/sixcall/native"
)

// traffic stores, looks up and loads the same keys on several goroutines, and
// checks every byte that comes back.
type traffic struct {
	end  atomic.Bool
	wg   sync.WaitGroup
	hits atomic.Int64
	trafficResult
	mu sync.Mutex // guards trafficResult
}

type trafficResult struct {
	hits, misses, failures, wrong int64
	first                         error
}

func startTraffic(b *bridge.Bridge, n, size int) *traffic {
	tr := &traffic{}
	const batch = 16
	for g := range 4 {
		tr.wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 7))
			bufs := buffers(batch, size)
			for version := uint64(g); !tr.end.Load(); version += 4 {
				from := r.IntN(n - batch)
				ks := keys(from, from+batch)
				res, err := b.Do(background, bridge.Store, ks, values(from, from+batch, version, size))
				tr.add(trafficResult{failures: int64(batch - res.Bits.Count()), first: err})
				from = r.IntN(n - batch)
				ks = keys(from, from+batch)
				if _, err := b.Do(background, bridge.Lookup, ks, nil); err == nil {
					b.Unlock(ks)
				}
				res, err = b.Do(background, bridge.Load, ks, bufs)
				got := trafficResult{first: err}
				for i := range ks {
					switch {
					case !res.Bits.Test(i):
						got.misses++
					case whole(from+i, bufs[i]):
						got.hits++
					default:
						got.wrong++
					}
				}
				tr.hits.Add(got.hits)
				tr.add(got)
			}
		})
	}
	return tr
}

func (tr *traffic) add(r trafficResult) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.trafficResult.hits += r.hits
	tr.misses += r.misses
	tr.failures += r.failures
	tr.wrong += r.wrong
	if tr.first == nil {
		tr.first = r.first
	}
}

// awaitHits waits until more hits have come than now.
func (tr *traffic) awaitHits(t *testing.T, more int64) {
	t.Helper()
	want := tr.hits.Load() + more
	servers.Eventually(t, limit, func() error {
		if got := tr.hits.Load(); got < want {
			return fmt.Errorf("%d hits, want %d", got, want)
		}
		return nil
	})
}

func (tr *traffic) stop() trafficResult {
	tr.end.Store(true)
	tr.wg.Wait()
	return tr.trafficResult
}

func TestServerIsKilledAndRestartedUnderTraffic(t *testing.T) {
	for _, name := range []string{"tcp", "unix"} {
		t.Run(name, func(t *testing.T) {
			r := servers.StartRedis(t, servers.RedisOptions{})
			p := at(r)
			if name == "unix" {
				p = params{"unix_socket": r.Socket, "reconnect_max_ms": 200}
			}
			b := openWith(t, p.with(params{"timeout_ms": 2000}), bridge.Options{Breaker: bridge.BreakerOptions{Cooldown: 50 * time.Millisecond, MaxCooldown: 200 * time.Millisecond}})
			tr := startTraffic(b, 300, 20_000)
			for range 8 {
				tr.awaitHits(t, 500)
				r.Kill()
				r.Restart(t)
			}
			tr.awaitHits(t, 500)
			result := tr.stop()
			require.Zero(t, result.wrong)
			require.Positive(t, result.failures+result.misses, "the server was away")
			require.Zero(t, b.Stats().Misbehaviour)
			servers.Eventually(t, limit, func() error { return works(b, 0, 50) })
		})
	}
}

func TestAServerThatIsStoppedTimesOutAndComesBack(t *testing.T) {
	r := servers.StartRedis(t, servers.RedisOptions{})
	b := openWith(t, at(r).with(params{"timeout_ms": 200, "connect_timeout_ms": 200}), bridge.Options{Breaker: bridge.BreakerOptions{Failures: -1}})
	servers.Eventually(t, limit, func() error { return works(b, 0, 10) })
	for range 3 {
		r.Stop()
		for range 3 {
			bits, _ := load(t, b, keys(0, 2), 1000, 1000)
			require.Equal(t, "00", bits)
			require.Equal(t, "00", lookup(t, b, keys(0, 2)...))
			_, err := b.Do(background, bridge.Store, keys(20, 22), values(20, 22, 1, 4<<20))
			require.Error(t, err)
		}
		r.Continue()
		servers.Eventually(t, limit, func() error { return works(b, 0, 10) })
	}
}

func TestDeadlinesAreKeptByTheConnector(t *testing.T) {
	r := servers.StartRedis(t, servers.RedisOptions{})
	b := openWith(t, at(r).with(params{"timeout_ms": 600_000}), bridge.Options{
		Breaker:   bridge.BreakerOptions{Failures: -1},
		Deadlines: bridge.Deadlines{Lookup: 50 * time.Millisecond, Load: 50 * time.Millisecond, Store: 50 * time.Millisecond},
	})
	store(t, open(t, at(r)), keys(0, 2), values(0, 2, 1, 1000)...)
	r.Stop()
	for range 3 {
		res, _ := b.Do(background, bridge.Load, keys(0, 2), buffers(2, 1000))
		require.Equal(t, "00", res.Bits.String())
		_, err := b.Do(background, bridge.Store, keys(5, 7), values(5, 7, 1, 8<<20))
		require.ErrorIs(t, err, kv.Timeout)
	}
	r.Continue()
	servers.Eventually(t, limit, func() error { return works(b, 0, 2) })
}

// ------------------------------------------------ a client that is killed

const childEnv = "SIXCALL_REDIS_TEST_CHILD"

const (
	childKeys = 64
	childSize = 300_000
)

// storeForEver is the life of the child: it stores version after version of the
// same keys until it is killed.
func storeForEver(config string) {
	conn, err := native.Open(native.Options{Connector: "redis", Params: json.RawMessage(config)})
	if err == nil {
		var b *bridge.Bridge
		if b, err = bridge.New(conn, bridge.Options{}); err == nil {
			for version := uint64(os.Getpid()) << 20; err == nil; version++ {
				from := int(version % (childKeys / 16) * 16)
				_, err = b.Do(background, bridge.Store, keys(from, from+16), values(from, from+16, version, childSize))
			}
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func TestAClientThatIsKilledLeavesWholeValues(t *testing.T) {
	servers.Connector(t, "redis")
	r := servers.StartRedis(t, servers.RedisOptions{})
	config, err := json.Marshal(at(r))
	require.NoError(t, err)
	b := open(t, at(r))
	sets := func() (n int) {
		info := r.Do(t, "INFO", "commandstats").(string)
		if _, after, ok := strings.Cut(info, "cmdstat_set:calls="); ok {
			_, _ = fmt.Sscanf(after, "%d", &n)
		}
		return n
	}
	present := 0
	for range 12 {
		before := sets()
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"="+string(config))
		child := servers.Start(t, "child", cmd)
		child.Await(t, func() error {
			if n := sets(); n < before+100 {
				return errors.New("not yet")
			}
			return nil
		})
		child.Kill()
		bufs := buffers(childKeys, childSize)
		res, err := b.Do(background, bridge.Load, keys(0, childKeys), bufs)
		require.NoError(t, err)
		for i := range childKeys {
			if res.Bits.Test(i) {
				present++
				require.True(t, whole(i, bufs[i]), "key %d is torn", i)
			} else {
				require.EqualValues(t, 0, r.Do(t, "EXISTS", key(i).String()), "key %d has another size", i)
			}
		}
	}
	require.Positive(t, present)
}
