// Package nixl_test runs the nixl connector on the real NIXL: files with the
// POSIX backend, objects against an S3 server.
package nixl_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/internal/servers"
	"github.com/sixcall/sixcall/native"
)

type params map[string]any

// connect opens the connector with NIXL of the wheel.
func connect(t testing.TB, p params) (*native.Connector, error) {
	t.Helper()
	all := params{"library": servers.Deps(t, "nixl")}
	for key, value := range p {
		all[key] = value
	}
	text, err := json.Marshal(all)
	require.NoError(t, err)
	return native.Open(native.Options{Connector: servers.Connector(t, "nixl"), Params: text, OpenTimeout: 30 * time.Second})
}

// open returns an adapter on a connector that is open.
func open(t testing.TB, p params, opts ...l2.Options) (*l2.NativeAdapter, *native.Connector) {
	t.Helper()
	conn, err := connect(t, p)
	require.NoError(t, err)
	o := l2.Options{Name: "nixl"}
	if len(opts) > 0 {
		o = opts[0]
	}
	a, err := l2.New(conn, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, a.Close()) })
	return a, conn
}

// folders returns a folder in memory and one on the disk.
func folders(t testing.TB) map[string]string {
	t.Helper()
	shm, err := os.MkdirTemp("/dev/shm", "sixcall-nixl-")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(shm) })
	return map[string]string{"tmpfs": shm, "disk": t.TempDir()}
}

// value returns size bytes that no other seed has.
func value(seed, size int) kv.Buffer {
	b := make([]byte, size)
	rand.New(rand.NewSource(int64(seed))).Read(b)
	return b
}

func values(n, size int) []kv.Buffer {
	out := make([]kv.Buffer, n)
	for i := range out {
		out[i] = value(i, size)
	}
	return out
}

func empties(n, size int) []kv.Buffer {
	out := make([]kv.Buffer, n)
	for i := range out {
		out[i] = make([]byte, size)
	}
	return out
}

// stat returns one of the connector's counters.
func stat(t testing.TB, conn *native.Connector, name string) string {
	t.Helper()
	text, err := conn.StatsText()
	require.NoError(t, err)
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), name+" "); ok {
			return rest
		}
	}
	t.Fatalf("no %s in:\n%s", name, text)
	return ""
}

func TestFiles(t *testing.T) {
	for where, folder := range folders(t) {
		for _, queue := range []string{"use_aio", "use_uring"} {
			t.Run(where+"/"+queue, func(t *testing.T) {
				ctx := context.Background()
				base := filepath.Join(folder, queue)
				a, conn := open(t, params{"base_path": base, "backend_params": params{queue: "true"}})
				require.Empty(t, conn.Report().Changed, "NIXL left signal handlers and mask alone")

				t.Run("values of all sizes in one batch, under LMCache's names", func(t *testing.T) {
					var want []kv.Buffer
					for i, size := range []int{0, 1, 511, 4096, 4097, 65536, 1 << 20, 16<<20 + 1} {
						want = append(want, value(i, size))
					}
					keys := bridgetest.Keys(len(want))
					_, err := a.Store(ctx, keys, want)
					require.NoError(t, err)
					got := make([]kv.Buffer, len(want))
					for i := range want {
						got[i] = make([]byte, len(want[i]))
						name, err := keys[i].FileName()
						require.NoError(t, err)
						onDisk, err := os.ReadFile(filepath.Join(base, name))
						require.NoError(t, err)
						require.True(t, bytes.Equal(want[i], onDisk), name)
					}
					bits, err := a.Load(ctx, keys, got)
					require.NoError(t, err)
					require.Equal(t, strings.Repeat("1", len(want)), bits.String())
					for i := range want {
						require.True(t, bytes.Equal(want[i], got[i]), "value %d", i)
					}
				})
				t.Run("misses and values of another size miss alone", func(t *testing.T) {
					keys := bridgetest.Keys(3)
					_, err := a.Store(ctx, keys[:2], values(2, 1000))
					require.NoError(t, err)
					bufs := []kv.Buffer{make([]byte, 1000), make([]byte, 999), make([]byte, 1001), make([]byte, 50)}
					bits, err := a.Load(ctx, []kv.Key{keys[0], keys[1], keys[1], bridgetest.Key(999)}, bufs)
					require.NoError(t, err)
					require.Equal(t, "1000", bits.String())
					require.Equal(t, value(0, 1000), bufs[0])
				})
				t.Run("a truncated and a grown file are misses, and can be stored again", func(t *testing.T) {
					keys := bridgetest.Keys(2)
					_, err := a.Store(ctx, keys, values(2, 4096))
					require.NoError(t, err)
					for i, size := range []int64{4095, 4097} {
						name, err := keys[i].FileName()
						require.NoError(t, err)
						require.NoError(t, os.Truncate(filepath.Join(base, name), size))
					}
					bits, err := a.Load(ctx, keys, empties(2, 4096))
					require.NoError(t, err)
					require.Equal(t, "00", bits.String())
					_, err = a.Store(ctx, keys, values(2, 4096))
					require.NoError(t, err)
					bits, err = a.Load(ctx, keys, empties(2, 4096))
					require.NoError(t, err)
					require.Equal(t, "11", bits.String())
				})
				t.Run("lookup and delete", func(t *testing.T) {
					keys := bridgetest.Keys(3)
					_, err := a.Store(ctx, keys[:2], values(2, 10))
					require.NoError(t, err)
					bits, err := a.Lookup(ctx, append(keys[:2:2], bridgetest.Key(777)))
					require.NoError(t, err)
					require.Equal(t, "110", bits.String())
					a.Unlock(keys[:2])
					result, err := a.Delete(ctx, []kv.Key{keys[0], bridgetest.Key(777)})
					require.NoError(t, err)
					require.Equal(t, kv.DeleteResult{Deleted: 1, Absent: 1}, result)
					name, err := keys[0].FileName()
					require.NoError(t, err)
					require.NoFileExists(t, filepath.Join(base, name))
				})
				require.Equal(t, "0", stat(t, conn, `sixcall_nixl_failures_total{direction="read"}`))
				require.Equal(t, "0", stat(t, conn, `sixcall_nixl_failures_total{direction="write"}`))
			})
		}
	}
}

func TestDirectIO(t *testing.T) {
	ctx := context.Background()
	base := t.TempDir()
	a, _ := open(t, params{"base_path": base, "direct_io": true})
	// Aligned values go around the page cache, the others through it.
	keys, bufs := bridgetest.Keys(4), []kv.Buffer{}
	var want []kv.Buffer
	for i, size := range []int{4096, 1 << 20, 5000, 1} {
		buf := bridgetest.Buffers(t, a.Arena(), 1, size, 0)[0]
		want = append(want, value(i, size))
		copy(buf, want[i])
		bufs = append(bufs, buf)
	}
	_, err := a.Store(ctx, keys, bufs)
	require.NoError(t, err)
	for _, buf := range bufs {
		clear(buf)
	}
	bits, err := a.Load(ctx, keys, bufs)
	require.NoError(t, err)
	require.Equal(t, "1111", bits.String())
	require.Equal(t, want, bufs)
}

// TestNamesAreThoseOfTheBridge compares names with the ones of bridge/kv for awkward keys.
func TestNamesAreThoseOfTheBridge(t *testing.T) {
	base := t.TempDir()
	a, _ := open(t, params{"base_path": base})
	for _, key := range []kv.Key{
		{Model: "meta/llama", ChunkHash: "\xab\xcd", KVRank: 0x01000100},
		{Model: "a-SEP-b", ChunkHash: "x"},
		{Model: "50%/é", ChunkHash: "x", ObjectGroup: 300, Salt: "tenant"},
		{Model: "m", ChunkHash: "x", KVRank: 1 << 40},
		{Model: "-SEP/x", ChunkHash: "x"},
	} {
		_, err := a.Store(context.Background(), []kv.Key{key}, values(1, 7))
		require.NoError(t, err)
		name, err := key.FileName()
		require.NoError(t, err)
		require.FileExists(t, filepath.Join(base, name))
		back, ok := kv.ParseFileName(name)
		require.True(t, ok)
		require.Equal(t, key, back)
	}
}

func TestManyKeysOutstanding(t *testing.T) {
	const tasks, each, size = 400, 50, 4096 // 20,000 keys
	for where, folder := range folders(t) {
		t.Run(where, func(t *testing.T) {
			if where == "disk" && testing.Short() {
				t.Skip("20,000 files on the disk")
			}
			ctx := context.Background()
			a, _ := open(t, params{"base_path": folder})
			// Everything is submitted before anything is waited for.
			keys := bridgetest.Keys(tasks * each)
			bufs := make([]kv.Buffer, len(keys))
			for i := range bufs {
				bufs[i] = bytes.Repeat([]byte{byte(i), byte(i >> 8), 0x5A, byte(i >> 4)}, size/4)
			}
			stored := map[kv.TaskID]bool{}
			for i := range tasks {
				id, err := a.SubmitStoreTask(keys[i*each:(i+1)*each], bufs[i*each:(i+1)*each])
				require.NoError(t, err)
				stored[id] = false
			}
			require.Eventually(t, func() bool {
				for id, result := range a.PopCompletedStoreTasks() {
					require.True(t, result.OK)
					delete(stored, id)
				}
				return len(stored) == 0
			}, 2*time.Minute, time.Millisecond)
			bits, err := a.Lookup(ctx, keys)
			require.NoError(t, err)
			require.Equal(t, len(keys), bits.Count())
			a.Unlock(keys)

			loads, got := map[int]kv.TaskID{}, empties(len(keys), size)
			for i := range tasks {
				id, err := a.SubmitLoadTask(keys[i*each:(i+1)*each], got[i*each:(i+1)*each])
				require.NoError(t, err)
				loads[i] = id
			}
			require.Eventually(t, func() bool {
				for i, id := range loads {
					if bits, ok := a.QueryLoadResult(id); ok {
						require.Equal(t, each, bits.Count(), "task %d", i)
						delete(loads, i)
					}
				}
				return len(loads) == 0
			}, 2*time.Minute, time.Millisecond)
			for i := range got {
				require.True(t, bytes.Equal(bufs[i], got[i]), "key %d", i)
			}
		})
	}
}

func TestNothingIsLeftBehind(t *testing.T) {
	cycle := func() {
		a, conn := open(t, params{"base_path": t.TempDir()})
		_, err := a.Store(context.Background(), bridgetest.Keys(4), values(4, 1000))
		require.NoError(t, err)
		block, err := a.Arena().Alloc(1 << 20)
		require.NoError(t, err)
		handle, err := conn.Register(kv.Memory{Bytes: block.Bytes(), FD: -1})
		require.NoError(t, err)
		require.NoError(t, conn.Unregister(handle))
		block.Release()
		require.NoError(t, a.Close())
	}
	cycle() // the library itself stays
	count := func() int {
		found, err := filepath.Glob("/proc/self/fd/*")
		require.NoError(t, err)
		return len(found)
	}
	fds, threads := count(), len(connectorThreads(t))
	for range 5 {
		cycle()
	}
	require.Eventually(t, func() bool { return count() <= fds }, time.Minute, 10*time.Millisecond)
	require.LessOrEqual(t, len(connectorThreads(t)), threads)
}

// connectorThreads returns the folders in /proc of the threads of connectors.
func connectorThreads(t testing.TB) []string {
	t.Helper()
	tasks, err := filepath.Glob("/proc/self/task/*")
	require.NoError(t, err)
	var out []string
	for _, task := range tasks {
		name, err := os.ReadFile(filepath.Join(task, "comm"))
		if err == nil && strings.TrimSpace(string(name)) == "sixcall:nixl" {
			out = append(out, task)
		}
	}
	return out
}

// cpuTicks returns the CPU time that the connector's threads have used, in ticks
// of a hundredth of a second.
func cpuTicks(t testing.TB) (ticks int) {
	t.Helper()
	for _, task := range connectorThreads(t) {
		line, err := os.ReadFile(filepath.Join(task, "stat"))
		require.NoError(t, err)
		fields := strings.Fields(string(line[bytes.LastIndexByte(line, ')')+2:]))
		var user, system int
		_, err = fmt.Sscan(fields[11]+" "+fields[12], &user, &system)
		require.NoError(t, err)
		ticks += user + system
	}
	return ticks
}

func TestIdleConnectionsUseNoCPU(t *testing.T) {
	for _, queue := range []string{"use_aio", "use_uring"} {
		a, _ := open(t, params{"base_path": t.TempDir(), "backend_params": params{queue: true}})
		_, err := a.Store(context.Background(), bridgetest.Keys(100), values(100, 4096))
		require.NoError(t, err)
	}
	require.NotEmpty(t, connectorThreads(t))
	before := cpuTicks(t)
	time.Sleep(time.Second) // idle is what is looked at
	require.LessOrEqual(t, cpuTicks(t)-before, 2, "a thread that polled would use a hundred")
}
