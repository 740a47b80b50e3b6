//go:build linux

package s3_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge/eventfd"
	"github.com/sixcall/sixcall/bridge/goconnector"
	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/bridge/s3"
	"github.com/sixcall/sixcall/internal/servers"
)

func open(t testing.TB, opts s3.Options) *goconnector.Connector {
	t.Helper()
	c, err := s3.Open(t.Context(), opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close(time.Minute)) })
	return c
}

// moto is a connector to a real server with an empty bucket.
func moto(t testing.TB, opts s3.Options) (*goconnector.Connector, *servers.MotoServer) {
	t.Helper()
	server := servers.Moto(t)
	server.MakeBucket(t, "cache")
	opts.Endpoint, opts.Bucket, opts.Region = server.Endpoint, "cache", "us-east-1"
	opts.AccessKey, opts.SecretKey = "testing", "testing"
	return open(t, opts), server
}

var tickets uint64

func newBatch(op kv.Op, size int, keys ...string) *kv.Batch {
	tickets++
	b := &kv.Batch{Ticket: tickets, Op: op, Err: make(kv.ErrBlock, kv.ErrBlockSize)}
	for _, k := range keys {
		b.Keys = append(b.Keys, k...)
		b.Ends = append(b.Ends, uint32(len(b.Keys)))
		b.Status = append(b.Status, kv.StatusUnset)
		b.ValueLens = append(b.ValueLens, 0)
		if op == kv.OpGet || op == kv.OpSet {
			b.Bufs = append(b.Bufs, make([]byte, size))
		}
	}
	return b
}

// run submits b and waits on the event fd until it has completed.
func run(t testing.TB, c *goconnector.Connector, b *kv.Batch) {
	t.Helper()
	require.NoError(t, c.Submit(b))
	poller, err := eventfd.NewPoller(c.EventFD())
	require.NoError(t, err)
	defer poller.Close()
	timer := time.AfterFunc(time.Minute, poller.Close)
	defer timer.Stop()
	var out [1]kv.Completion
	done := false
	require.NoError(t, poller.Run(func() bool {
		n, err := c.Drain(out[:])
		require.NoError(t, err)
		done = n == 1
		return done
	}))
	require.True(t, done, "no completion after a minute")
	require.Equal(t, b.Ticket, out[0].Ticket)
}

func set(t *testing.T, c *goconnector.Connector, key string, v []byte) {
	t.Helper()
	b := newBatch(kv.OpSet, 0, key)
	b.Bufs[0] = v
	run(t, c, b)
	require.Equal(t, []byte{kv.StatusHit}, b.Status, b.Err.Message())
}

func random(n int) []byte {
	v := make([]byte, n)
	for i := range v {
		v[i] = byte(rand.Uint32())
	}
	return v
}

func TestValuesOnAServer(t *testing.T) {
	const part = 5 << 20
	c, _ := moto(t, s3.Options{PartBytes: part, PartWorkers: 3})
	for _, size := range []int{0, 1, 4096, 70001, part - 1, part, part + 1, 3*part + 17} {
		key := fmt.Sprintf("org/model@00000001@0@%08x", size)
		v := random(size)
		set(t, c, key, v)

		get := newBatch(kv.OpGet, size, key, "absent@1")
		run(t, c, get)
		require.Equal(t, []byte{kv.StatusHit, kv.StatusMiss}, get.Status, "%d bytes: %s", size, get.Err.Message())
		require.True(t, bytes.Equal(v, get.Bufs[0]), "%d bytes", size)
		require.Equal(t, []uint64{uint64(size), math.MaxUint64}, get.ValueLens)

		for _, wrong := range []int{size + 1, size/2 + 2*part} {
			if wrong == size {
				continue
			}
			get = newBatch(kv.OpGet, wrong, key)
			run(t, c, get)
			require.Equal(t, []byte{kv.StatusSize}, get.Status, "%d bytes into %d", size, wrong)
			require.Equal(t, []uint64{uint64(size)}, get.ValueLens)
			require.Equal(t, wrong, bytes.Count(get.Bufs[0], []byte{0}), "the buffer was touched")
		}

		exists := newBatch(kv.OpExists, 0, key, "absent@1")
		run(t, c, exists)
		require.Equal(t, []byte{kv.StatusHit, kv.StatusMiss}, exists.Status)
		require.EqualValues(t, size, exists.ValueLens[0])
	}
}

func TestOverwriteAndDelete(t *testing.T) {
	c, _ := moto(t, s3.Options{Prefix: "tenant-a/"})
	set(t, c, "m@1", []byte("first value"))
	set(t, c, "m@1", []byte("second"))
	get := newBatch(kv.OpGet, 6, "m@1")
	run(t, c, get)
	require.Equal(t, "second", string(get.Bufs[0]))

	del := newBatch(kv.OpDelete, 0, "m@1", "m@2")
	run(t, c, del)
	require.Equal(t, []byte{kv.StatusHit, kv.StatusMiss}, del.Status)
	get = newBatch(kv.OpGet, 6, "m@1")
	run(t, c, get)
	require.Equal(t, []byte{kv.StatusMiss}, get.Status)
	ping := newBatch(kv.OpPing, 0)
	run(t, c, ping)
	require.Equal(t, kv.OK, ping.Err.Code())
}

func TestKeysThatShareANameNeverShareAValue(t *testing.T) {
	c, _ := moto(t, s3.Options{Layout: s3.LayoutRemote})
	set(t, c, "org/m@1", []byte("slash"))
	for _, op := range []kv.Op{kv.OpGet, kv.OpExists} {
		b := newBatch(op, 5, "org_m@1", "org/m@1")
		run(t, c, b)
		require.Equal(t, []byte{kv.StatusMiss, kv.StatusHit}, b.Status, op)
	}
	set(t, c, "org_m@1", []byte("under"))
	get := newBatch(kv.OpGet, 5, "org_m@1", "org/m@1")
	run(t, c, get)
	require.Equal(t, []byte{kv.StatusHit, kv.StatusMiss}, get.Status)
	require.Equal(t, "under", string(get.Bufs[0]))
	entries, next, err := c.List(t.Context(), nil)
	require.NoError(t, err)
	require.Nil(t, next)
	require.Equal(t, []kv.KeyEntry{{Key: "org_m@1", Size: 5}}, entries)
}

func TestListHasEveryKeyOnce(t *testing.T) {
	c, _ := moto(t, s3.Options{Prefix: "p/", Workers: 8})
	const n = 1205 // two pages
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("org/m@%06d", i)
	}
	b := newBatch(kv.OpSet, 3, keys...)
	run(t, c, b)
	require.Equal(t, n, bytes.Count(b.Status, []byte{kv.StatusHit}), b.Err.Message())
	seen := map[string]int{}
	var cursor []byte
	for pages := 0; ; pages++ {
		entries, next, err := c.List(t.Context(), cursor)
		require.NoError(t, err)
		for _, e := range entries {
			seen[e.Key]++
			require.EqualValues(t, 3, e.Size)
		}
		if cursor = next; cursor == nil {
			require.Equal(t, 1, pages)
			break
		}
	}
	require.Len(t, seen, n)
	for _, k := range keys {
		require.Equal(t, 1, seen[k], k)
	}
}

func TestServerKilledAndRestarted(t *testing.T) {
	c, server := moto(t, s3.Options{Retries: -1, Timeout: time.Minute})
	set(t, c, "m@1", []byte("value"))
	server.Kill()
	get := newBatch(kv.OpGet, 5, "m@1")
	run(t, c, get)
	require.Equal(t, []byte{kv.StatusError}, get.Status)
	require.Equal(t, kv.Unavailable, get.Err.Code())

	server.Restart(t) // it keeps nothing
	server.MakeBucket(t, "cache")
	get = newBatch(kv.OpGet, 5, "m@1")
	run(t, c, get)
	require.Equal(t, []byte{kv.StatusMiss}, get.Status, get.Err.Message())
	set(t, c, "m@1", []byte("again"))
}
