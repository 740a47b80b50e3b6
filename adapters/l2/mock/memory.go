package mock

import (
	"bytes"
	"context"

	"go.uber.org/zap"

	"github.com/sixcall/sixcall/bridge/kv"
)

// store copies what is new and fits, and returns its bytes.
func (a *Adapter) store(keys []kv.Key, objects []kv.Buffer) (added int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var stored []kv.Key
	var sizes []int64
	for i, key := range keys {
		size := int64(len(objects[i]))
		if _, ok := a.values[key]; ok || size > a.opts.MaxSizeBytes {
			continue
		}
		if a.used+size > a.opts.MaxSizeBytes {
			a.opts.Logger.Warn("no room for a value, it is not stored", zap.Stringer("key", key), zap.Int64("bytes", size))
			continue
		}
		a.values[key] = bytes.Clone(objects[i])
		a.used += size
		added += size
		stored, sizes = append(stored, key), append(sizes, size)
	}
	_ = a.accounts.Stored(stored, sizes) // as many of one as of the other
	return added
}

// lookup pins what is there, once per position.
func (a *Adapter) lookup(keys []kv.Key) kv.Bitmap {
	bits := kv.NewBitmap(len(keys))
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, key := range keys {
		if _, ok := a.values[key]; ok {
			a.pins[key]++
			bits.Set(i)
		}
	}
	return bits
}

// load copies the values whose size is that of their buffer, and returns their
// bytes.
func (a *Adapter) load(keys []kv.Key, bufs []kv.Buffer) (bits kv.Bitmap, loaded int64) {
	bits = kv.NewBitmap(len(keys))
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, key := range keys {
		if value, ok := a.values[key]; ok && len(value) == len(bufs[i]) {
			loaded += int64(copy(bufs[i], value))
			bits.Set(i)
		}
	}
	a.accounts.Accessed(kv.Gather(&bits, keys))
	return bits, loaded
}

// SubmitUnlock implements [l2.Adapter].
func (a *Adapter) SubmitUnlock(keys []kv.Key) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, key := range keys {
		if a.pins[key]--; a.pins[key] <= 0 {
			delete(a.pins, key)
		}
	}
}

// Delete implements [l2.Adapter]. It acts at once, whatever the context.
func (a *Adapter) Delete(_ context.Context, keys []kv.Key) (kv.DeleteResult, error) {
	var r kv.DeleteResult
	if a.tasks.Closed() {
		return kv.DeleteResult{Failed: len(keys)}, &kv.Error{Op: "delete", Connector: typeName, Code: kv.Closed}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	var deleted []kv.Key
	var sizes []int64
	for _, key := range keys {
		value, ok := a.values[key]
		switch {
		case !ok:
			r.Absent++
		case a.pins[key] > 0:
			r.Pinned++
		default:
			r.Deleted++
			delete(a.values, key)
			a.used -= int64(len(value))
			deleted, sizes = append(deleted, key), append(sizes, int64(len(value)))
		}
	}
	_ = a.accounts.Deleted(deleted, sizes)
	return r, nil
}

// Usage implements [l2.Adapter].
func (a *Adapter) Usage() kv.Usage {
	a.mu.Lock()
	defer a.mu.Unlock()
	u := a.accounts.Usage()
	u.Keys = int64(len(a.values))
	return u
}

// Status implements [l2.Adapter].
func (a *Adapter) Status() map[string]any {
	a.mu.Lock()
	defer a.mu.Unlock()
	return map[string]any{
		"is_healthy":          !a.tasks.Closed(),
		"type":                typeName,
		"name":                a.name,
		"shared":              a.shared,
		"stored_object_count": len(a.values),
		"locked_key_count":    len(a.pins),
		"current_size_bytes":  a.used,
		"max_capacity_bytes":  a.opts.MaxSizeBytes,
		"bandwidth_bytes_s":   a.opts.BandwidthBytesPerSecond,
		"in_flight":           a.tasks.Running(),
		"listener_panics":     a.accounts.ListenerPanics(),
	}
}
