package s3

import (
	"context"
	"net/url"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/sixcall/sixcall/bridge/kv"
)

const listPage = 1000 // objects, S3's own bound

// List implements [kv.Lister]. With [LayoutRemote] a name with "_" may stand for
// several keys; such an object is asked for the key that it carries.
func (s *backend) List(ctx context.Context, cursor []byte) ([]kv.KeyEntry, []byte, error) {
	var result minio.ListBucketV2Result
	err := s.retry(ctx, func(context.Context) (err error) {
		// This call of minio-go takes no context; the transport's time-out bounds it.
		result, err = s.core.ListObjectsV2(s.opts.Bucket, s.opts.Prefix, string(cursor), "", "", listPage)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	var page []kv.KeyEntry
	var last string
	for _, object := range result.Contents {
		last = object.Key
		key := strings.TrimPrefix(object.Key, s.opts.Prefix)
		if s.opts.Layout == LayoutRemote && strings.Contains(key, "_") {
			info, err := s.stat(ctx, object.Key)
			if absent(err) {
				continue
			}
			if err != nil {
				return nil, nil, err
			}
			if stored, ok := find(info.UserMetadata); ok {
				if own, err := url.QueryUnescape(stored); err == nil {
					key = own
				}
			}
		}
		page = append(page, kv.KeyEntry{Key: key, Size: object.Size})
	}
	if !result.IsTruncated || last == "" {
		return page, nil, nil
	}
	return page, []byte(last), nil // the next page starts after it
}
