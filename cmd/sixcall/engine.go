package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/sixcall/sixcall/adapters/config/host"
	"github.com/sixcall/sixcall/adapters/config/lmcache"
	"github.com/sixcall/sixcall/adapters/storage"
	"github.com/sixcall/sixcall/bridge/engine"
	"github.com/sixcall/sixcall/bridge/kv"
	logbackend "github.com/sixcall/sixcall/examples/log-backend"
)

// loadConfig reads LMCache's configuration and shows what was not taken as it stands.
func loadConfig(a *app, file string) (*lmcache.Config, error) {
	c, err := lmcache.Load(lmcache.Options{File: file})
	if err != nil {
		return nil, failed(err)
	}
	for _, w := range c.Warnings {
		fmt.Fprintf(a.stderr, "sixcall: warning: %s\n", w)
	}
	return c, nil
}

// openHost builds the storage of an engine. The classes that its configuration can
// name are those of this program: the example log backend, and connector libraries.
func openHost(ctx context.Context, a *app, c *lmcache.Config, meta *engine.Metadata) (*host.Host, error) {
	opts, err := hostOptions(a, c)
	if err != nil {
		return nil, err
	}
	opts.Metadata = meta
	h, err := host.Build(ctx, opts)
	if err != nil {
		return nil, failed(err)
	}
	for _, problem := range h.Problems {
		a.complain(problem.Error())
	}
	return h, nil
}

// hostOptions are what the engine of a configuration is made with.
func hostOptions(a *app, c *lmcache.Config) (host.Options, error) {
	plugins := storage.NewRegistry()
	err := logbackend.Register(plugins)
	return host.Options{Config: c, Plugins: plugins, Logger: a.logger()}, err
}

// metadataOf describes an engine whose chunks have that many bytes.
func metadataOf(c *lmcache.Config, blockBytes int) *engine.Metadata {
	m := &engine.Metadata{Model: "sixcall-replay", WorldSize: 1, LocalWorldSize: 1, KVDType: engine.Uint8, ChunkSize: 1, Role: "worker"}
	if blockBytes%c.ChunkSize == 0 {
		m.ChunkSize = c.ChunkSize
	}
	m.KVShape = [5]int{1, 1, m.ChunkSize, 1, blockBytes / m.ChunkSize}
	return m
}

// engineClient replays over a storage manager. The manager answers for the leading
// blocks of a request, as an engine asks for them.
type engineClient struct {
	m    *storage.Manager
	meta *engine.Metadata

	mu   sync.Mutex              // guards pins
	pins map[engine.Key][]string // the backends in which a key is pinned
}

func (e *engineClient) keys(keys []kv.Key) ([]engine.Key, error) {
	out := make([]engine.Key, len(keys))
	for i, k := range keys {
		key := engine.Key{Model: k.Model, WorldSize: 1, Hash: engine.HashBytes([]byte(k.ChunkHash)), DType: e.meta.KVDType}
		if k.Salt != "" {
			var err error
			if key, err = key.WithTags([]engine.Tag{{Name: "salt", Value: k.Salt}}); err != nil {
				return nil, err
			}
		}
		out[i] = key
	}
	return out, nil
}

func (e *engineClient) Lookup(ctx context.Context, keys []kv.Key) (kv.Bitmap, error) {
	bits := kv.NewBitmap(len(keys))
	names, err := e.keys(keys)
	if err != nil {
		return bits, err
	}
	n, buckets := e.m.BatchedContains(ctx, names, nil, true)
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, b := range buckets {
		for _, k := range b.Keys {
			e.pins[k] = append(e.pins[k], b.Backend)
		}
	}
	for i := range n {
		bits.Set(i)
	}
	return bits, ctx.Err()
}

func (e *engineClient) Unlock(keys []kv.Key) {
	if names, err := e.keys(keys); err == nil {
		e.mu.Lock()
		defer e.mu.Unlock()
		for _, k := range names {
			if where := e.pins[k]; len(where) > 0 {
				e.m.Unpin([]engine.Key{k}, where[0])
				if e.pins[k] = where[1:]; len(where) == 1 {
					delete(e.pins, k)
				}
			}
		}
		e.m.Touch()
	}
}

func (e *engineClient) Load(ctx context.Context, keys []kv.Key, bufs []kv.Buffer) (kv.Bitmap, error) {
	bits := kv.NewBitmap(len(keys))
	names, err := e.keys(keys)
	if err != nil {
		return bits, err
	}
	for i, o := range e.m.BatchedGet(ctx, names, "") {
		if o != nil && o.Len() == len(bufs[i]) {
			copy(bufs[i], o.Bytes())
			bits.Set(i)
		}
		o.Release()
	}
	return bits, ctx.Err()
}

// Store hands the blocks over: those that write in the background do so after it.
func (e *engineClient) Store(ctx context.Context, keys []kv.Key, values []kv.Buffer) (kv.StoreResult, error) {
	names, err := e.keys(keys)
	if err != nil {
		return kv.StoreResult{}, err
	}
	for i, v := range values {
		o, err := e.m.CPU().Allocate(ctx, e.meta.Layout(), true)
		if err != nil {
			return kv.StoreResult{}, err
		}
		copy(o.Bytes(), v)
		if err := e.m.BatchedPut(ctx, names[i:i+1], []*engine.Object{o}, ""); err != nil {
			return kv.StoreResult{}, err
		}
	}
	return kv.StoreResult{OK: true}, nil
}

func (e *engineClient) Delete(ctx context.Context, keys []kv.Key) (kv.DeleteResult, error) {
	names, err := e.keys(keys)
	if err != nil {
		return kv.DeleteResult{}, err
	}
	return kv.DeleteResult{Deleted: e.m.Remove(ctx, names)}, nil
}

var errNoMemory = errors.New("max_local_cpu_size is 0: there is no memory to replay from")
