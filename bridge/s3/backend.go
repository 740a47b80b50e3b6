package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"

	"github.com/sixcall/sixcall/bridge/goconnector"
	"github.com/sixcall/sixcall/bridge/kv"
)

// backend is one bucket.
type backend struct {
	opts   Options
	core   *minio.Core
	budget *budget
}

var (
	_ goconnector.Deleter = (*backend)(nil)
	_ goconnector.Pinger  = (*backend)(nil)
	_ kv.Lister           = (*backend)(nil)
)

// Open connects to a bucket, which it asks for unless opts is lazy. Errors: a
// [kv.Error] with [kv.Config], [kv.Auth], [kv.Timeout] or [kv.Unavailable] that
// names the bucket and holds no secret.
func Open(ctx context.Context, opts Options) (*goconnector.Connector, error) {
	fail := func(code kv.Code, err error) error {
		return &kv.Error{Op: "open", Connector: or(opts.Name, "s3"), Code: code, Err: err}
	}
	if err := opts.Validate(); err != nil {
		return nil, fail(kv.Config, err)
	}
	opts = opts.withDefaults()
	core, err := opts.client()
	if err != nil {
		return nil, fail(kv.Config, err)
	}
	s := &backend{opts: opts, core: core, budget: newBudget()}
	if !opts.Lazy {
		if err := s.Ping(ctx); err != nil {
			return nil, fmt.Errorf("bucket %q at %q: %w", opts.Bucket, masked(opts.Endpoint), err)
		}
	}
	return goconnector.New(s, goconnector.Options{
		Name: "s3", Version: "0.1.0", Vendor: "Sixcall",
		Caps:    kv.CapPersistent | kv.CapReadYourWrites | kv.CapDeadline,
		Limits:  kv.Limits{MaxKeyLen: maxName - len(opts.Prefix), MaxValueLen: 10000 * opts.PartBytes},
		Workers: opts.Workers, LookupWorkers: max(opts.Workers, 8),
	})
}

// Ping asks for the bucket.
func (s *backend) Ping(ctx context.Context) error {
	return s.retry(ctx, func(ctx context.Context) error {
		found, err := s.core.BucketExists(ctx, s.opts.Bucket)
		if err == nil && !found {
			err = &kv.Error{Op: "request", Connector: s.opts.Name, Code: kv.Config, Err: fmt.Errorf("there is no bucket %q", s.opts.Bucket)}
		}
		return err
	})
}

// Get implements [goconnector.Backend]. The first request tells the size.
func (s *backend) Get(ctx context.Context, key string, buf []byte) (found bool, err error) {
	name, err := s.opts.name(key)
	if err != nil {
		return false, err
	}
	first := buf[:min(int64(len(buf)), s.opts.PartBytes)]
	var etag string
	err = s.retry(ctx, func(ctx context.Context) (err error) {
		etag, err = s.read(ctx, name, key, buf, first)
		return err
	})
	if absent(err) || err == errOther {
		return false, nil
	}
	if err != nil || len(first) == len(buf) {
		return err == nil, err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(s.opts.PartWorkers)
	for at := int64(len(first)); at < int64(len(buf)); at += s.opts.PartBytes {
		part := buf[at:min(at+s.opts.PartBytes, int64(len(buf)))]
		group.Go(func() error {
			return s.retry(ctx, func(ctx context.Context) error { return s.readPart(ctx, name, etag, at, part) })
		})
	}
	err = group.Wait() // all requests have returned: buf is not touched any more
	return err == nil, err
}

// errOther says that the object belongs to another key.
var errOther = &kv.Error{Op: "request", Code: kv.Invalid}

// read reads the beginning of an object into first and checks that the whole has
// the size of buf.
func (s *backend) read(ctx context.Context, name, key string, buf, first []byte) (etag string, err error) {
	var opts minio.GetObjectOptions
	if len(first) < len(buf) {
		if err := opts.SetRange(0, int64(len(first))-1); err != nil {
			return "", err
		}
	}
	body, info, header, err := s.core.GetObject(ctx, s.opts.Bucket, name, opts)
	var answer minio.ErrorResponse
	if errors.As(err, &answer) && answer.StatusCode == http.StatusRequestedRangeNotSatisfiable {
		return "", sizeError(0, len(buf)) // only an empty object has no first byte
	}
	if err != nil {
		return "", err
	}
	defer body.Close()
	switch size := wholeSize(header, info); {
	case !belongs(info.UserMetadata, key):
		return "", errOther
	case size != int64(len(buf)):
		return "", sizeError(size, len(buf))
	}
	return info.ETag, fill(body, first)
}

func (s *backend) readPart(ctx context.Context, name, etag string, at int64, part []byte) error {
	var opts minio.GetObjectOptions
	if err := opts.SetRange(at, at+int64(len(part))-1); err != nil {
		return err
	}
	if err := opts.SetMatchETag(etag); err != nil { // the value may be replaced meanwhile
		return err
	}
	body, _, _, err := s.core.GetObject(ctx, s.opts.Bucket, name, opts)
	if err != nil {
		return err
	}
	defer body.Close()
	return fill(body, part)
}

// fill reads exactly len(buf) bytes.
func fill(body io.Reader, buf []byte) error {
	if n, err := io.ReadFull(body, buf); err != nil {
		return fmt.Errorf("after %d of %d bytes: %w", n, len(buf), io.ErrUnexpectedEOF)
	}
	return nil
}

// wholeSize is the size of the object that a whole or partial answer is from.
func wholeSize(header http.Header, info minio.ObjectInfo) int64 {
	if _, total, ok := strings.Cut(header.Get("Content-Range"), "/"); ok {
		if n, err := strconv.ParseInt(total, 10, 64); err == nil {
			return n
		}
	}
	return info.Size
}

func sizeError(stored int64, want int) error {
	return &kv.Error{Op: "request", Code: kv.IO, Err: &goconnector.SizeError{Stored: stored, Want: want}}
}

// Set implements [goconnector.Backend].
func (s *backend) Set(ctx context.Context, key string, value []byte) error {
	name, err := s.opts.name(key)
	if err != nil {
		return err
	}
	return s.retry(ctx, func(ctx context.Context) error {
		v := lend(value)
		defer v.end() // the transport may still be reading after an early return
		_, err := s.core.Client.PutObject(ctx, s.opts.Bucket, name, v, int64(len(value)), minio.PutObjectOptions{
			UserMetadata: metadata(key), ContentType: "application/octet-stream",
			PartSize: uint64(s.opts.PartBytes), NumThreads: uint(s.opts.PartWorkers),
		})
		return err
	})
}

// Exists implements [goconnector.Backend].
func (s *backend) Exists(ctx context.Context, key string) (found bool, size int64, err error) {
	name, err := s.opts.name(key)
	if err != nil {
		return false, -1, err
	}
	info, err := s.stat(ctx, name)
	switch {
	case absent(err), err == nil && !belongs(info.UserMetadata, key):
		return false, -1, nil
	case err != nil:
		return false, -1, err
	}
	return true, info.Size, nil
}

func (s *backend) stat(ctx context.Context, name string) (info minio.ObjectInfo, err error) {
	err = s.retry(ctx, func(ctx context.Context) (err error) {
		info, err = s.core.StatObject(ctx, s.opts.Bucket, name, minio.StatObjectOptions{})
		return err
	})
	return info, err
}

// Delete implements [goconnector.Deleter]. S3 does not say whether there was
// something to remove, so it is asked before.
func (s *backend) Delete(ctx context.Context, key string) (found bool, err error) {
	found, _, err = s.Exists(ctx, key)
	if err != nil || !found {
		return false, err
	}
	name, err := s.opts.name(key)
	if err != nil {
		return false, err
	}
	err = s.retry(ctx, func(ctx context.Context) error {
		return s.core.RemoveObject(ctx, s.opts.Bucket, name, minio.RemoveObjectOptions{})
	})
	return err == nil, err
}

// Close implements [goconnector.Backend].
func (s *backend) Close() error { return nil }
