//go:build linux

package s3_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/bridge/s3"
	"github.com/sixcall/sixcall/internal/servers"
)

// BenchmarkBesideThePlainClient moves batches of 64 values with as many requests at
// a time through the connector and through the client that it is built on. The
// server is the limit of both.
func BenchmarkBesideThePlainClient(b *testing.B) {
	const n, workers = 64, 16
	server := servers.Moto(b)
	server.MakeBucket(b, "cache")
	plain, err := minio.New(strings.TrimPrefix(server.Endpoint, "http://"), &minio.Options{
		Creds: credentials.NewStaticV4("testing", "testing", ""), Region: "us-east-1", BucketLookup: minio.BucketLookupPath,
	})
	require.NoError(b, err)
	c := open(b, s3.Options{Endpoint: server.Endpoint, Bucket: "cache", Region: "us-east-1", AccessKey: "testing", SecretKey: "testing", Workers: workers})
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("bench@0x01000100@0@%064x", i)
	}
	each := func(do func(i int) error) {
		var wg sync.WaitGroup
		next := make(chan int)
		for range workers {
			wg.Go(func() {
				for i := range next {
					if err := do(i); err != nil {
						b.Error(err)
					}
				}
			})
		}
		for i := range n {
			next <- i
		}
		close(next)
		wg.Wait()
	}
	for _, size := range []int{4 << 10, 64 << 10, 1 << 20} {
		value := bytes.Repeat([]byte("0123456789abcdef"), size/16)
		targets := make([][]byte, n)
		for i := range targets {
			targets[i] = make([]byte, size)
		}
		batches := map[kv.Op]*kv.Batch{}
		for _, op := range []kv.Op{kv.OpSet, kv.OpGet} {
			batches[op] = newBatch(op, size, keys...)
			for i := range keys {
				copy(batches[op].Bufs[i], value)
			}
		}
		again := func(op kv.Op) {
			batch := batches[op]
			tickets++
			batch.Ticket = tickets
			copy(batch.Status, bytes.Repeat([]byte{kv.StatusUnset}, n))
			run(b, c, batch)
			require.Equal(b, bytes.Repeat([]byte{kv.StatusHit}, n), []byte(batch.Status), batch.Err.Message())
		}
		for _, mode := range []struct {
			name     string
			put, get func()
		}{
			{"plain", func() {
				each(func(i int) error {
					_, err := plain.PutObject(b.Context(), "cache", "plain/"+keys[i], bytes.NewReader(value), int64(size), minio.PutObjectOptions{})
					return err
				})
			}, func() {
				each(func(i int) error {
					object, err := plain.GetObject(b.Context(), "cache", "plain/"+keys[i], minio.GetObjectOptions{})
					if err != nil {
						return err
					}
					defer object.Close()
					_, err = io.ReadFull(object, targets[i])
					return err
				})
			}},
			{"connector", func() { again(kv.OpSet) }, func() { again(kv.OpGet) }},
		} {
			for op, do := range map[string]func(){"store": mode.put, "load": mode.get} {
				mode.put()
				b.Run(fmt.Sprintf("op=%s/size=%d/by=%s", op, size, mode.name), func(b *testing.B) {
					b.SetBytes(int64(n * size))
					for b.Loop() {
						do()
					}
				})
			}
		}
	}
}
