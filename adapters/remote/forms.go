package remote

import (
	"context"
	"fmt"
	"math"

	"go.uber.org/zap"

	"github.com/sixcall/sixcall/bridge/engine"
	"github.com/sixcall/sixcall/bridge/kv"
)

// base is what the connectors over libraries share.
type base struct {
	store
	cpu    Allocator
	layout engine.Layout // of a whole chunk
	log    *zap.Logger
	quiet  *engine.Throttle
	name   string
}

func newBase(c *ConnectorContext, s store, name string) base {
	return base{store: s, cpu: c.LocalCPU, layout: c.layout(), log: c.Logger, quiet: &engine.Throttle{}, name: name}
}

// Close implements [Connector].
func (b *base) Close(context.Context) error { return b.b.Close() }

// Ping implements [Pinger]: the bridge knows how its connector fares.
func (b *base) Ping(ctx context.Context) (int, error) {
	_, err := b.sizes(ctx, "sixcall-ping")
	if err != nil {
		return 1, err
	}
	return 0, nil
}

// unusable says that what is stored is nothing that can be read.
func (b *base) unusable(key string, err error) {
	if ok, more := b.quiet.Pass("unusable"); ok {
		b.log.Warn("a stored value cannot be used; it counts as absent",
			zap.String("connector", b.name), zap.String("key", key), zap.Error(err), zap.Int("not_shown", more))
	}
}

func (b *base) groups() int { return len(b.layout.Shapes) }

func texts(keys []engine.Key) []string {
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.String()
	}
	return names
}

// releaseAll lets go of what was read for nothing.
func releaseAll(objs []*engine.Object) {
	for _, o := range objs {
		o.Release()
	}
}

// raw keeps one value per key, which is exactly a whole chunk: LMCache's resp:// and
// s3://. A value of another size is a miss.
type raw struct {
	base
	// partial allows chunks of fewer tokens: LMCache's fs:// without headers.
	partial bool
}

func (r *raw) Exists(ctx context.Context, key engine.Key) (bool, error) {
	n, err := r.BatchedContains(ctx, []engine.Key{key})
	return n == 1, err
}

func (r *raw) ExistsSync(key engine.Key) (bool, error) { return r.Exists(context.Background(), key) }

func (r *raw) BatchedContains(ctx context.Context, keys []engine.Key) (int, error) {
	sizes, err := r.sizes(ctx, texts(keys)...)
	if err != nil {
		return 0, err
	}
	for i, n := range sizes {
		if n == -1 || n == 0 {
			return i, nil
		}
	}
	return len(keys), nil
}

func (r *raw) Get(ctx context.Context, key engine.Key) (*engine.Object, error) {
	objs, err := r.BatchedGet(ctx, []engine.Key{key})
	if err != nil {
		return nil, err
	}
	return objs[0], nil
}

func (r *raw) BatchedGet(ctx context.Context, keys []engine.Key) ([]*engine.Object, error) {
	objs := make([]*engine.Object, len(keys))
	bufs := make([]kv.Buffer, len(keys))
	for i := range keys {
		o, err := r.cpu.Allocate(ctx, r.layout, true)
		if err != nil {
			releaseAll(objs)
			return nil, err
		}
		objs[i], bufs[i] = o, o.Bytes()
	}
	bits, err := r.get(ctx, texts(keys), bufs)
	if err != nil {
		releaseAll(objs)
		return nil, err
	}
	for i, o := range objs {
		if bits.Test(i) {
			continue
		}
		objs[i] = nil
		if r.partial && r.shorter(ctx, r.store, keys[i], o) {
			objs[i] = o
			continue
		}
		o.Release()
	}
	return objs, nil
}

// shorter reads a value that is a whole number of tokens, but not of a whole chunk.
func (r *raw) shorter(ctx context.Context, s store, key engine.Key, o *engine.Object) bool {
	sizes, err := s.sizes(ctx, key.String())
	if err != nil || sizes[0] <= 0 || sizes[0] >= int64(o.Len()) || o.Truncate(int(sizes[0])) != nil {
		return false
	}
	bits, err := s.get(ctx, []string{key.String()}, []kv.Buffer{o.Bytes()})
	return err == nil && bits.Test(0)
}

func (r *raw) Put(ctx context.Context, key engine.Key, obj *engine.Object) error {
	return one(r.BatchedPut(ctx, []engine.Key{key}, []*engine.Object{obj}))
}

func (r *raw) BatchedPut(ctx context.Context, keys []engine.Key, objs []*engine.Object) error {
	values := make([]kv.Buffer, len(objs))
	for i, o := range objs {
		if o.Len() != r.layout.Bytes() && !r.partial {
			return fmt.Errorf("%s keeps whole chunks of %d bytes, this one has %d", r.name, r.layout.Bytes(), o.Len())
		}
		values[i] = o.Bytes()
	}
	bits, err := r.set(ctx, texts(keys), values)
	return putErrors(keys, &bits, err)
}

func (r *raw) List(ctx context.Context) ([]string, error) { return r.list(ctx) }

func (r *raw) RemoveSync(key engine.Key) (bool, error) {
	n, err := r.remove(context.Background(), key.String())
	return n > 0, err
}

// headed keeps one value per key: a header, then the payload. LMCache's fs:// and
// mooncakestore://, and with padding its infinistore://.
type headed struct {
	base
	// pad rounds the payload up to this many bytes, 0 = no padding.
	pad int
	// most is the largest value in bytes, 0 = no bound.
	most int
}

func (h *headed) Exists(ctx context.Context, key engine.Key) (bool, error) {
	sizes, err := h.store.sizes(ctx, key.String())
	return err == nil && sizes[0] != -1, err
}

func (h *headed) ExistsSync(key engine.Key) (bool, error) {
	return h.Exists(context.Background(), key)
}

func (h *headed) Get(ctx context.Context, key engine.Key) (*engine.Object, error) {
	name := key.String()
	head := int64(engine.HeaderSize(h.groups()))
	full := head + int64(h.padded(h.layout.Bytes()))
	o, stored, err := h.read(ctx, name, full)
	if err != nil || o != nil || stored == full {
		return o, err
	}
	// Not there, or not of the usual size: most connectors have said which.
	if stored <= 0 {
		sizes, err := h.store.sizes(ctx, name)
		if err != nil {
			return nil, err
		}
		stored = sizes[0]
	}
	if stored < head || stored == full || stored > math.MaxInt32 {
		return nil, nil
	}
	o, _, err = h.read(ctx, name, stored)
	return o, err
}

// read reads a value of size bytes. stored is the size of the value that is there, 0 if
// there is none or the connector does not say.
func (h *headed) read(ctx context.Context, name string, size int64) (o *engine.Object, stored int64, err error) {
	n := int(size)
	buf, release, err := h.scratch(n)
	if err != nil {
		return nil, 0, err
	}
	defer release()
	filled, stored, err := h.getOne(ctx, name, buf)
	if err != nil || !filled {
		return nil, stored, err
	}
	head, err := engine.ParseHeader(buf, h.groups())
	if err == nil && (head.Length > n-engine.HeaderSize(h.groups()) || h.pad == 0 && head.Length != n-engine.HeaderSize(h.groups())) {
		err = fmt.Errorf("%w: it says %d bytes, the value has %d", engine.ErrHeader, head.Length, n-engine.HeaderSize(h.groups()))
	}
	var layout engine.Layout
	if err == nil {
		layout, err = adopt(head)
	}
	if err != nil {
		h.unusable(name, err)
		return nil, size, nil
	}
	if o, err = h.cpu.Allocate(ctx, layout, true); err != nil {
		return nil, size, err
	}
	if head.Length != o.Len() {
		if err := o.Truncate(head.Length); err != nil {
			o.Release()
			h.unusable(name, err)
			return nil, size, nil
		}
	}
	copy(o.Bytes(), buf[engine.HeaderSize(h.groups()):])
	return o, size, nil
}

func (h *headed) padded(n int) int {
	if h.pad == 0 {
		return n
	}
	return (n + h.pad - 1) / h.pad * h.pad
}

func (h *headed) Put(ctx context.Context, key engine.Key, obj *engine.Object) error {
	head, err := obj.Header().Append(nil)
	if err != nil {
		return err
	}
	payload := obj.Bytes()
	n := len(head) + h.padded(len(payload))
	if h.most > 0 && n > h.most {
		return fmt.Errorf("%s takes values of at most %d bytes, this one has %d", h.name, h.most, n)
	}
	s := h.store
	buf, release, err := s.scratch(n)
	if err != nil {
		return err
	}
	defer release()
	rest := buf[copy(buf, head):]
	clear(rest[copy(rest, payload):])
	bits, err := s.set(ctx, []string{key.String()}, []kv.Buffer{buf})
	return one(putErrors([]engine.Key{key}, &bits, err))
}

func (h *headed) List(ctx context.Context) ([]string, error) { return h.list(ctx) }

func (h *headed) RemoveSync(key engine.Key) (bool, error) {
	n, err := h.store.remove(context.Background(), key.String())
	return n > 0, err
}

// paired keeps two values per key: the payload under <key>kv_bytes, the header under
// <key>metadata, which is written last and read first. LMCache's redis://.
type paired struct{ base }

const (
	suffixBytes = "kv_bytes"
	suffixMeta  = "metadata"
)

func suffixed(keys []engine.Key, suffix string) []string {
	names := texts(keys)
	for i := range names {
		names[i] += suffix
	}
	return names
}

func (p *paired) Exists(ctx context.Context, key engine.Key) (bool, error) {
	n, err := p.BatchedContains(ctx, []engine.Key{key})
	return n == 1, err
}

func (p *paired) ExistsSync(key engine.Key) (bool, error) {
	return p.Exists(context.Background(), key)
}

func (p *paired) BatchedContains(ctx context.Context, keys []engine.Key) (int, error) {
	sizes, err := p.sizes(ctx, suffixed(keys, suffixMeta)...)
	if err != nil {
		return 0, err
	}
	for i, n := range sizes {
		if n == -1 {
			return i, nil
		}
	}
	return len(keys), nil
}

func (p *paired) Get(ctx context.Context, key engine.Key) (*engine.Object, error) {
	objs, err := p.BatchedGet(ctx, []engine.Key{key})
	if err != nil {
		return nil, err
	}
	return objs[0], nil
}

func (p *paired) BatchedGet(ctx context.Context, keys []engine.Key) ([]*engine.Object, error) {
	size := engine.HeaderSize(p.groups())
	memory, release, err := p.scratch(size * len(keys))
	if err != nil {
		return nil, err
	}
	defer release()
	heads := make([]kv.Buffer, len(keys))
	for i := range heads {
		heads[i] = memory[i*size : (i+1)*size : (i+1)*size]
	}
	found, err := p.get(ctx, suffixed(keys, suffixMeta), heads)
	if err != nil {
		return nil, err
	}
	objs := make([]*engine.Object, len(keys))
	var wanted []engine.Key
	var bufs []kv.Buffer
	var places []int
	for i, k := range keys {
		if !found.Test(i) {
			continue
		}
		head, err := engine.ParseHeader(heads[i], p.groups())
		var layout engine.Layout
		if err == nil {
			layout, err = adopt(head)
		}
		if err == nil && head.Length != layout.Bytes() {
			err = fmt.Errorf("%w: %d bytes, shapes %v have %d", engine.ErrHeader, head.Length, head.Shapes, layout.Bytes())
		}
		if err != nil {
			p.unusable(k.String(), err)
			continue
		}
		o, err := p.cpu.Allocate(ctx, layout, true)
		if err != nil {
			releaseAll(objs)
			return nil, err
		}
		objs[i] = o
		wanted, bufs, places = append(wanted, k), append(bufs, o.Bytes()), append(places, i)
	}
	if len(wanted) == 0 {
		return objs, nil
	}
	filled, err := p.get(ctx, suffixed(wanted, suffixBytes), bufs)
	if err != nil {
		releaseAll(objs)
		return nil, err
	}
	var orphans []string
	for n, i := range places {
		if filled.Test(n) {
			continue
		}
		objs[i].Release()
		objs[i] = nil
		orphans = append(orphans, keys[i].String())
	}
	p.dropOrphans(ctx, orphans)
	return objs, nil
}

// dropOrphans removes the headers whose payload is gone: the store has evicted it.
func (p *paired) dropOrphans(ctx context.Context, names []string) {
	var bytes, gone []string
	for _, n := range names {
		bytes = append(bytes, n+suffixBytes)
	}
	if len(bytes) == 0 {
		return
	}
	sizes, err := p.sizes(ctx, bytes...)
	if err != nil {
		return
	}
	for i, n := range names {
		if sizes[i] == -1 {
			gone = append(gone, n+suffixMeta)
		}
	}
	if len(gone) > 0 {
		_, _ = p.remove(ctx, gone...)
	}
}

func (p *paired) Put(ctx context.Context, key engine.Key, obj *engine.Object) error {
	return one(p.BatchedPut(ctx, []engine.Key{key}, []*engine.Object{obj}))
}

func (p *paired) BatchedPut(ctx context.Context, keys []engine.Key, objs []*engine.Object) error {
	failed := KeyErrors{}
	var okKeys []engine.Key
	var values, heads []kv.Buffer
	for i, o := range objs {
		head, err := o.Header().Append(nil)
		if err != nil {
			failed[keys[i]] = err
			continue
		}
		okKeys, values, heads = append(okKeys, keys[i]), append(values, o.Bytes()), append(heads, head)
	}
	for _, step := range []struct {
		suffix string
		values *[]kv.Buffer
	}{{suffixBytes, &values}, {suffixMeta, &heads}} {
		if len(okKeys) == 0 {
			break
		}
		bits, err := p.set(ctx, suffixed(okKeys, step.suffix), *step.values)
		var lost KeyErrors
		if lost, _ = putErrors(okKeys, &bits, err).(KeyErrors); len(lost) == 0 {
			continue
		}
		// The second step goes on with what the first has stored.
		var nextKeys []engine.Key
		var nextHeads []kv.Buffer
		for i, k := range okKeys {
			if err := lost[k]; err != nil {
				failed[k] = err
				continue
			}
			nextKeys, nextHeads = append(nextKeys, k), append(nextHeads, heads[i])
		}
		okKeys, heads = nextKeys, nextHeads
	}
	if len(failed) > 0 {
		return failed
	}
	return nil
}

func (p *paired) List(ctx context.Context) ([]string, error) {
	names, err := p.list(ctx)
	var keys []string
	for _, n := range names {
		if len(n) > len(suffixMeta) && n[len(n)-len(suffixMeta):] == suffixMeta {
			keys = append(keys, n[:len(n)-len(suffixMeta)])
		}
	}
	return keys, err
}

func (p *paired) RemoveSync(key engine.Key) (bool, error) {
	name := key.String()
	n, err := p.remove(context.Background(), name+suffixMeta, name+suffixBytes)
	return n > 0, err
}
