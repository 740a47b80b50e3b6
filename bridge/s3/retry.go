package s3

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/sixcall/sixcall/bridge/kv"
)

// budget bounds the retries of all requests together: each request earns a tenth of
// a retry, so that a server in trouble is not hit with a multiple of its load.
type budget struct {
	mu     sync.Mutex
	tenths int
}

const maxTenths = 1000 // saved retries: 100

func newBudget() *budget { return &budget{tenths: maxTenths} }

func (b *budget) earn() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tenths = min(b.tenths+1, maxTenths)
}

func (b *budget) spend() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tenths < 10 {
		return false
	}
	b.tenths -= 10
	return true
}

// retry runs one request, again when that may help, with a pause that doubles
// and has jitter.
func (s *backend) retry(ctx context.Context, request func(ctx context.Context) error) error {
	s.budget.earn()
	pause := 20 * time.Millisecond
	for attempt := 0; ; attempt++ {
		err := s.bounded(ctx, request)
		if err == nil || ctx.Err() != nil || !transient(err) || attempt >= s.opts.Retries || !s.budget.spend() {
			return s.explain(ctx, err)
		}
		select {
		case <-ctx.Done():
			return s.explain(ctx, err)
		case <-time.After(pause/2 + rand.N(pause)):
		}
		pause *= 2
	}
}

func (s *backend) bounded(ctx context.Context, request func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	return request(ctx)
}

// transient reports whether the same request may succeed later.
func transient(err error) bool {
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) {
		var coded *kv.Error
		return !errors.As(err, &coded) // the connection failed, or what came was cut short
	}
	switch answer.Code {
	case "SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable", "Throttling", "ThrottlingException":
		return true
	}
	return answer.StatusCode >= 500 || answer.StatusCode == http.StatusTooManyRequests || answer.StatusCode == 0
}

// absent reports whether err says that there is no such object.
func absent(err error) bool {
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) {
		return false
	}
	return answer.Code == minio.NoSuchKey || answer.StatusCode == http.StatusNotFound && answer.Code != minio.NoSuchBucket
}

// explain gives err one of our codes. It keeps the server's text and no URL.
func (s *backend) explain(ctx context.Context, err error) error {
	if err == nil || absent(err) {
		return err
	}
	var coded *kv.Error
	if errors.As(err, &coded) {
		return err
	}
	code := kv.Unavailable
	var answer minio.ErrorResponse
	switch {
	case ctx.Err() != nil:
		return ctx.Err() // the caller's deadline or cancel
	case errors.Is(err, context.DeadlineExceeded):
		code = kv.Timeout
	case errors.Is(err, io.ErrUnexpectedEOF):
		code = kv.IO
	case errors.As(err, &answer) && answer.StatusCode != 0:
		switch {
		case answer.StatusCode == http.StatusForbidden || answer.StatusCode == http.StatusUnauthorized:
			code = kv.Auth
		case answer.StatusCode == http.StatusInsufficientStorage || answer.Code == "EntityTooLarge" || answer.Code == "QuotaExceeded":
			code = kv.NoSpace
		case answer.StatusCode == http.StatusNotFound:
			code = kv.Config // the bucket
		default:
			code = kv.IO
		}
		err = errors.New(answer.Code + ": " + answer.Message)
	}
	return &kv.Error{Op: "request", Connector: s.opts.Name, Code: code, Err: err}
}
