//go:build linux && (amd64 || arm64)

package worker_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/bridge/worker"
)

// posixSharedMemory maps what another program made with shm_open, as LMCache does
// for its L1: an object below /dev/shm, opened by its name.
func posixSharedMemory(t *testing.T, bytes int) kv.Memory {
	t.Helper()
	name := filepath.Join("/dev/shm", fmt.Sprintf("sixcall-test-%d-%s", os.Getpid(), filepath.Base(t.Name())))
	owner, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.Remove(name)) })
	require.NoError(t, owner.Truncate(int64(bytes)))
	require.NoError(t, owner.Close())

	f, err := os.OpenFile(name, os.O_RDWR, 0)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.Close()) })
	mem, err := unix.Mmap(int(f.Fd()), 0, bytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, unix.Munmap(mem)) })
	return kv.Memory{Bytes: mem, FD: int(f.Fd())}
}

// The worker reads and writes the host's shared memory itself: nothing is bounced,
// also after it was started again, and what is not shared is still served.
func TestSharedMemoryOfTheHostIsNotCopied(t *testing.T) {
	const n, size = 16, 64 << 10
	for name, opts := range map[string]func() worker.Options{
		"mem":  func() worker.Options { return mem(t, "{}") },
		"fake": func() worker.Options { return fakeOptions(t, "good") },
	} {
		t.Run(name, func(t *testing.T) {
			c := open(t, opts())
			l1 := posixSharedMemory(t, 2*n*size)
			id, err := c.Share(l1)
			require.NoError(t, err)
			in := func(b *kv.Batch, from int) *kv.Batch {
				for i := range b.Bufs {
					b.Bufs[i] = l1.Bytes[(from+i)*size:][:size:size]
				}
				return b
			}
			for round := range int64(3) {
				set := in(batch(t, c.Arena(), kv.OpSet, 1, n, size, "k"), 0)
				fill(set.Bufs, byte(round))
				require.EqualValues(t, n, run(t, c, set).NOK)
				get := in(batch(t, c.Arena(), kv.OpGet, 2, n, size, "k"), n)
				require.EqualValues(t, n, run(t, c, get).NOK)
				require.Equal(t, set.Bufs, get.Bufs)
				require.Zero(t, c.Status().BouncedBatches)
				kill(t, c.Status().Pid)
				eventually(t, "the next worker serves", restarted(c, round+1))
			}

			require.NoError(t, c.Unshare(id))
			require.ErrorIs(t, c.Unshare(id), kv.Invalid)
			set := in(batch(t, c.Arena(), kv.OpSet, 1, n, size, "k"), 0)
			require.EqualValues(t, n, run(t, c, set).NOK)
			require.EqualValues(t, 1, c.Status().BouncedBatches, "the memory is the host's alone again")
		})
	}
}

func TestShareRefusesWhatCannotBeMapped(t *testing.T) {
	c := open(t, fakeOptions(t, "good"))
	l1 := posixSharedMemory(t, 1<<20)
	for want, m := range map[string]kv.Memory{
		"0 bytes":              {FD: l1.FD},
		"the offset is 1":      {Bytes: l1.Bytes[1:], FD: l1.FD, Offset: 1},
		"without a descriptor": {Bytes: l1.Bytes, FD: -1},
	} {
		_, err := c.Share(m)
		require.ErrorContains(t, err, want)
	}
}
