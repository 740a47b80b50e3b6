package storage_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/storage"
	"github.com/sixcall/sixcall/bridge/engine"
)

func openDisk(t testing.TB, a storage.Allocator, dir string, capacity int64, policy string) *storage.Disk {
	t.Helper()
	d, err := storage.OpenDisk(storage.DiskOptions{Dir: dir, Capacity: capacity, Allocator: a, Policy: policy})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d
}

// files lists the values of a folder.
func files(t testing.TB, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func read(t testing.TB, d *storage.Disk, k engine.Key) *engine.Object {
	t.Helper()
	o, err := d.Get(ctx, k)
	require.NoError(t, err)
	return o
}

func TestRow128KeysNeverShareAFile(t *testing.T) {
	cpu := newCPU(t, 16, "LRU", true)
	dir := t.TempDir()
	d := openDisk(t, cpu, dir, 1<<20, "LRU")
	slash, dash := key(1), key(1)
	slash.Model, dash.Model = "a/b", "a-b"
	percent, long := key(1), key(1)
	percent.Model, long.Model = "a%2Fb", strings.Repeat("long", 100)
	all := []engine.Key{slash, dash, percent, long}
	put(t, cpu, d, all...)
	require.Len(t, files(t, dir), 4)
	require.Contains(t, files(t, dir), "a-b@1@0@1@bfloat16.pt", "LMCache's name")
	for _, k := range all {
		same(t, cpu, k, read(t, d, k))
	}
}

func TestRow129TruncatedFilesAreMisses(t *testing.T) {
	cpu := newCPU(t, 16, "LRU", true)
	for name, damage := range map[string]func(path string) error{
		"cut":   func(p string) error { return os.Truncate(p, 1000) },
		"empty": func(p string) error { return os.Truncate(p, 0) },
		"flipped": func(p string) error {
			b, err := os.ReadFile(p)
			if err == nil {
				b[77] ^= 1
				err = os.WriteFile(p, b, 0o644)
			}
			return err
		},
		"longer": func(p string) error { return os.Truncate(p, 5000) },
	} {
		dir := t.TempDir()
		d := openDisk(t, cpu, dir, 1<<20, "LRU")
		put(t, cpu, d, key(1))
		require.NoError(t, damage(filepath.Join(dir, files(t, dir)[0])), name)
		require.Nil(t, read(t, d, key(1)), name)
		require.False(t, has(t, d, key(1)), name)
		require.Zero(t, d.Used(), name)
		put(t, cpu, d, key(1))
		same(t, cpu, key(1), read(t, d, key(1)))
	}
	require.Zero(t, cpu.Pool().InUse())
}

func TestRow130DeletedFilesAreMisses(t *testing.T) {
	cpu := newCPU(t, 16, "LRU", true)
	dir := t.TempDir()
	d := openDisk(t, cpu, dir, 1<<20, "LRU")
	put(t, cpu, d, keys(1, 3)...)
	for _, name := range files(t, dir) {
		require.NoError(t, os.Remove(filepath.Join(dir, name)))
	}
	require.Nil(t, read(t, d, key(1)))
	ok, err := d.Remove(ctx, key(2), true)
	require.NoError(t, err)
	require.True(t, ok)
	ok, err = d.Remove(ctx, key(2), true)
	require.NoError(t, err)
	require.False(t, ok)
	require.Zero(t, d.Used())
	require.Zero(t, cpu.Pool().InUse())
}

func TestRow131TheBudgetNeverLeaks(t *testing.T) {
	cpu := newCPU(t, 32, "LRU", true)
	const room = 2048 + 28 + 32 + 64 // a file and some
	d := openDisk(t, cpu, t.TempDir(), 4*room, "LRU")
	for round := range 12 {
		ks := keys(round*4, round*4+4)
		put(t, cpu, d, ks...)
		for _, k := range ks {
			require.True(t, has(t, d, k))
			ok, err := d.Remove(ctx, k, true)
			require.NoError(t, err)
			require.True(t, ok)
		}
		require.Zero(t, d.Used())
	}
	// And without removing: the oldest go.
	for i := range 12 {
		put(t, cpu, d, key(i))
	}
	require.LessOrEqual(t, d.Used(), int64(4*room))
	require.True(t, has(t, d, key(11)))
	require.False(t, has(t, d, key(0)))
	// What is pinned is not evicted, and then there is no room.
	for i := 8; i < 12; i++ {
		require.True(t, d.Pin(key(i)))
	}
	o := object(t, cpu, key(99))
	refused := make(chan error, 1)
	require.NoError(t, d.SubmitPut(ctx, keys(99, 100), []*engine.Object{o}, func(_ engine.Key, err error) { refused <- err }))
	require.ErrorContains(t, <-refused, "no room")
	o.Release()
	ok, err := d.Remove(ctx, key(8), false)
	require.NoError(t, err)
	require.False(t, ok, "pinned")
	require.True(t, d.Unpin(key(8)))
	put(t, cpu, d, key(99))
	require.False(t, has(t, d, key(8)))
}

func TestFailedWritesLeaveNothingBehind(t *testing.T) {
	cpu := newCPU(t, 4, "LRU", true)
	dir := filepath.Join(t.TempDir(), "gone")
	d := openDisk(t, cpu, dir, 1<<20, "LRU")
	require.NoError(t, os.RemoveAll(dir))
	o := object(t, cpu, key(1))
	ended := make(chan error, 1)
	require.NoError(t, d.SubmitPut(ctx, keys(1, 2), []*engine.Object{o}, func(_ engine.Key, err error) { ended <- err }))
	require.ErrorIs(t, <-ended, os.ErrNotExist)
	require.Equal(t, 1, o.Refs())
	o.Release()
	require.False(t, d.InPutTasks(key(1)))
	require.Zero(t, d.Used())
	require.NoError(t, os.MkdirAll(dir, 0o755))
	put(t, cpu, d, key(1))
	require.True(t, has(t, d, key(1)))
}

func TestRow132NoLockIsHeldWhileMemoryIsShort(t *testing.T) {
	cpu := newCPU(t, 1, "LRU", true)
	d := openDisk(t, cpu, t.TempDir(), 1<<20, "LRU")
	put(t, cpu, d, key(1))
	held := object(t, cpu, key(9)) // all there is
	short, cancel := context.WithCancel(ctx)
	ended := make(chan error)
	go func() {
		_, err := d.Get(short, key(1))
		ended <- err
	}()
	require.True(t, has(t, d, key(1)), "another call answers")
	cancel()
	require.ErrorIs(t, <-ended, engine.ErrNoMemory)
	require.True(t, has(t, d, key(1)), "it is still there")
	held.Release()
	same1 := read(t, d, key(1))
	require.NotNil(t, same1)
	same1.Release()
}

func TestRow133TheIndexSurvivesARestart(t *testing.T) {
	cpu := newCPU(t, 16, "LRU", true)
	dir := t.TempDir()
	d := openDisk(t, cpu, dir, 1<<20, "LRU")
	put(t, cpu, d, keys(1, 6)...)
	partial := object(t, cpu, key(7))
	require.NoError(t, partial.Truncate(256))
	ended := make(chan error, 1)
	require.NoError(t, d.SubmitPut(ctx, keys(7, 8), []*engine.Object{partial}, func(_ engine.Key, err error) { ended <- err }))
	require.NoError(t, <-ended)
	partial.Release()
	used := d.Used()
	require.NoError(t, d.Close())
	// What is not ours is not touched.
	for name, text := range map[string]string{"other.pt": "LMCache's", "notes.txt": "x", ".sixcall-tmp-999999999-1": "torn", ".sixcall-tmp-1-1": "of a living process"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	// Key 3 was written first, as far as the files say.
	old := time.Now().Add(-time.Hour)
	require.NoError(t, os.Chtimes(filepath.Join(dir, "org%2Fm@1@0@3@bfloat16.pt"), old, old))

	again := openDisk(t, cpu, dir, 1<<20, "LRU")
	require.Equal(t, used, again.Used())
	for i := 1; i < 6; i++ {
		same(t, cpu, key(i), read(t, again, key(i)))
	}
	o := read(t, again, key(7))
	require.Equal(t, 2, o.Tokens())
	require.Equal(t, 256, o.Len())
	o.Release()
	require.Subset(t, files(t, dir), []string{"other.pt", "notes.txt", ".sixcall-tmp-1-1"})
	require.NotContains(t, files(t, dir), ".sixcall-tmp-999999999-1")

	// A smaller budget: the oldest go at once.
	require.NoError(t, again.Close())
	small := openDisk(t, cpu, dir, used-1, "LRU")
	require.False(t, has(t, small, key(3)))
	require.True(t, has(t, small, key(1)))

	// The files of another worker are left alone.
	other, err := storage.OpenDisk(storage.DiskOptions{Dir: dir, Capacity: 1 << 20, Allocator: cpu, WorkerID: 1})
	require.NoError(t, err)
	require.Zero(t, other.Used())
	require.NoError(t, other.Close())
}

func TestRow134LFUAtCapacityWithWritesInFlight(t *testing.T) {
	cpu := newCPU(t, 64, "LRU", true)
	d := openDisk(t, cpu, t.TempDir(), 3*2200, "LFU")
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 30 {
				k := key(g*7 + i%11)
				o, err := cpu.Allocate(ctx, chunk, true)
				if err != nil {
					t.Error(err)
					return
				}
				fill(o, k)
				// A store without room is refused; it must not break anything.
				_ = d.SubmitPut(ctx, []engine.Key{k}, []*engine.Object{o}, nil)
				o.Release()
				if o, err := d.Get(ctx, k); err != nil {
					t.Error(err)
				} else if o != nil {
					want := object(t, cpu, k)
					if string(want.Bytes()) != string(o.Bytes()) {
						t.Errorf("wrong bytes for %s", k)
					}
					want.Release()
					o.Release()
				}
			}
		})
	}
	all.Wait()
	require.NoError(t, d.Close())
	require.LessOrEqual(t, d.Used(), int64(3*2200))
	require.Zero(t, cpu.Pool().InUse())
}
