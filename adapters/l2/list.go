package l2

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/sixcall/sixcall/bridge/kv"
)

// ListKeys implements [Adapter]. model "" lists all models. A token is where the
// page before ended: the connector's cursor and how many of its entries were
// already given out. Keys that are not in our text form are passed over.
func (a *NativeAdapter) ListKeys(ctx context.Context, model string, pageSize int, token string) (KeyPage, error) {
	fail := func(code kv.Code, format string, args ...any) (KeyPage, error) {
		return KeyPage{}, &kv.Error{Op: "list", Connector: a.bridge.Name(), Code: code, Err: fmt.Errorf(format, args...)}
	}
	if pageSize <= 0 {
		return fail(kv.Invalid, "page_size is %d, want 1 or more", pageSize)
	}
	cursor, skip, err := parseToken(token)
	if err != nil {
		return fail(kv.Invalid, "page token %q: %v; want one that a page returned", token, err)
	}
	var page KeyPage
	for {
		entries, next, err := a.bridge.List(ctx, cursor)
		if err != nil {
			return KeyPage{}, err
		}
		for i := skip; i < len(entries); i++ {
			if len(page.Entries) == pageSize {
				page.NextPageToken = formatToken(cursor, i)
				return page, nil
			}
			key, err := kv.ParseKey(entries[i].Key)
			if err != nil || model != "" && key.Model != model {
				continue
			}
			page.Entries = append(page.Entries, KeyEntry{Key: key, SizeBytes: entries[i].Size})
		}
		if len(next) == 0 {
			return page, nil
		}
		cursor, skip = next, 0
	}
}

func formatToken(cursor []byte, skip int) string {
	return base64.RawURLEncoding.EncodeToString(binary.AppendUvarint(nil, uint64(skip))) + "." +
		base64.RawURLEncoding.EncodeToString(cursor)
}

func parseToken(token string) (cursor []byte, skip int, err error) {
	if token == "" {
		return nil, 0, nil
	}
	for i := range len(token) {
		if token[i] != '.' {
			continue
		}
		head, err := base64.RawURLEncoding.DecodeString(token[:i])
		if err != nil {
			return nil, 0, err
		}
		n, used := binary.Uvarint(head)
		if used != len(head) || n > 1<<31 {
			return nil, 0, errors.New("bad offset")
		}
		cursor, err := base64.RawURLEncoding.DecodeString(token[i+1:])
		return cursor, int(n), err
	}
	return nil, 0, errors.New("no separator")
}
