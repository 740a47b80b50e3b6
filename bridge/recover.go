package bridge

import (
	"context"

	"github.com/sixcall/sixcall/bridge/kv"
)

// Recover accounts what the connector already holds, page by page, and tells
// listeners of it, so that capacity, quotas and eviction survive a restart. It
// returns how many keys it found. Keys that are not in our text form, or whose
// size the connector does not know, are not accounted.
//
// Call it before traffic: a key that is deleted while its page is on the way
// would be accounted. [kv.Unsupported] when the connector cannot list.
func (b *Bridge) Recover(ctx context.Context) (int, error) {
	found := 0
	for cursor := []byte(nil); ; {
		page, next, err := b.List(ctx, cursor)
		if err != nil {
			return found, err
		}
		found += b.recoverPage(page)
		if len(next) == 0 {
			return found, nil
		}
		cursor = next
	}
}

func (b *Bridge) recoverPage(page []kv.KeyEntry) int {
	event := event{on: b.events.listening(), kind: Store}
	b.index.mu.Lock()
	defer b.index.mu.Unlock()
	n, h := 0, b.index.hasher()
	for _, entry := range page {
		key, err := kv.ParseKey(entry.Key)
		if err != nil || entry.Size < 0 {
			continue
		}
		size := entry.Size
		if b.opts.Integrity != IntegrityOff {
			size = max(size-trailerSize, 0)
		}
		added := b.index.stored(h.of(&key), key.Salt, size)
		n++
		if event.on {
			event.keys = append(event.keys, key)
			event.sizes = append(event.sizes, added)
		}
	}
	b.events.post(event)
	return n
}
