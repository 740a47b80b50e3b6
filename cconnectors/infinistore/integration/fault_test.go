//go:build linux && (amd64 || arm64)

package infinistore_test

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge"
	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/internal/servers"
)

// traffic stores, loads, looks up and deletes few keys from many goroutines until
// stopped. A value that is not one that was stored fails the test.
type traffic struct {
	t     *testing.T
	stop  atomic.Bool
	tasks atomic.Int64
	hits  atomic.Int64
	wg    sync.WaitGroup
}

func startTraffic(t *testing.T, size int, bridges ...*bridge.Bridge) *traffic {
	f := &traffic{t: t}
	for g := range 2 * len(bridges) {
		b := bridges[g%len(bridges)]
		bufs := [2]kv.Buffer{buffer(t, b, size), buffer(t, b, size)}
		f.wg.Go(func() { f.run(b, bufs[:], rand.New(rand.NewPCG(uint64(g), 1))) })
	}
	t.Cleanup(f.end)
	return f
}

func (f *traffic) end() {
	f.stop.Store(true)
	f.wg.Wait()
}

func (f *traffic) run(b *bridge.Bridge, bufs []kv.Buffer, random *rand.Rand) {
	for !f.stop.Load() {
		key := random.IntN(3)
		keys := []kv.Key{bridgetest.Key(key), bridgetest.Key(key + 10)}
		kind := []bridge.Kind{bridge.Store, bridge.Load, bridge.Load, bridge.Lookup, bridge.Delete}[random.IntN(5)]
		moved := bufs
		switch kind {
		case bridge.Store:
			for i := range bufs {
				fillFast(bufs[i], byte(random.IntN(256)))
			}
		case bridge.Lookup, bridge.Delete:
			moved = nil
		}
		r, _ := b.Do(background, kind, keys, moved) // failures are what this is about
		f.tasks.Add(1)
		if kind == bridge.Lookup {
			b.Unlock(keys)
		}
		if kind != bridge.Load {
			continue
		}
		for i := range bufs {
			if !r.Bits.Test(i) {
				continue
			}
			f.hits.Add(1)
			if bytes.Count(bufs[i], bufs[i][:1]) != len(bufs[i]) {
				f.t.Errorf("key %d: the value is torn", key)
			}
		}
	}
}

// fillFast writes a value that consists of one byte.
func fillFast(buf []byte, c byte) {
	buf[0] = c
	for n := 1; n < len(buf); n *= 2 {
		copy(buf[n:], buf[:n])
	}
}

// awaitMore returns when n more have been counted.
func awaitMore(t *testing.T, c *atomic.Int64, n int64) {
	t.Helper()
	want := c.Load() + n
	servers.Eventually(t, time.Minute, func() error {
		if got := c.Load(); got < want {
			return fmt.Errorf("%d of %d", got, want)
		}
		return nil
	})
}

// TestKeysThatAreBeingStored has two handles of one process work on the same few
// keys. A get or a delete of a key whose value is still arriving aborts the server.
func TestKeysThatAreBeingStored(t *testing.T) {
	s := start(t, 1)
	f := startTraffic(t, 3<<20, open(t, s, bridge.Options{}, nil), open(t, s, bridge.Options{}, nil))
	awaitMore(t, &f.tasks, 400)
	awaitMore(t, &f.hits, 20)
	f.end()
}

func TestServerKilledAndRestarted(t *testing.T) {
	servers.Connector(t, "infinistore")
	s := servers.StartInfiniStore(t, 1)
	b := open(t, s, bridge.Options{}, nil)
	f := startTraffic(t, 1<<20, b)
	for range 3 {
		awaitMore(t, &f.hits, 20)
		s.Kill()
		awaitMore(t, &f.tasks, 20) // nothing waits for it
		s.Restart(t)
	}
	awaitMore(t, &f.hits, 20)
	f.end()
	require.NoError(t, s.Ask())
	store(t, b, 77, 0, 1000)
	require.Equal(t, fill(make([]byte, 1000), 77, 0), load(t, b, 77, 1000))
}

// TestServerStoppedForAWhile freezes the server in the middle of traffic. Tasks end by
// their deadline; when it goes on, it must not find anybody gone.
func TestServerStoppedForAWhile(t *testing.T) {
	s := start(t, 1)
	const limit = 300 * time.Millisecond
	b := open(t, s, bridge.Options{Deadlines: bridge.Deadlines{Lookup: limit, Load: limit, Store: limit, Delete: limit}},
		map[string]any{"connect_timeout_ms": 300})
	f := startTraffic(t, 3<<20, b)
	for range 3 {
		awaitMore(t, &f.hits, 10)
		s.Stop()
		awaitMore(t, &f.tasks, 8)
		s.Continue()
	}
	awaitMore(t, &f.hits, 10)
	f.end()
	require.NoError(t, s.Ask())
}

// TestCloseDuringTransfers closes in the middle of large values, again and again.
func TestCloseDuringTransfers(t *testing.T) {
	s := start(t, 1)
	keeper := open(t, s, bridge.Options{}, nil)
	const size = 48 << 20
	store(t, keeper, 1, 0, size)
	for range 10 {
		b := openOnly(t, s, bridge.Options{CloseGrace: -1}, nil)
		var wg sync.WaitGroup
		for g := range 3 {
			buf := buffer(t, b, size)
			wg.Go(func() {
				kind, key := bridge.Load, bridgetest.Key(1)
				if g == 0 {
					kind, key = bridge.Store, bridgetest.Key(2)
				}
				_, _ = b.Do(background, kind, []kv.Key{key}, []kv.Buffer{buf})
			})
		}
		servers.Eventually(t, time.Minute, func() error {
			if b.InFlight() == 0 {
				return fmt.Errorf("nothing is in flight")
			}
			return nil
		})
		_ = b.Close() // busy, or not: both are right
		wg.Wait()
	}
	require.True(t, bytes.Equal(fill(make([]byte, size), 1, 0), load(t, keeper, 1, size)))
}

const childEnv = "SIXCALL_TEST_INFINISTORE_PORT"

// TestChildThatStores is the child of the next test: it stores a large value and
// says when it begins.
func TestChildThatStores(t *testing.T) {
	port, err := strconv.Atoi(os.Getenv(childEnv))
	if err != nil {
		t.Skip("the child of TestClientKilledInMidPut")
	}
	b := open(t, &servers.InfiniStore{Port: port}, bridge.Options{}, nil)
	buf := buffer(t, b, 96<<20)
	fmt.Println("connected")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	_, _ = b.Do(background, bridge.Store, []kv.Key{bridgetest.Key(5)}, []kv.Buffer{buf})
}

// TestClientKilledInMidPut leaves half a value behind. The key exists then, which
// nobody can tell from a whole one, and the server aborts when it is loaded: that is
// the server's. A store heals it, and everything else goes on.
func TestClientKilledInMidPut(t *testing.T) {
	s := start(t, 1)
	b := open(t, s, bridge.Options{}, nil)
	store(t, b, 6, 0, 1000)

	child := exec.Command(os.Args[0], "-test.run=^TestChildThatStores$", "-test.v")
	child.Env = append(child.Environ(), childEnv+"="+strconv.Itoa(s.Port))
	in, err := child.StdinPipe()
	require.NoError(t, err)
	p := servers.Start(t, "child", child)
	p.Await(t, func() error {
		if !bytes.Contains([]byte(p.Output()), []byte("connected")) {
			return fmt.Errorf("not connected")
		}
		return nil
	})
	s.Stop() // the value cannot get through
	_, err = in.Write([]byte("go\n"))
	require.NoError(t, err)
	servers.Eventually(t, time.Minute, func() error {
		if queued := receiveQueue(t, s.Port); queued < 1<<16 {
			return fmt.Errorf("%d bytes wait for the server", queued)
		}
		return nil
	})
	p.Kill()
	s.Continue()

	servers.Eventually(t, time.Minute, func() error {
		if got := lookup(t, b, 5); got != "1" {
			return fmt.Errorf("lookup says %s", got)
		}
		return nil
	})
	require.Equal(t, fill(make([]byte, 1000), 6, 0), load(t, b, 6, 1000), "others are not concerned")
	store(t, b, 5, 3, 2000)
	require.Equal(t, fill(make([]byte, 2000), 5, 3), load(t, b, 5, 2000))
	require.NoError(t, s.Ask())
}

// receiveQueue returns how many bytes wait in the sockets of the server's port.
func receiveQueue(t *testing.T, port int) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/net/tcp")
	require.NoError(t, err)
	var most int64
	for line := range bytes.Lines(text) {
		f := bytes.Fields(line)
		if len(f) < 5 || !bytes.HasSuffix(f[1], fmt.Appendf(nil, ":%04X", port)) {
			continue
		}
		if _, hex, ok := bytes.Cut(f[4], []byte(":")); ok {
			n, err := strconv.ParseInt(string(hex), 16, 64)
			require.NoError(t, err)
			most = max(most, n)
		}
	}
	return most
}
