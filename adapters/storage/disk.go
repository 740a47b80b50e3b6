package storage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"go.uber.org/zap"

	"github.com/sixcall/sixcall/bridge/engine"
)

// DiskOptions configures [OpenDisk]. Dir, Capacity and Allocator are required.
type DiskOptions struct {
	Dir      string
	Capacity int64 // bytes of files
	// Allocator makes the objects that are read.
	Allocator Allocator
	Policy    string // default LRU
	Threads   int    // that write. Default 4
	// WorkerID keeps workers with a common folder apart: the files of others are
	// left alone.
	WorkerID int
	Logger   *zap.Logger // default: discard
}

// Disk keeps chunks as files. What an earlier process stored is found again. Safe
// for concurrent use.
type Disk struct {
	opts  DiskOptions
	quiet engine.Throttle
	queue chan diskPut
	done  sync.WaitGroup

	// sending is held for reading while something is put into queue.
	sending sync.RWMutex
	closed  bool // guarded by sending

	mu       sync.Mutex // guards what follows
	files    map[engine.Key]*diskEntry
	policy   policy
	used     int64               // bytes of files and of room for those in flight
	inFlight map[engine.Key]bool // true = removed while it was written
	touched  []engine.Key
}

type diskPut struct {
	key  engine.Key
	obj  *engine.Object
	room int64
	done func(engine.Key, error)
}

var _ Backend = (*Disk)(nil)

// OpenDisk opens the folder, makes it if need be, and lists what it holds.
func OpenDisk(o DiskOptions) (*Disk, error) {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Policy == "" {
		o.Policy = "LRU"
	}
	if o.Threads <= 0 {
		o.Threads = 4
	}
	if o.Capacity <= 0 || o.Dir == "" {
		return nil, fmt.Errorf("local_disk is %q with %d bytes, want a folder and more than 0", o.Dir, o.Capacity)
	}
	p, err := newPolicy(o.Policy)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, err
	}
	d := &Disk{opts: o, queue: make(chan diskPut, 64), files: map[engine.Key]*diskEntry{}, policy: p, inFlight: map[engine.Key]bool{}}
	if err := d.scan(); err != nil {
		return nil, err
	}
	for range o.Threads {
		d.done.Go(d.write)
	}
	return d, nil
}

// scan fills the index, oldest file first.
func (d *Disk) scan() error {
	entries, err := os.ReadDir(d.opts.Dir)
	if err != nil {
		return err
	}
	type found struct {
		key   engine.Key
		entry diskEntry
		at    int64
	}
	var list []found
	for _, e := range entries {
		path := filepath.Join(d.opts.Dir, e.Name())
		if rest, ok := strings.CutPrefix(e.Name(), diskTemp); ok {
			pid, _, _ := strings.Cut(rest, "-")
			if n, err := strconv.Atoi(pid); err == nil && n > 0 && (n == os.Getpid() || errors.Is(syscall.Kill(n, 0), syscall.ESRCH)) {
				_ = os.Remove(path) // its writer is dead
			}
			continue
		}
		if !strings.HasSuffix(e.Name(), diskExt) || !e.Type().IsRegular() {
			continue
		}
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		key, entry, _, err := readTrailer(f)
		info, statErr := f.Stat()
		f.Close()
		switch {
		case err != nil || statErr != nil || diskName(key) != e.Name():
			d.opts.Logger.Warn("a file in the cache folder is not one of ours, or damaged; it is left alone", zap.String("file", path))
		case key.WorkerID == d.opts.WorkerID:
			list = append(list, found{key, entry, info.ModTime().UnixNano()})
		}
	}
	slices.SortStableFunc(list, func(a, b found) int { return int(min(max(a.at-b.at, -1), 1)) })
	for _, f := range list {
		d.files[f.key] = &f.entry
		d.policy.added(f.key)
		d.used += f.entry.size
	}
	d.makeRoom(0)
	return nil
}

// makeRoom evicts until n bytes more fit; false if they do not.
func (d *Disk) makeRoom(n int64) bool {
	for d.used+n > d.opts.Capacity {
		key, ok := d.policy.victim(func(k engine.Key) bool { return d.files[k].pins == 0 })
		if !ok {
			return false
		}
		d.forget(key, true)
	}
	return true
}

// forget takes a key out of the index, and its bytes out of the budget. mu is held.
func (d *Disk) forget(key engine.Key, unlink bool) {
	d.used -= d.files[key].size
	delete(d.files, key)
	d.policy.removed(key)
	if unlink {
		_ = os.Remove(filepath.Join(d.opts.Dir, diskName(key)))
	}
}

// Used returns the bytes of all files, and of those being written.
func (d *Disk) Used() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.used
}

// Contains implements [Backend].
func (d *Disk) Contains(_ context.Context, key engine.Key, pin bool) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.files[key]
	if e == nil {
		return false, nil
	}
	if pin {
		e.pins++
		d.touched = append(d.touched, key)
	}
	return true, nil
}

// InPutTasks implements [Backend].
func (d *Disk) InPutTasks(key engine.Key) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.inFlight[key]
	return ok
}

// SubmitPut implements [Backend]. A key that is there, or on its way, is not written
// again; one for which there is no room is reported and dropped.
func (d *Disk) SubmitPut(ctx context.Context, keys []engine.Key, objs []*engine.Object, done func(engine.Key, error)) error {
	if done == nil {
		done = func(engine.Key, error) {}
	}
	d.sending.RLock()
	defer d.sending.RUnlock()
	if d.closed {
		return errors.New("the disk backend is closed")
	}
	for i, key := range keys {
		put := diskPut{key: key, obj: objs[i], room: int64(objs[i].Len() + footerSize + engine.HeaderSize(len(objs[i].Layout().DTypes)) + len(key.String())), done: done}
		accepted, err := d.admit(put)
		if !accepted {
			done(key, err)
			continue
		}
		put.obj.Retain()
		select {
		case d.queue <- put:
		case <-ctx.Done():
			d.finish(put, diskEntry{}, context.Cause(ctx))
		}
	}
	return nil
}

func (d *Disk) admit(put diskPut) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, flying := d.inFlight[put.key]; flying {
		return false, nil
	}
	if d.files[put.key] != nil {
		d.policy.used(put.key)
		return false, nil
	}
	if put.room > d.opts.Capacity || !d.makeRoom(put.room) {
		return false, fmt.Errorf("no room for %d bytes: %d of %d are in use and cannot be evicted", put.room, d.used, d.opts.Capacity)
	}
	d.used += put.room
	d.inFlight[put.key] = false
	return true, nil
}

// write carries out puts until the queue is closed.
func (d *Disk) write() {
	for put := range d.queue {
		entry, err := writeFile(d.opts.Dir, put.key, put.obj)
		d.finish(put, entry, err)
	}
}

// finish ends a put, whatever came of it: the room that it had is settled, its
// reference and its place among those in flight are gone.
func (d *Disk) finish(put diskPut, entry diskEntry, err error) {
	put.obj.Release()
	d.mu.Lock()
	d.used -= put.room
	removed := d.inFlight[put.key]
	delete(d.inFlight, put.key)
	switch {
	case err != nil:
	case removed:
		_ = os.Remove(filepath.Join(d.opts.Dir, diskName(put.key)))
		err = errors.New("the key was removed while it was written")
	default:
		d.files[put.key] = &entry
		d.policy.added(put.key)
		d.used += entry.size
	}
	d.mu.Unlock()
	if err != nil {
		if ok, more := d.quiet.Pass("write"); ok {
			d.opts.Logger.Warn("a chunk was not written", zap.String("dir", d.opts.Dir), zap.Error(err), zap.Int("not_shown", more))
		}
	}
	put.done(put.key, err)
}

// Get implements [Backend]. A file that is gone, cut or damaged is a miss, and the
// key is forgotten.
func (d *Disk) Get(ctx context.Context, key engine.Key) (*engine.Object, error) {
	d.mu.Lock()
	e := d.files[key]
	if e == nil {
		d.mu.Unlock()
		return nil, nil
	}
	d.policy.used(key)
	header := e.header
	d.mu.Unlock()

	o, err := d.opts.Allocator.Allocate(ctx, engine.Layout{Shapes: header.Shapes, DTypes: header.DTypes, Format: header.Format}, true)
	if err != nil {
		return nil, err
	}
	if o.Len() != header.Length {
		if err := o.Truncate(header.Length); err != nil {
			o.Release()
			return nil, err
		}
	}
	if err = readFile(d.opts.Dir, key, o.Bytes()); err == nil {
		return o, nil
	}
	o.Release()
	d.mu.Lock()
	if d.files[key] == e {
		d.forget(key, errors.Is(err, errDamaged))
	}
	d.mu.Unlock()
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if ok, more := d.quiet.Pass("read"); ok {
		d.opts.Logger.Warn("a chunk cannot be read; it counts as absent", zap.String("file", filepath.Join(d.opts.Dir, diskName(key))), zap.Error(err), zap.Int("not_shown", more))
	}
	return nil, nil
}

// Touch implements [Toucher].
func (d *Disk) Touch() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := len(d.touched) - 1; i >= 0; i-- {
		d.policy.used(d.touched[i])
	}
	d.touched = d.touched[:0]
}

// Pin implements [Backend].
func (d *Disk) Pin(key engine.Key) bool { return d.addPins(key, 1) }

// Unpin implements [Backend].
func (d *Disk) Unpin(key engine.Key) bool { return d.addPins(key, -1) }

func (d *Disk) addPins(key engine.Key, n int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.files[key]
	if e != nil {
		e.pins = max(e.pins+n, 0)
	}
	return e != nil
}

// Remove implements [Backend].
func (d *Disk) Remove(_ context.Context, key engine.Key, force bool) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, flying := d.inFlight[key]; flying {
		d.inFlight[key] = true
		return true, nil
	}
	e := d.files[key]
	if e == nil || e.pins > 0 && !force {
		return false, nil
	}
	d.forget(key, true)
	return true, nil
}

// Clear implements [Clearer].
func (d *Disk) Clear(context.Context) (tokens int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for key, e := range d.files {
		if e.pins > 0 {
			continue
		}
		if dim := e.header.Format.TokenDim(); len(e.header.Shapes[0]) > dim {
			tokens += e.header.Shapes[0][dim]
		}
		d.forget(key, true)
	}
	return tokens, nil
}

// Close implements [Backend]: it waits until all that was accepted is written.
func (d *Disk) Close() error {
	d.sending.Lock()
	already := d.closed
	d.closed = true
	d.sending.Unlock()
	if !already {
		close(d.queue)
	}
	d.done.Wait()
	return nil
}

// DiskDir returns the folder for a worker, of those that are configured: LMCache's
// strategy by_gpu.
func DiskDir(dirs []string, device int) string {
	if len(dirs) == 0 {
		return ""
	}
	return dirs[max(device, 0)%len(dirs)]
}
