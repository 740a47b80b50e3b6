//go:build linux && amd64

// Package nixl_peer_test runs hosts that read from each other with the real NIXL, over
// TCP on loopback.
package nixl_peer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/config"
	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/bridge/worker"
	"github.com/sixcall/sixcall/internal/servers"
)

var background = context.Background()

// address is a place on loopback that was free a moment ago.
func address(t testing.TB) string {
	t.Helper()
	return fmt.Sprintf("127.0.0.1:%d", servers.FreePort(t))
}

type params map[string]any

// host opens the connector in a worker, as a configuration does by default.
func host(t testing.TB, p params) config.Adapter {
	t.Helper()
	a, err := open(t, p)
	require.NoError(t, err)
	return a
}

func open(t testing.TB, p params) (config.Adapter, error) {
	t.Helper()
	if os.Getenv("SIXCALL_WORKER") == "" {
		servers.Require(t, "SIXCALL_WORKER does not name sixcall-worker")
	}
	// For the workers: no device but loopback.
	t.Setenv("UCX_TLS", "tcp")
	t.Setenv("UCX_NET_DEVICES", "lo")
	all := params{"library": servers.Deps(t, "nixl"), "pool_bytes": 64 << 20}
	maps.Copy(all, p)
	text, err := json.Marshal(all)
	require.NoError(t, err)
	list, err := config.ParseL2Adapters([]string{fmt.Sprintf(`{"type":"native_plugin","module_path":%q,"class_name":"nixl_peer","adapter_params":%s}`,
		servers.Connector(t, "nixl_peer"), text)})
	require.NoError(t, err)
	a, err := config.Build(background, list[0])
	if err == nil {
		t.Cleanup(func() { require.NoError(t, a.Close()) })
	}
	return a, err
}

// two opens two hosts that know each other.
func two(t testing.TB, p params) (a, b config.Adapter, atA string) {
	t.Helper()
	for attempt := 1; ; attempt++ { // another process may have taken a port
		atA, atB := address(t), address(t)
		first, second := params{"listen": atA, "peers": []string{atB}}, params{"listen": atB, "peers": []string{atA}}
		maps.Copy(first, p)
		maps.Copy(second, p)
		a, err := open(t, first)
		if err == nil {
			if b, err = open(t, second); err == nil {
				return a, b, atA
			}
		}
		require.Less(t, attempt, 5, "%v", err)
	}
}

func value(i, size int) kv.Buffer {
	v := make(kv.Buffer, size)
	for k := range v {
		v[k] = byte(i*31 + k*7 + k>>8)
	}
	return v
}

func store(t testing.TB, a config.Adapter, keys []kv.Key, values []kv.Buffer) {
	t.Helper()
	_, err := a.Store(background, keys, values)
	require.NoError(t, err)
}

// load returns what was found, nil for a miss.
func load(t *testing.T, a config.Adapter, keys []kv.Key, sizes ...int) []kv.Buffer {
	t.Helper()
	bufs := make([]kv.Buffer, len(keys))
	for i := range bufs {
		bufs[i] = make(kv.Buffer, sizes[i%len(sizes)])
	}
	bits, err := a.Load(background, keys, bufs)
	require.NoError(t, err)
	for i := range bufs {
		if !bits.Test(i) {
			bufs[i] = nil
		}
	}
	return bufs
}

func found(t *testing.T, a config.Adapter, keys []kv.Key) string {
	t.Helper()
	bits, err := a.Lookup(background, keys)
	require.NoError(t, err)
	a.Unlock(kv.Gather(&bits, keys))
	return bits.String()
}

func TestValuesOfAPeer(t *testing.T) {
	a, b, _ := two(t, nil)
	sizes := []int{0, 1, 4096, 65537, 1 << 20, 6<<20 + 1}
	keys := bridgetest.Keys(len(sizes) + 1)
	var values []kv.Buffer
	for i, n := range sizes {
		values = append(values, value(i, n))
	}
	require.Equal(t, "0000000", found(t, b, keys))
	store(t, a, keys[:len(sizes)], values)
	require.Equal(t, "1111110", found(t, b, keys))
	got := load(t, b, keys, append(sizes, 1)...)
	for i := range sizes {
		require.NotNil(t, got[i], "%d bytes", sizes[i])
		require.True(t, bytes.Equal(values[i], got[i]), "%d bytes", sizes[i])
	}
	require.Nil(t, got[len(sizes)])
	require.Nil(t, load(t, b, keys[2:3], 100)[0], "another size")

	// Each stores for itself; what is nearer is taken.
	store(t, b, keys[2:3], []kv.Buffer{value(77, 4096)})
	require.Equal(t, []byte(value(77, 4096)), []byte(load(t, b, keys[2:3], 4096)[0]))
	require.Equal(t, []byte(value(2, 4096)), []byte(load(t, a, keys[2:3], 4096)[0]))
	// A value that is stored anew is read anew, one that is deleted is gone.
	store(t, a, keys[4:5], []kv.Buffer{value(99, 1<<20)})
	require.True(t, bytes.Equal(value(99, 1<<20), load(t, b, keys[4:5], 1<<20)[0]))
	_, err := a.Delete(background, keys[4:5])
	require.NoError(t, err)
	require.Nil(t, load(t, b, keys[4:5], 1<<20)[0])
	require.Equal(t, "1111010", found(t, b, keys))
}

func TestAPeerThatDiesAndComesBack(t *testing.T) {
	a, b, _ := two(t, nil)
	keys := bridgetest.Keys(4)
	store(t, a, keys[:2], []kv.Buffer{value(0, 1<<20), value(1, 1<<20)})
	store(t, b, keys[2:3], []kv.Buffer{value(2, 4096)})
	require.NotNil(t, load(t, b, keys[:1], 1<<20)[0])
	pid := a.Status()["worker"].(worker.Status).Pid
	require.Positive(t, pid)
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	// Misses, and no errors: what the peer had is gone.
	require.Equal(t, "0010", found(t, b, keys))
	require.Equal(t, []byte(value(2, 4096)), []byte(load(t, b, keys[2:3], 4096)[0]))
	servers.Eventually(t, time.Minute, func() error {
		_, err := a.Store(background, keys[3:], []kv.Buffer{value(3, 1<<20)})
		return err
	})
	servers.Eventually(t, time.Minute, func() error {
		if got := load(t, b, keys[3:], 1<<20)[0]; got == nil {
			return fmt.Errorf("the peer's new value is not found")
		} else if !bytes.Equal(value(3, 1<<20), got) {
			t.Fatal("other bytes")
		}
		return nil
	})
}

// Values are evicted and written over while a peer reads them: what arrives is one of
// the values that the key had, whole.
func TestReadsWhileThePoolTurnsOver(t *testing.T) {
	a, b, _ := two(t, params{"pool_bytes": 4 << 20})
	const n, size = 12, 512 << 10 // 6 MiB of values, 4 of room
	keys := bridgetest.Keys(n)
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			_, _ = a.Store(background, keys[i%n:i%n+1], []kv.Buffer{value(i%n+100*(i%2), size)})
		}
	})
	hits := 0
	for deadline := time.Now().Add(3 * time.Minute); hits < 200 && time.Now().Before(deadline); {
		i := rand.IntN(n)
		got := load(t, b, keys[i:i+1], size)[0]
		if got == nil {
			continue
		}
		hits++
		require.True(t, bytes.Equal(value(i, size), got) || bytes.Equal(value(i+100, size), got), "key %d has bytes that it never had", i)
	}
	close(stop)
	writer.Wait()
	require.Equal(t, 200, hits)
}

func TestStrangersAtThePort(t *testing.T) {
	a, b, atA := two(t, nil)
	keys := bridgetest.Keys(1)
	store(t, a, keys, []kv.Buffer{value(1, 4096)})
	for _, text := range []string{"GET / HTTP/1.1\r\n\r\n", "6CPEER01G\xff\xff", "6CPEER01Z\x00\x00", "6CPEER01G\x05\x00ab", "6CPEER0", ""} {
		conn, err := net.Dial("tcp", atA)
		require.NoError(t, err)
		_, err = conn.Write([]byte(text))
		require.NoError(t, err)
		require.NoError(t, conn.Close())
	}
	require.NotNil(t, load(t, b, keys, 4096)[0])
}

func TestWhatIsWrongIsSaid(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	for want, p := range map[string]params{
		"neither listen nor peers":     {},
		`listen is "here", want`:       {"listen": "here"},
		`peers is "h:99999", want`:     {"peers": []string{"h:99999"}},
		"Address already in use":       {"listen": taken.Addr().String()},
		`load NIXL's plugin "NOTHING"`: {"listen": "127.0.0.1:0", "backend": "NOTHING"},
		"libnixl_capi.so is missing":   {"listen": "127.0.0.1:0", "library": t.TempDir()},
		"pool_size is not a known key": {"listen": "127.0.0.1:0", "pool_size": 1},
	} {
		_, err := open(t, p)
		require.ErrorContains(t, err, want)
	}
	// A peer that is not there is no error.
	a := host(t, params{"peers": []string{address(t)}})
	keys := bridgetest.Keys(1)
	require.Equal(t, "0", found(t, a, keys))
	store(t, a, keys, []kv.Buffer{value(1, 10)})
	require.Equal(t, "1", found(t, a, keys))
}

func BenchmarkLoadFromAPeer(b *testing.B) {
	for _, size := range []int{4 << 10, 64 << 10, 1 << 20, 4 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			owner, reader, _ := two(b, nil)
			keys := bridgetest.Keys(8)
			for i := range keys {
				store(b, owner, keys[i:i+1], []kv.Buffer{value(i, size)})
			}
			bufs := make([]kv.Buffer, len(keys))
			for i := range bufs {
				bufs[i] = make(kv.Buffer, size)
			}
			b.SetBytes(int64(size * len(keys)))
			for b.Loop() {
				bits, err := reader.Load(background, keys, bufs)
				require.NoError(b, err)
				require.Equal(b, len(keys), bits.Count())
			}
		})
	}
}
