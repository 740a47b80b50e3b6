package config

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/bridge/s3"
)

// TypeS3 keeps values in S3; the connector is go:s3.
const TypeS3 = "s3"

var s3Connector = GoConnector{Open: openS3, Schema: `{"type":"object","additionalProperties":false,"required":["endpoint","bucket"],"properties":{
"endpoint":{"type":"string","description":"the server: https://host[:port] or http://host[:port]"},
"bucket":{"type":"string","description":"the bucket, which exists"},
"region":{"type":"string","default":"","description":"empty = asked for once"},
"style":{"type":"string","enum":["auto","path","virtual-host"],"default":"auto","description":"where the bucket stands in a request"},
"prefix":{"type":"string","default":"","description":"put before every object name"},
"layout":{"type":"string","enum":["l2","remote"],"default":"l2","description":"object names of LMCache's L2 adapter or of its remote connector"},
"access_key":{"type":"string","default":"","description":"empty = from the environment, shared files or the machine's role"},
"secret_key":{"type":"string","default":""},
"session_token":{"type":"string","default":""},
"ca_file":{"type":"string","default":"","description":"certificates in PEM that are trusted beside the system's"},
"part_bytes":{"type":"integer","minimum":5242880,"default":16777216,"description":"size from which a value moves in parts, and of a part"},
"part_workers":{"type":"integer","minimum":1,"maximum":64,"default":4,"description":"parts of a value that move at a time"},
"workers":{"type":"integer","minimum":1,"maximum":1024,"default":16,"description":"values that move at a time"},
"timeout_ms":{"type":"integer","minimum":1,"maximum":86400000,"default":30000,"description":"bound of one request"},
"connect_timeout_ms":{"type":"integer","minimum":1,"maximum":86400000,"default":5000},
"retries":{"type":"integer","minimum":0,"maximum":100,"default":3,"description":"how often a request is tried again"},
"lazy":{"type":"boolean","default":false,"description":"open without asking for the bucket"}}}`}

func openS3(ctx context.Context, params json.RawMessage, instance string) (kv.Connector, error) {
	p := struct {
		Endpoint         string    `json:"endpoint"`
		Bucket           string    `json:"bucket"`
		Region           string    `json:"region"`
		Style            s3.Style  `json:"style"`
		Prefix           string    `json:"prefix"`
		Layout           s3.Layout `json:"layout"`
		AccessKey        string    `json:"access_key"`
		SecretKey        string    `json:"secret_key"`
		SessionToken     string    `json:"session_token"`
		CAFile           string    `json:"ca_file"`
		PartBytes        int64     `json:"part_bytes"`
		PartWorkers      int       `json:"part_workers"`
		Workers          int       `json:"workers"`
		TimeoutMS        int64     `json:"timeout_ms"`
		ConnectTimeoutMS int64     `json:"connect_timeout_ms"`
		Retries          *int      `json:"retries"`
		Lazy             bool      `json:"lazy"`
	}{}
	if err := json.Unmarshal(params, &p); err != nil {
		return nil, &kv.Error{Op: "open", Connector: instance, Code: kv.Config, Err: err}
	}
	opts := s3.Options{
		Endpoint: p.Endpoint, Bucket: p.Bucket, Region: p.Region, Style: p.Style, Prefix: p.Prefix, Layout: p.Layout,
		AccessKey: p.AccessKey, SecretKey: p.SecretKey, SessionToken: p.SessionToken, CAFile: p.CAFile,
		PartBytes: p.PartBytes, PartWorkers: p.PartWorkers, Workers: p.Workers,
		Timeout:        time.Duration(p.TimeoutMS) * time.Millisecond,
		ConnectTimeout: time.Duration(p.ConnectTimeoutMS) * time.Millisecond,
		Lazy:           p.Lazy, Name: instance,
	}
	if p.Retries != nil {
		if opts.Retries = *p.Retries; opts.Retries == 0 {
			opts.Retries = -1
		}
	}
	conn, err := s3.Open(ctx, opts)
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// s3Endpoint splits LMCache's endpoint, [s3://]bucket.host[:port], into the
// connector's two keys.
func s3Endpoint(o *object, key, raw string) map[string]string {
	var text string
	_ = json.Unmarshal([]byte(raw), &text)
	bucket, host, ok := strings.Cut(strings.TrimPrefix(text, "s3://"), ".")
	if !ok || bucket == "" || host == "" || strings.Contains(text, "/") && !strings.HasPrefix(text, "s3://") {
		o.fail(key, "is %q, want s3://BUCKET.HOST[:PORT]", text)
		return nil
	}
	scheme := "https://"
	if v, ok := o.take("disable_tls"); ok && v.raw == "true" {
		scheme = "http://"
	}
	return map[string]string{
		"endpoint": quoteJSON(scheme + host),
		"bucket":   quoteJSON(bucket),
	}
}

// s3Express refuses what the connector does not do.
func s3Express(o *object, key, raw string) map[string]string {
	if raw == "true" {
		o.fail(key, "is true, but S3 Express is not supported")
	}
	return nil
}

var s3Type = bundled{connector: "s3", module: goScheme + "s3", capacity: true, fields: []field{
	{key: "s3_endpoint", expand: s3Endpoint, read: aText, need: "s3://BUCKET.HOST[:PORT]"},
	{key: "s3_region", param: "region", read: aText, need: "the region that requests are signed for"},
	{key: "s3_num_io_threads", param: "workers", read: anInteger(1)},
	{key: "s3_prefer_http2", read: aBoolean},
	{key: "s3_enable_s3express", expand: s3Express, read: aBoolean},
	{key: "disable_tls", read: aBoolean},
	{key: "aws_access_key_id", param: "access_key", read: aSecret},
	{key: "aws_secret_access_key", param: "secret_key", read: aSecret},
}}
