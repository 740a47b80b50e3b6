//go:build linux && (amd64 || arm64)

package native_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/native"
)

// buildCache holds the libraries that were compiled, by their compiler arguments.
var buildCache struct {
	sync.Mutex
	dir string
}

// compile builds testdata/minimal.c with the given macros and returns the
// library. Equal arguments give a file of equal content; each test gets a copy
// of its own, since the process keeps every library that it has loaded.
func compile(t testing.TB, defines ...string) string {
	t.Helper()
	args := []string{"-O1", "-g0", "-Wall", "-Wno-unused", "-fvisibility=hidden", "-shared", "-fPIC", "-Iinclude"}
	for _, d := range defines {
		args = append(args, "-D"+d)
	}
	return compileFile(t, "minimal", append(args, "testdata/minimal.c", "-lpthread")...)
}

func compileFile(t testing.TB, name string, args ...string) string {
	t.Helper()
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("no C compiler")
	}
	buildCache.Lock()
	defer buildCache.Unlock()
	require.NotEmpty(t, buildCache.dir, "TestMain makes the folder")
	sum := sha256.Sum256([]byte(strings.Join(args, "\x00")))
	built := filepath.Join(buildCache.dir, hex.EncodeToString(sum[:8])+".so")
	if _, err := os.Stat(built); err != nil {
		out, err := exec.Command(cc, append(args, "-o", built)...).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	path := filepath.Join(t.TempDir(), "libsixcall_"+name+".so")
	copyFile(t, built, path)
	return path
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(to, content, 0o755))
}

// open opens a connector on the library and closes it with the test.
func open(t testing.TB, opts native.Options) *native.Connector {
	t.Helper()
	c, err := native.Open(opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close(time.Second)) })
	return c
}

// offHeap returns n bytes outside the Go heap, unmapped with the test.
func offHeap(t testing.TB, n int) []byte {
	t.Helper()
	mem, err := unix.Mmap(-1, 0, max(n, 1), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, unix.Munmap(mem)) })
	return mem[:n]
}

// newBatch returns a batch for n keys "key-0"... with values of size bytes, all
// of it outside the Go heap as a bridge makes it.
func newBatch(t testing.TB, op kv.Op, ticket uint64, n, size int) *kv.Batch {
	t.Helper()
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("key-%d", i)
	}
	text := offHeap(t, len(strings.Join(keys, ""))+1)
	b := &kv.Batch{Ticket: ticket, Op: op, Keys: text[:0]}
	b.Ends = unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(offHeap(t, 4*n)))), n)
	for i, key := range keys {
		b.Keys = append(b.Keys, key...)
		b.Ends[i] = uint32(len(b.Keys))
	}
	b.Status = offHeap(t, n)
	b.ValueLens = unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(offHeap(t, 8*n)))), n)
	b.Err = offHeap(t, kv.ErrBlockSize)
	b.Scratch = offHeap(t, kv.ScratchBase+n*kv.ScratchPerKey)
	if op == kv.OpGet || op == kv.OpSet {
		values := offHeap(t, n*size)
		for i := range n {
			b.Bufs = append(b.Bufs, values[i*size:(i+1)*size:(i+1)*size])
		}
	}
	reset(b)
	return b
}

func reset(b *kv.Batch) {
	for i := range b.Status {
		b.Status[i] = kv.StatusUnset
	}
	b.Err.Reset()
}

// run submits a batch and waits for its completion.
func run(t testing.TB, c *native.Connector, b *kv.Batch) kv.Completion {
	t.Helper()
	require.NoError(t, c.Submit(b))
	var done [4]kv.Completion
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
		fds := []unix.PollFd{{Fd: int32(c.EventFD()), Events: unix.POLLIN}}
		_, err := unix.Poll(fds, 1000)
		if err != nil && err != unix.EINTR {
			require.NoError(t, err)
		}
		n, err := c.Drain(done[:])
		require.NoError(t, err)
		if n > 0 {
			require.Equal(t, 1, n)
			require.Equal(t, b.Ticket, done[0].Ticket)
			return done[0]
		}
	}
	t.Fatal("no completion")
	return kv.Completion{}
}

// repeat returns n times the byte.
func repeat(b byte, n int) []byte {
	out := make([]byte, n)
	for i := range out {
		out[i] = b
	}
	return out
}
