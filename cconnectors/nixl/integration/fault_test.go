package nixl_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/internal/servers"
)

func TestLibraryIsMissing(t *testing.T) {
	_, err := connect(t, params{"base_path": t.TempDir(), "library": "/nowhere"})
	require.ErrorIs(t, err, kv.Config)
	require.ErrorContains(t, err, "nixl-cu12==1.5.1")
	require.ErrorContains(t, err, "looked in /nowhere")
}

func TestPluginsThatDoNotFitAreRefused(t *testing.T) {
	for backend, text := range map[string]string{
		"UCX":   "does not move host memory to either files or objects",
		"GUSLI": "does not move host memory to either files or objects",
		"GDS":   `load NIXL's plugin "GDS"`, // needs CUDA
		"NONE":  `load NIXL's plugin "NONE"`,
	} {
		_, err := connect(t, params{"base_path": t.TempDir(), "backend": backend})
		require.ErrorIs(t, err, kv.Config, backend)
		require.ErrorContains(t, err, text, backend)
	}
	_, err := connect(t, params{"base_path": t.TempDir(), "backend_params": params{"use_posix_aio": "true"}})
	require.ErrorContains(t, err, "refused, because after one failed read every later request of that queue fails")
}

// TestFullDisk fills a small file system.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=8m"); err != nil {
		servers.Require(t, "a file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, 0)) })
	for _, queue := range []string{"use_aio", "use_uring"} {
		t.Run(queue, func(t *testing.T) {
			ctx := context.Background()
			a, _ := open(t, params{"base_path": filepath.Join(dir, queue), "backend_params": params{queue: "true"}})
			defer func() { require.NoError(t, a.Close()) }() // before the file system goes
			const size = 1 << 20
			stored := 0
			var err error
			for ; stored < 64 && err == nil; stored++ {
				_, err = a.Store(ctx, []kv.Key{bridgetest.Key(stored)}, []kv.Buffer{value(stored, size)})
			}
			stored--
			require.ErrorIs(t, err, kv.NoSpace)
			require.ErrorContains(t, err, "No space left on device")
			require.GreaterOrEqual(t, stored, 5)
			require.Less(t, stored, 9)

			bits, err := a.Lookup(ctx, bridgetest.Keys(stored+1))
			require.NoError(t, err)
			require.Equal(t, stored, bits.Count(), "what did not fit is not there")
			a.Unlock(bridgetest.Keys(stored))
			for i := range stored {
				buf := make([]byte, size)
				bits, err := a.Load(ctx, []kv.Key{bridgetest.Key(i)}, []kv.Buffer{buf})
				require.NoError(t, err)
				require.Equal(t, "1", bits.String())
				require.True(t, bytes.Equal(value(i, size), buf))
			}
			_, err = a.Delete(ctx, bridgetest.Keys(stored))
			require.NoError(t, err)
			_, err = a.Store(ctx, []kv.Key{bridgetest.Key(0)}, []kv.Buffer{value(0, size)})
			require.NoError(t, err, "and there is room again")
			_, err = a.Delete(ctx, bridgetest.Keys(1))
			require.NoError(t, err)
		})
	}
}

const (
	killFolder = "SIXCALL_NIXL_TEST_STORE_IN"
	killValues = 40
	killSize   = 300000
)

// TestKillDuringStores kills a process that stores, and looks at what it left.
func TestKillDuringStores(t *testing.T) {
	if folder := os.Getenv(killFolder); folder != "" {
		storeForEver(t, folder)
		return
	}
	servers.Connector(t, "nixl")
	servers.Deps(t, "nixl")
	base := t.TempDir()
	seen := 0
	for round := range 5 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKillDuringStores$")
		cmd.Env = append(os.Environ(), killFolder+"="+base)
		child := servers.Start(t, "a process that stores", cmd)
		child.Await(t, func() error {
			files, err := filepath.Glob(filepath.Join(base, "*.data"))
			if err == nil && len(files) < 3+7*round {
				err = errors.New("few values are there")
			}
			return err
		})
		child.Kill()

		a, _ := open(t, params{"base_path": base})
		left, err := filepath.Glob(filepath.Join(base, ".sixcall-tmp", "w*"))
		require.NoError(t, err)
		require.Len(t, left, 1, "the folder of this process; that of the dead one is gone")
		for i := range killValues {
			buf := make([]byte, killSize)
			bits, err := a.Load(context.Background(), []kv.Key{bridgetest.Key(i)}, []kv.Buffer{buf})
			require.NoError(t, err)
			name, err := bridgetest.Key(i).FileName()
			require.NoError(t, err)
			_, missing := os.Stat(filepath.Join(base, name))
			require.Equal(t, missing == nil, bits.Test(0), "a value that has its name is whole")
			if !bits.Test(0) {
				continue
			}
			seen++
			require.Equal(t, killSize, bytes.Count(buf, buf[:1]), "value %d is a mixture", i)
		}
		require.NoError(t, a.Close())
	}
	require.Greater(t, seen, 20)
}

// storeForEver is the process that is killed: it stores the same keys again and
// again, every time with another byte.
func storeForEver(t *testing.T, folder string) {
	a, _ := open(t, params{"base_path": folder})
	for round := byte(1); ; round++ {
		for i := range killValues {
			_, err := a.Store(context.Background(), []kv.Key{bridgetest.Key(i)}, []kv.Buffer{bytes.Repeat([]byte{round}, killSize)})
			require.NoError(t, err)
		}
	}
}

// TestFilesThatVanish removes and damages files while they are loaded.
func TestFilesThatVanish(t *testing.T) {
	ctx := context.Background()
	base := t.TempDir()
	a, _ := open(t, params{"base_path": base})
	const n, size = 20, 200000
	want := values(n, size)
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			name, _ := bridgetest.Key(i % n).FileName()
			path := filepath.Join(base, name)
			if i%3 == 0 {
				_ = os.Remove(path)
			} else {
				_ = os.Truncate(path, size/2)
			}
		}
	}()
	hits := 0
	for deadline := time.Now().Add(time.Minute); hits < 50 && time.Now().Before(deadline); {
		_, _ = a.Store(ctx, bridgetest.Keys(n), want)
		got := empties(n, size)
		bits, err := a.Load(ctx, bridgetest.Keys(n), got)
		if err != nil {
			continue
		}
		for i := range n {
			if bits.Test(i) {
				hits++
				require.True(t, bytes.Equal(want[i], got[i]), "wrong bytes were served")
			}
		}
	}
	close(stop)
	<-done
	require.GreaterOrEqual(t, hits, 50)
	_, err := a.Store(ctx, bridgetest.Keys(n), want)
	require.NoError(t, err)
	bits, err := a.Load(ctx, bridgetest.Keys(n), empties(n, size))
	require.NoError(t, err)
	require.Equal(t, n, bits.Count(), "and it works on")
}
