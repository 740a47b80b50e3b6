package s3

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// Layout says how a key becomes the name of an object.
type Layout string

// The layouts, both LMCache's.
const (
	LayoutL2     Layout = "l2"     // the key as it is
	LayoutRemote Layout = "remote" // "/" becomes "_"
)

// Style says where the bucket stands in a request.
type Style string

// The styles.
const (
	StyleAuto        Style = "auto"         // virtual-host for AWS and its like, else path
	StylePath        Style = "path"         // https://host/bucket/object
	StyleVirtualHost Style = "virtual-host" // https://bucket.host/object
)

// Options configures [Open]. Endpoint and Bucket are required.
type Options struct {
	// Endpoint is the server: https://host[:port], http://host[:port], or
	// host[:port], which means https.
	Endpoint string
	Bucket   string
	Region   string // default: asked for once
	Style    Style  // default StyleAuto
	Prefix   string // put before every object name
	Layout   Layout // default LayoutL2

	// AccessKey and SecretKey are the credentials, with SessionToken when they are
	// temporary. Without them the usual places are asked: environment, shared
	// files, the machine's role.
	AccessKey, SecretKey, SessionToken string

	// CAFile has certificates, in PEM, that are trusted beside the system's.
	CAFile string

	// PartBytes is the size from which a value moves in parts, and that of a part:
	// multipart uploads, ranged reads. At least 5 MiB, default 16 MiB.
	PartBytes int64
	// PartWorkers is how many parts of a value move at a time. Default 4.
	PartWorkers int

	Workers int // values that move at a time. Default 16
	// Timeout bounds one request. Default 30s. ConnectTimeout bounds the
	// connecting part. Default 5s.
	Timeout, ConnectTimeout time.Duration
	// Retries is how often a request is tried again, default 3, negative = never.
	// All requests together have a budget of one retry for every ten of them.
	Retries int
	// Lazy opens without asking the server for the bucket.
	Lazy bool

	// Name is the connector's name in errors. Default "s3".
	Name string
}

const minPartBytes = 5 << 20 // S3's lower bound for all parts but the last

func (o Options) withDefaults() Options {
	o.Style = or(o.Style, StyleAuto)
	o.Layout = or(o.Layout, LayoutL2)
	o.PartBytes = or(o.PartBytes, 16<<20)
	o.PartWorkers = or(o.PartWorkers, 4)
	o.Workers = or(o.Workers, 16)
	o.Timeout = or(o.Timeout, 30*time.Second)
	o.ConnectTimeout = or(o.ConnectTimeout, 5*time.Second)
	o.Retries = max(or(o.Retries, 3), 0)
	o.Name = or(o.Name, "s3")
	return o
}

func or[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// Validate reports every problem at once.
func (o Options) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if _, _, err := o.host(); err != nil {
		errs = append(errs, err)
	}
	if o.Bucket == "" {
		bad("bucket is empty, want its name")
	}
	switch o.Style {
	case "", StyleAuto, StylePath, StyleVirtualHost:
	default:
		bad("style is %q, want one of auto, path, virtual-host", o.Style)
	}
	switch o.Layout {
	case "", LayoutL2, LayoutRemote:
	default:
		bad("layout is %q, want one of l2, remote", o.Layout)
	}
	if (o.AccessKey == "") != (o.SecretKey == "") {
		bad("one of access key and secret key is empty, want both or none")
	}
	if o.PartBytes != 0 && o.PartBytes < minPartBytes {
		bad("part size is %d bytes, want %d or more", o.PartBytes, minPartBytes)
	}
	if o.PartWorkers < 0 {
		bad("part workers is %d, want 1 or more", o.PartWorkers)
	}
	if o.Workers < 0 {
		bad("workers is %d, want 1 or more", o.Workers)
	}
	if o.Timeout < 0 {
		bad("timeout is %v, want more than 0", o.Timeout)
	}
	if o.ConnectTimeout < 0 {
		bad("connect timeout is %v, want more than 0", o.ConnectTimeout)
	}
	return errors.Join(errs...)
}

// host returns the server without the scheme, and whether TLS is used.
func (o Options) host() (host string, secure bool, err error) {
	text := o.Endpoint
	if text == "" {
		return "", false, errors.New("endpoint is empty, want https://host[:port] or http://host[:port]")
	}
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" ||
		strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return "", false, fmt.Errorf("endpoint is %q, want https://host[:port] or http://host[:port]", masked(o.Endpoint))
	}
	return u.Host, u.Scheme == "https", nil
}

// masked hides what stands before an @, which may be a password.
func masked(text string) string {
	if _, host, ok := strings.Cut(text, "@"); ok {
		return "***@" + host
	}
	return text
}

func (o Options) client() (*minio.Core, error) {
	host, secure, err := o.host()
	if err != nil {
		return nil, err
	}
	transport, err := o.transport()
	if err != nil {
		return nil, err
	}
	creds := credentials.NewStaticV4(o.AccessKey, o.SecretKey, o.SessionToken)
	if o.AccessKey == "" {
		creds = credentials.NewChainCredentials([]credentials.Provider{
			&credentials.EnvAWS{}, &credentials.FileAWSCredentials{},
			&credentials.IAM{Client: &http.Client{Transport: transport, Timeout: o.ConnectTimeout}},
		})
	}
	lookup := map[Style]minio.BucketLookupType{
		StyleAuto: minio.BucketLookupAuto, StylePath: minio.BucketLookupPath, StyleVirtualHost: minio.BucketLookupDNS,
	}[o.Style]
	return minio.NewCore(host, &minio.Options{
		Creds: creds, Secure: secure, Transport: transport, Region: o.Region, BucketLookup: lookup,
		MaxRetries: 1, // retries are ours, because they have a budget
	})
}

func (o Options) transport() (*http.Transport, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.CAFile != "" {
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, err
		}
		if config.RootCAs, err = x509.SystemCertPool(); err != nil {
			config.RootCAs = x509.NewCertPool()
		}
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%q has no certificate in PEM", o.CAFile)
		}
	}
	connections := o.Workers*o.PartWorkers + 8
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: o.ConnectTimeout, KeepAlive: 15 * time.Second}).DialContext,
		TLSClientConfig:       config,
		TLSHandshakeTimeout:   o.ConnectTimeout,
		ResponseHeaderTimeout: o.Timeout,
		ExpectContinueTimeout: time.Second,
		IdleConnTimeout:       time.Minute,
		MaxIdleConns:          connections,
		MaxIdleConnsPerHost:   connections,
		DisableCompression:    true, // the bytes are the value
		WriteBufferSize:       64 << 10,
		ReadBufferSize:        64 << 10,
	}, nil
}
