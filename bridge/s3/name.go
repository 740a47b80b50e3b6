package s3

import (
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/sixcall/sixcall/bridge/kv"
)

// S3 takes object names of at most this many bytes of UTF-8.
const maxName = 1024

// keyHeader is the metadata in which an object carries its key, percent-encoded,
// as minio-go presents it.
const keyHeader = "Sixcall-Key"

// name returns the object name of key.
func (o *Options) name(key string) (string, error) {
	name := key
	if o.Layout == LayoutRemote {
		name = strings.ReplaceAll(key, "/", "_")
	}
	name = o.Prefix + name
	// "." and ".." do not survive in a URL, and an empty segment not everywhere.
	for segment := range strings.SplitSeq(name, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return "", invalid("key %q has the path segment %q, which is no part of an object name", key, segment)
		}
	}
	switch {
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7F || r == 0xFFFE || r == 0xFFFF }):
		return "", invalid("key %q cannot be an object name: want UTF-8 without control characters", key)
	case len(name) > maxName:
		return "", invalid("key %q makes an object name of %d bytes, want at most %d", key, len(name), maxName)
	}
	return name, nil
}

func invalid(format string, args ...any) error {
	return &kv.Error{Op: "name", Code: kv.Invalid, Err: fmt.Errorf(format, args...)}
}

// metadata is what an object of key carries.
func metadata(key string) map[string]string {
	return map[string]string{keyHeader: url.QueryEscape(key)}
}

// belongs reports whether an object with this metadata is that of key.
func belongs(meta map[string]string, key string) bool {
	stored, ok := find(meta)
	return !ok || stored == url.QueryEscape(key)
}

// find returns the key that metadata names, percent-encoded. Servers change the
// case of such names.
func find(meta map[string]string) (stored string, ok bool) {
	for name, value := range meta {
		if strings.EqualFold(name, keyHeader) || strings.EqualFold(name, "X-Amz-Meta-"+keyHeader) {
			return value, true
		}
	}
	return "", false
}
