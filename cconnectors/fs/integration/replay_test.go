package fs_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge"
	"github.com/sixcall/sixcall/bridge/kv"
)

// sizeOf is the size of a key's value: mostly odd, some aligned, some large.
func sizeOf(i int) int {
	switch i % 8 {
	case 0:
		return 16384
	case 1:
		return 1<<18 + i%4096
	default:
		return 1 + i*7919%20000
	}
}

// Thousands of keys are stored, loaded and verified by several goroutines at the
// same time, then found, verified and accounted again by another connection.
func TestReplayVerifiesEveryByte(t *testing.T) {
	const n, goroutines, batch = 2000, 4, 25
	configs := map[string]params{
		"default": {},
		"uring":   {"engine": "io_uring", "shards": 16, "inflight_bytes": 1 << 20},
		"direct":  {"o_direct": true, "temp_files": "named", "workers": 2},
	}
	for kind, root := range folders(t) {
		for name, config := range configs {
			t.Run(kind+" "+name, func(t *testing.T) {
				folder := filepath.Join(root, kind+name)
				b := open(t, folder, config)
				var wg sync.WaitGroup
				for g := range goroutines {
					wg.Go(func() {
						r := rand.New(rand.NewPCG(uint64(g), 9))
						for from := g * batch; from < n; from += goroutines * batch {
							ks, bufs := keys(from, from+batch), []kv.Buffer{}
							for i := range ks {
								bufs = append(bufs, value(uint64(from+i), sizeOf(from+i)))
							}
							if res, err := b.Do(background, bridge.Store, ks, bufs); err != nil || res.Bits.Count() != batch {
								t.Errorf("store from %d: %v %v", from, res.Bits, err)
							}
							back := r.IntN(from/(goroutines*batch)+1)*goroutines*batch + g*batch // any of this goroutine's batches
							if err := verify(b, back, batch); err != nil {
								t.Error(err)
							}
						}
					})
				}
				wg.Wait()
				require.Zero(t, b.Stats().KeyFailures)

				again := open(t, folder, config)
				found, err := again.Recover(background)
				require.NoError(t, err)
				require.Equal(t, n, found)
				require.Equal(t, b.Usage().BytesUsed, again.Usage().BytesUsed)
				for from := 0; from < n; from += batch {
					require.NoError(t, verify(again, from, batch))
				}
			})
		}
	}
}

func verify(b *bridge.Bridge, from, n int) error {
	ks, bufs := keys(from, from+n), make([]kv.Buffer, n)
	for i := range bufs {
		bufs[i] = make(kv.Buffer, sizeOf(from+i))
	}
	res, err := b.Do(background, bridge.Load, ks, bufs)
	if err != nil || res.Bits.Count() != n {
		return fmt.Errorf("load from %d: %v %w", from, res.Bits, err)
	}
	for i, buf := range bufs {
		if !bytes.Equal(buf, value(uint64(from+i), len(buf))) {
			return fmt.Errorf("key %d came back with other bytes", from+i)
		}
	}
	return nil
}

// Values with a checksum lie in the same files, 16 bytes longer.
func TestChecksumsCatchAFileThatWasChanged(t *testing.T) {
	folder := realDir(t, t.TempDir())
	b := openWith(t, folder, nil, bridge.Options{Integrity: bridge.IntegrityXXH3})
	store(t, b, keys(0, 2), value(0, 5000), value(1, 5000))
	name, err := key(0).FileName()
	require.NoError(t, err)
	raw, err := os.ReadFile(filepath.Join(folder, name))
	require.NoError(t, err)
	raw[2500] ^= 1
	require.NoError(t, os.WriteFile(filepath.Join(folder, name), raw, 0o644))
	bits, got := load(t, b, keys(0, 2), 5000, 5000)
	require.Equal(t, "01", bits)
	require.Equal(t, value(1, 5000), got[1])
	require.EqualValues(t, 1, b.Stats().Corrupt)
}

// Files have the names of bridge/kv, also where those would be too long.
func TestFilesHaveTheNamesOfKV(t *testing.T) {
	folder := realDir(t, t.TempDir())
	b := open(t, folder, nil)
	want := map[string]bool{}
	ks := namedKeys()
	for _, k := range ks {
		want[fileName(k)] = true
		_, err := b.Do(background, bridge.Store, []kv.Key{k}, []kv.Buffer{[]byte(k.String())})
		require.NoError(t, err)
	}
	entries, err := os.ReadDir(folder)
	require.NoError(t, err)
	got := map[string]bool{}
	for _, e := range entries {
		if filepath.Ext(e.Name()) == ".data" {
			got[e.Name()] = true
		}
	}
	require.Equal(t, want, got)
	for _, k := range ks {
		bits, bufs := load(t, b, []kv.Key{k}, len(k.String()))
		require.Equal(t, "1", bits)
		require.Equal(t, k.String(), string(bufs[0]))
	}
}
