//go:build linux

package s3_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge/eventfd"
	"github.com/sixcall/sixcall/bridge/goconnector"
	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/bridge/s3"
)

// scripted is a server that answers as handle says.
func scripted(t *testing.T, opts s3.Options, handle http.HandlerFunc) *goconnector.Connector {
	t.Helper()
	server := httptest.NewServer(handle)
	t.Cleanup(server.Close)
	opts.Endpoint, opts.Bucket, opts.Region = server.URL, "bucket", "us-east-1"
	opts.AccessKey, opts.SecretKey, opts.Lazy = "id", "secret", true
	return open(t, opts)
}

func answer(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>because</Message></Error>`, code)
}

func value(w http.ResponseWriter, v []byte) {
	w.Header().Set("ETag", `"1"`)
	w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
	w.Header().Set("Content-Length", strconv.Itoa(len(v)))
	_, _ = w.Write(v)
}

func TestRequestPathOfRow123(t *testing.T) {
	var path atomic.Value
	c := scripted(t, s3.Options{Layout: s3.LayoutRemote, Style: s3.StylePath}, func(w http.ResponseWriter, r *http.Request) {
		path.Store(r.URL.EscapedPath())
		value(w, []byte("12345678"))
	})
	get := newBatch(kv.OpGet, 8, "org/m@2@1@abc@bfloat16@u%b")
	run(t, c, get)
	require.Equal(t, []byte{kv.StatusHit}, get.Status)
	require.Equal(t, "/bucket/org_m%402%401%40abc%40bfloat16%40u%25b", path.Load())
}

func TestTransientErrorsAreRetriedAndOthersAreNot(t *testing.T) {
	for _, tt := range []struct {
		status   int
		code     string
		requests int32
		want     kv.Status
		wantCode kv.Code
	}{
		{503, "SlowDown", 3, kv.StatusError, kv.IO},
		{500, "InternalError", 3, kv.StatusError, kv.IO},
		{403, "AccessDenied", 1, kv.StatusError, kv.Auth},
		{507, "QuotaExceeded", 3, kv.StatusRefused, kv.NoSpace},
		{404, "NoSuchBucket", 1, kv.StatusError, kv.Config},
		{404, "NoSuchKey", 1, kv.StatusMiss, kv.OK},
	} {
		t.Run(tt.code, func(t *testing.T) {
			var requests atomic.Int32
			c := scripted(t, s3.Options{Retries: 2}, func(w http.ResponseWriter, _ *http.Request) {
				requests.Add(1)
				answer(w, tt.status, tt.code)
			})
			get := newBatch(kv.OpGet, 8, "a@b")
			run(t, c, get)
			require.Equal(t, []byte{tt.want}, get.Status)
			require.Equal(t, tt.wantCode, get.Err.Code())
			require.Equal(t, tt.requests, requests.Load())
			require.NotContains(t, get.Err.Message(), "http://")
		})
	}
}

func TestARetryThatSucceedsIsAHit(t *testing.T) {
	var requests atomic.Int32
	c := scripted(t, s3.Options{}, func(w http.ResponseWriter, _ *http.Request) {
		switch requests.Add(1) {
		case 1:
			answer(w, 503, "SlowDown")
		case 2: // cut short
			w.Header().Set("Content-Length", "8")
			w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
			_, _ = w.Write([]byte("1234"))
		default:
			value(w, []byte("12345678"))
		}
	})
	get := newBatch(kv.OpGet, 8, "a@b")
	run(t, c, get)
	require.Equal(t, []byte{kv.StatusHit}, get.Status)
	require.Equal(t, "12345678", string(get.Bufs[0]))
	require.EqualValues(t, 3, requests.Load())
}

func TestATruncatedAnswerIsNoHit(t *testing.T) {
	c := scripted(t, s3.Options{Retries: -1}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "8")
		w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
		_, _ = w.Write([]byte("1234"))
	})
	get := newBatch(kv.OpGet, 8, "a@b")
	run(t, c, get)
	require.Equal(t, []byte{kv.StatusError}, get.Status)
	require.Contains(t, get.Err.Message(), "after 4 of 8 bytes")
}

func TestAPartOfAReplacedObjectIsNoHit(t *testing.T) {
	const part = 5 << 20
	c := scripted(t, s3.Options{PartBytes: part}, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-Match") != "" {
			answer(w, 412, "PreconditionFailed")
			return
		}
		w.Header().Set("ETag", `"1"`)
		w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
		w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", part-1, part+8))
		w.Header().Set("Content-Length", strconv.Itoa(part))
		w.WriteHeader(http.StatusPartialContent)
		_, _ = w.Write(make([]byte, part))
	})
	get := newBatch(kv.OpGet, part+8, "a@b")
	run(t, c, get)
	require.Equal(t, []byte{kv.StatusError}, get.Status)
}

func TestADeadlineEndsAHangingRequest(t *testing.T) {
	release, ended := make(chan struct{}), make(chan struct{}, 3)
	c := scripted(t, s3.Options{}, func(w http.ResponseWriter, r *http.Request) {
		defer func() { ended <- struct{}{} }()
		if r.Method == http.MethodGet { // half of the value, the rest much later
			w.Header().Set("Content-Length", "8")
			w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
			_, _ = w.Write([]byte("1234"))
			w.(http.Flusher).Flush()
		}
		<-release
		_, _ = w.Write([]byte("5678"))
	})
	var got *kv.Batch
	ops := []kv.Op{kv.OpGet, kv.OpSet, kv.OpExists}
	for _, op := range ops {
		b := newBatch(op, 8, "a@b")
		b.DeadlineNS = eventfd.MonotonicNS() + uint64(50*time.Millisecond)
		run(t, c, b)
		require.Equal(t, []byte{kv.StatusTimeout}, b.Status, op)
		if op == kv.OpGet {
			got = b
		}
	}
	after := bytes.Clone(got.Bufs[0])
	close(release)
	for range ops {
		<-ended
	}
	require.Equal(t, after, got.Bufs[0], "the buffer was touched after the completion")
}

func TestOptionsAreChecked(t *testing.T) {
	err := s3.Options{Endpoint: "ftp://user:hunter2@host", Style: "x", Layout: "y", AccessKey: "k", PartBytes: 1, Workers: -1}.Validate()
	for _, want := range []string{"endpoint is", "bucket is empty", `style is "x"`, `layout is "y"`, "access key and secret key", "part size is 1", "workers is -1"} {
		require.ErrorContains(t, err, want)
	}
	require.NotContains(t, err.Error(), "hunter2")

	_, err = s3.Open(t.Context(), s3.Options{Endpoint: "http://127.0.0.1:1", Bucket: "bucket", Region: "us-east-1", AccessKey: "k", SecretKey: "hunter2", Retries: -1})
	require.ErrorIs(t, err, kv.Unavailable)
	require.ErrorContains(t, err, `bucket "bucket"`)
	require.False(t, strings.Contains(err.Error(), "hunter2"))
}
