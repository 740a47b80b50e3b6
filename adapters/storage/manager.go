package storage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/sixcall/sixcall/bridge/engine"
)

// Options configures a [Manager]. Metadata is required.
type Options struct {
	Metadata *engine.Metadata
	// CPU is the memory for objects. Nil on a scheduler, which only looks up.
	CPU *CPU
	// WriteBack copies what other backends have into the CPU cache when it is read,
	// if that cache is on.
	WriteBack bool
	// RetrieveLocations restricts lookups and reads that name no backend to these;
	// none means all. StoreLocation does so with stores.
	RetrieveLocations []string
	StoreLocation     string
	// Timeout bounds each read and each wait for memory. Default 10s.
	Timeout time.Duration
	Logger  *zap.Logger // default: discard
}

// Manager asks backends in the order in which they were added. Safe for concurrent
// use.
type Manager struct {
	opts  Options
	quiet engine.Throttle

	mu      sync.RWMutex // guards what follows
	entries []*entry
	frozen  bool
	closed  bool
}

type entry struct {
	name   string
	make   func() (Backend, error)
	b      Backend // nil after CloseBackend
	bypass bool
}

// ErrScheduler is returned for stores on a scheduler.
var ErrScheduler = errors.New("a scheduler does not store")

// NewManager returns a manager. The CPU backend, if there is one, comes first.
func NewManager(o Options) (*Manager, error) {
	if o.Metadata == nil {
		return nil, errors.New("option Metadata is nil")
	}
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	m := &Manager{opts: o}
	if o.CPU != nil {
		m.entries = append(m.entries, &entry{name: NameLocalCPU, b: o.CPU})
	}
	return m, nil
}

// Add makes a backend and puts it behind all others. A name that is there already
// stays with the backend that has it, and make is not called.
func (m *Manager) Add(name string, make func() (Backend, error)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return errors.New("the storage manager is closed")
	}
	if m.find(name) != nil {
		return nil
	}
	b, err := make()
	if err != nil {
		return fmt.Errorf("storage backend %q: %w", name, err)
	}
	m.entries = append(m.entries, &entry{name: name, make: make, b: b})
	return nil
}

func (m *Manager) find(name string) *entry {
	for _, e := range m.entries {
		if e.name == name {
			return e
		}
	}
	return nil
}

// Names returns the backends, in order of lookup.
func (m *Manager) Names() (names []string) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, e := range m.entries {
		if e.b != nil {
			names = append(names, e.name)
		}
	}
	return names
}

// Backend returns the backend of that name, or nil.
func (m *Manager) Backend(name string) Backend {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if e := m.find(name); e != nil {
		return e.b
	}
	return nil
}

// CPU returns the CPU backend, or nil.
func (m *Manager) CPU() *CPU { return m.opts.CPU }

// named is a backend in use.
type named struct {
	name string
	b    Backend
}

// active returns the backends that are asked. locations restricts them; none means
// all.
func (m *Manager) active(locations []string) (out []named) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, e := range m.entries {
		switch {
		case e.b == nil, e.bypass, m.frozen && e.name != NameLocalCPU:
		case len(locations) > 0 && !slices.Contains(locations, e.name):
		default:
			out = append(out, named{e.name, e.b})
		}
	}
	return out
}

// readers returns the backends that a read asks.
func (m *Manager) readers(locations []string) []named {
	if len(locations) == 0 {
		locations = m.opts.RetrieveLocations
	}
	return m.active(locations)
}

func (m *Manager) complain(op string, n named, err error) {
	if ok, more := m.quiet.Pass(n.name + " " + op); ok {
		m.opts.Logger.Warn("storage backend failed", zap.String("backend", n.name), zap.String("operation", op), zap.Error(err), zap.Int("not_shown", more))
	}
}

// only is a list of one location, or of none.
func only(location string) []string {
	if location == "" {
		return nil
	}
	return []string{location}
}

// Contains returns the name of the first backend that has key, "" if none has.
func (m *Manager) Contains(ctx context.Context, key engine.Key, searchRange []string, pin bool) string {
	for _, n := range m.readers(searchRange) {
		ok, err := n.b.Contains(ctx, key, pin)
		if err != nil {
			m.complain("contains", n, err)
		}
		if ok {
			return n.name
		}
	}
	return ""
}

// Bucket is the part of a prefix that one backend has.
type Bucket struct {
	Backend string
	Keys    []engine.Key
}

// BatchedContains returns how many of the leading keys are there, and where.
func (m *Manager) BatchedContains(ctx context.Context, keys []engine.Key, searchRange []string, pin bool) (total int, buckets []Bucket) {
	for _, n := range m.readers(searchRange) {
		if total == len(keys) {
			break
		}
		hits, err := leading(ctx, n.b, keys[total:], pin)
		if err != nil {
			m.complain("contains", n, err)
		}
		if hits > 0 {
			buckets = append(buckets, Bucket{n.name, keys[total : total+hits]})
			total += hits
		}
	}
	return total, buckets
}

// BatchedPut stores objs[i] under keys[i] in every backend, or in the one that
// location names, and releases the caller's reference to each object. A backend
// that fails does not keep the others from storing; the error joins what went
// wrong when a put was handed over.
func (m *Manager) BatchedPut(ctx context.Context, keys []engine.Key, objs []*engine.Object, location string) error {
	defer func() {
		for _, o := range objs {
			o.Release()
		}
	}()
	if m.opts.Metadata.Scheduler() {
		return ErrScheduler
	}
	if len(keys) != len(objs) {
		return fmt.Errorf("%d keys and %d objects, want as many of one as of the other", len(keys), len(objs))
	}
	if location == "" {
		location = m.opts.StoreLocation
	}
	var errs []error
	for _, n := range m.active(only(location)) {
		if err := m.putIn(ctx, n, keys, objs); err != nil {
			m.complain("put", n, err)
			errs = append(errs, fmt.Errorf("%s: %w", n.name, err))
		}
	}
	return errors.Join(errs...)
}

// putIn stores in one backend. One with memory of its own gets copies there, of
// what it lacks and as far as that memory goes.
func (m *Manager) putIn(ctx context.Context, n named, keys []engine.Key, objs []*engine.Object) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the backend panicked: %v", p)
		}
	}()
	provider, ok := n.b.(AllocatorProvider)
	if !ok || provider.Allocator() == nil || m.opts.CPU != nil && provider.Allocator().Pool() == m.opts.CPU.Pool() {
		return n.b.SubmitPut(ctx, keys, objs, nil)
	}
	var copies []*engine.Object
	var lacking []engine.Key
	defer func() {
		for _, o := range copies {
			o.Release()
		}
	}()
	for i, k := range keys {
		if there, err := n.b.Contains(ctx, k, false); err == nil && there {
			continue
		}
		o, err := provider.Allocator().Allocate(ctx, objs[i].Layout(), false)
		if err != nil {
			break
		}
		copy(o.Bytes(), objs[i].Bytes())
		copies, lacking = append(copies, o), append(lacking, k)
	}
	if len(lacking) == 0 {
		return nil
	}
	return n.b.SubmitPut(ctx, lacking, copies, nil)
}

// Get returns the object of key from the first backend that has it, with one
// reference that is the caller's, and the name of that backend; nil if none has.
func (m *Manager) Get(ctx context.Context, key engine.Key, location string) (*engine.Object, string) {
	objs, where := m.get(ctx, []engine.Key{key}, location)
	return objs[0], where[0]
}

// BatchedGet returns one object per key, nil for a miss. What one backend lacks is
// asked from the next.
func (m *Manager) BatchedGet(ctx context.Context, keys []engine.Key, location string) []*engine.Object {
	objs, _ := m.get(ctx, keys, location)
	return objs
}

func (m *Manager) get(ctx context.Context, keys []engine.Key, location string) (objs []*engine.Object, where []string) {
	objs, where = make([]*engine.Object, len(keys)), make([]string, len(keys))
	left := make([]int, len(keys))
	for i := range left {
		left[i] = i
	}
	for _, n := range m.readers(only(location)) {
		if len(left) == 0 {
			break
		}
		wanted := make([]engine.Key, len(left))
		for i, at := range left {
			wanted[i] = keys[at]
		}
		found := m.getFrom(ctx, n, wanted)
		var still []int
		for i, at := range left {
			if found[i] == nil {
				still = append(still, at)
				continue
			}
			objs[at], where[at] = found[i], n.name
		}
		left = still
	}
	return objs, where
}

// getFrom reads from one backend, and writes hits back.
func (m *Manager) getFrom(ctx context.Context, n named, keys []engine.Key) (objs []*engine.Object) {
	ctx, cancel := context.WithTimeout(ctx, m.opts.Timeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			m.complain("get", n, fmt.Errorf("the backend panicked: %v", p))
			objs = make([]*engine.Object, len(keys))
		}
	}()
	objs, err := getAll(ctx, n.b, keys)
	if err != nil {
		m.complain("get", n, err)
	}
	if cpu := m.opts.CPU; cpu != nil && m.opts.WriteBack && n.name != NameLocalCPU {
		for i, o := range objs {
			if o != nil && o.Pool() == cpu.Pool() {
				_ = cpu.SubmitPut(ctx, keys[i:i+1], objs[i:i+1], nil)
			}
		}
	}
	return objs
}

// ErrKeysPerChunk is returned by [Manager.Prefetch].
var ErrKeysPerChunk = errors.New("bad number of keys per chunk")

// Prefetch reads the longest run of leading keys that is there, in whole chunks of
// keysPerChunk keys, whichever backends have its parts. Each object has one
// reference, the caller's. A chunk that was looked up and could not be read ends
// the run; what follows it is released.
func (m *Manager) Prefetch(ctx context.Context, keys []engine.Key, keysPerChunk int) ([]*engine.Object, error) {
	if keysPerChunk < 1 || len(keys)%keysPerChunk != 0 {
		return nil, fmt.Errorf("%w: %d keys in chunks of %d", ErrKeysPerChunk, len(keys), keysPerChunk)
	}
	total, buckets := m.BatchedContains(ctx, keys, nil, true)
	defer m.unpinBuckets(buckets)
	usable := total / keysPerChunk * keysPerChunk
	var out []*engine.Object
	for _, bucket := range buckets {
		want := bucket.Keys[:min(len(bucket.Keys), usable-len(out))]
		if len(want) == 0 {
			break
		}
		found := m.getFrom(ctx, named{bucket.Backend, m.Backend(bucket.Backend)}, want)
		run := 0
		for run < len(found) && found[run] != nil {
			run++
		}
		out = append(out, found[:run]...)
		if run < len(found) {
			releaseAll(found[run:])
			break
		}
	}
	whole := len(out) / keysPerChunk * keysPerChunk
	releaseAll(out[whole:])
	return out[:whole], nil
}

func releaseAll(objs []*engine.Object) {
	for _, o := range objs {
		o.Release()
	}
}

func (m *Manager) unpinBuckets(buckets []Bucket) {
	for _, bucket := range buckets {
		if b := m.Backend(bucket.Backend); b != nil {
			for _, k := range bucket.Keys {
				b.Unpin(k)
			}
		}
	}
}

// Remove removes keys from the named backends, or from all, and returns how many
// copies that were.
func (m *Manager) Remove(ctx context.Context, keys []engine.Key, locations ...string) (n int) {
	for _, a := range m.active(locations) {
		for _, k := range keys {
			ok, err := a.b.Remove(ctx, k, true)
			if err != nil {
				m.complain("remove", a, err)
			}
			if ok {
				n++
			}
		}
	}
	return n
}

// Unpin takes one pin of each key in the named backends, or in all.
func (m *Manager) Unpin(keys []engine.Key, locations ...string) {
	for _, a := range m.active(locations) {
		for _, k := range keys {
			a.b.Unpin(k)
		}
	}
}

// Clear empties the named backends, or all that can be, and returns how many tokens
// they held.
func (m *Manager) Clear(ctx context.Context, locations ...string) (tokens int) {
	for _, a := range m.active(locations) {
		c, ok := a.b.(Clearer)
		if !ok {
			m.opts.Logger.Warn("storage backend cannot be emptied", zap.String("backend", a.name))
			continue
		}
		n, err := c.Clear(ctx)
		if err != nil {
			m.complain("clear", a, err)
		}
		tokens += n
	}
	return tokens
}

// Touch tells the backends that a request is over: what it pinned was used.
func (m *Manager) Touch() {
	for _, a := range m.active(nil) {
		if t, ok := a.b.(Toucher); ok {
			t.Touch()
		}
	}
}

// Freeze restricts everything to the CPU backend; unfreezing undoes it.
func (m *Manager) Freeze(frozen bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.frozen = frozen
}

// Bypass leaves a backend out, or takes it in again; false if there is none.
func (m *Manager) Bypass(name string, bypass bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.find(name)
	if e != nil {
		e.bypass = bypass
	}
	return e != nil
}

// ErrNoBackend is returned when a name belongs to no backend.
var ErrNoBackend = errors.New("no such storage backend")

// CloseBackend closes one backend, whose place is kept; false if there is none.
func (m *Manager) CloseBackend(name string) bool {
	m.mu.Lock()
	e := m.find(name)
	if e == nil || e.b == nil || e.make == nil {
		m.mu.Unlock()
		return false
	}
	b := e.b
	e.b = nil
	m.mu.Unlock()
	if err := b.Close(); err != nil {
		m.complain("close", named{name, b}, err)
	}
	return true
}

// RecreateBackend closes a backend and makes it anew, at the same place.
func (m *Manager) RecreateBackend(name string) error {
	m.CloseBackend(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.find(name)
	if e == nil || e.make == nil || m.closed {
		return fmt.Errorf("%w that can be made again: %q", ErrNoBackend, name)
	}
	b, err := e.make()
	if err != nil {
		return fmt.Errorf("storage backend %q: %w", name, err)
	}
	e.b = b
	return nil
}

// Close closes all backends, the CPU backend last.
func (m *Manager) Close() error {
	m.mu.Lock()
	entries := m.entries
	m.entries, m.closed = nil, true
	m.mu.Unlock()
	var errs []error
	for _, e := range slices.Backward(entries) {
		if e.b == nil {
			continue
		}
		if err := e.b.Close(); err != nil {
			errs = append(errs, fmt.Errorf("close %s: %w", e.name, err))
		}
	}
	return errors.Join(errs...)
}
