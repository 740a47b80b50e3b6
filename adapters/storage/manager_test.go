package storage_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sixcall/sixcall/adapters/storage"
	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/engine"
)

func TestRow75EarlierBackendsWin(t *testing.T) {
	cpu := newCPU(t, 16, "LRU", false)
	m, _ := manager(t, cpu, false)
	for _, name := range []string{"z", "y", "x", "w", "a"} {
		b := newFake()
		add(t, m, name, b)
		put(t, cpu, b, key(1))
	}
	require.Equal(t, []string{storage.NameLocalCPU, "z", "y", "x", "w", "a"}, m.Names())
	for range 50 {
		require.Equal(t, "z", m.Contains(ctx, key(1), nil, false))
		o, where := m.Get(ctx, key(1), "")
		require.Equal(t, "z", where)
		same(t, cpu, key(1), o)
	}
}

func TestRow86TheCPUBackendIsAskedFirst(t *testing.T) {
	cpu := newCPU(t, 16, "LRU", true)
	m, _ := manager(t, cpu, false)
	disk := openDisk(t, cpu, t.TempDir(), 1<<20, "LRU")
	remote, plugin := newFake(), newFake()
	add(t, m, storage.NameLocalDisk, disk)
	add(t, m, storage.NameRemote, remote)
	add(t, m, "plugin", plugin)
	require.NoError(t, m.BatchedPut(ctx, keys(1, 2), objects(t, cpu, keys(1, 2)), ""))
	require.Equal(t, storage.NameLocalCPU, m.Contains(ctx, key(1), nil, false))
	// Row 89: an empty range is none.
	require.Equal(t, storage.NameLocalCPU, m.Contains(ctx, key(1), []string{}, false))
	require.Equal(t, "plugin", m.Contains(ctx, key(1), []string{"plugin"}, false))
	// Row 90.
	_, err := cpu.Remove(ctx, key(1), true)
	require.NoError(t, err)
	m.Freeze(true)
	require.Empty(t, m.Contains(ctx, key(1), nil, false))
	m.Freeze(false)
	require.NotEmpty(t, m.Contains(ctx, key(1), nil, false))
}

func TestRow87APrefixAcrossBackends(t *testing.T) {
	cpu := newCPU(t, 16, "LRU", true)
	m, _ := manager(t, cpu, false)
	plugin := newFake()
	add(t, m, "plugin", plugin)
	put(t, cpu, cpu, keys(1, 3)...)
	put(t, cpu, plugin, key(3))
	n, buckets := m.BatchedContains(ctx, keys(1, 5), nil, false)
	require.Equal(t, 3, n)
	require.Equal(t, []storage.Bucket{{Backend: storage.NameLocalCPU, Keys: keys(1, 3)}, {Backend: "plugin", Keys: keys(3, 4)}}, buckets)
	// A read is put together from both, whatever its order.
	objs := m.BatchedGet(ctx, []engine.Key{key(3), key(4), key(1)}, "")
	require.Nil(t, objs[1])
	same(t, cpu, key(3), objs[0])
	same(t, cpu, key(1), objs[2])
}

func TestRow88HitsAreCopiedToTheCPUOnlyIfItIsOn(t *testing.T) {
	for _, hot := range []bool{false, true} {
		cpu := newCPU(t, 16, "LRU", hot)
		m, _ := manager(t, cpu, true)
		plugin := newFake()
		add(t, m, "plugin", plugin)
		put(t, cpu, plugin, key(1))
		o, where := m.Get(ctx, key(1), "")
		require.Equal(t, "plugin", where)
		same(t, cpu, key(1), o)
		require.Equal(t, hot, has(t, cpu, key(1)))
	}
}

func TestRow91RecreatedBackendsKeepTheirPlace(t *testing.T) {
	cpu := newCPU(t, 16, "LRU", true)
	m, _ := manager(t, cpu, false)
	first := newFake()
	made := 0
	make := func() (storage.Backend, error) {
		if made++; made == 1 {
			return first, nil
		}
		return newFake(), nil
	}
	require.NoError(t, m.Add("disk", make))
	add(t, m, "plugin", newFake())
	before := m.Names()
	require.NoError(t, m.RecreateBackend("disk"))
	require.Equal(t, before, m.Names())
	require.Equal(t, 1, first.closed, "the old one is closed, once")
	require.NotSame(t, first, m.Backend("disk"))
	// Row 92: adding it again changes nothing.
	same := m.Backend("disk")
	require.NoError(t, m.Add("disk", make))
	require.Same(t, same, m.Backend("disk"))
	require.Equal(t, 2, made)
	// Row 93.
	require.False(t, m.CloseBackend("unknown"))
	require.ErrorIs(t, m.RecreateBackend("unknown"), storage.ErrNoBackend)
	require.True(t, m.CloseBackend("disk"))
	require.False(t, m.CloseBackend("disk"))
	require.NoError(t, m.RecreateBackend("disk"))
	require.Equal(t, before, m.Names())
}

func TestRow94AFailingBackendDoesNotStopTheOthers(t *testing.T) {
	cpu := newCPU(t, 16, "LRU", true)
	m, logs := manager(t, cpu, false)
	broken, panics, good := newFake(), newFake(), newFake()
	broken.fails, panics.panics = errDown, true
	add(t, m, "broken", broken)
	add(t, m, "panics", panics)
	add(t, m, "good", good)
	objs := objects(t, cpu, keys(1, 3))
	err := m.BatchedPut(ctx, keys(1, 3), objs, "")
	require.ErrorIs(t, err, errDown)
	require.ErrorContains(t, err, "panics")
	for i, o := range objs {
		require.Equal(t, 2, o.Refs(), "the caller's reference is gone; CPU and %q have theirs", "good")
		require.True(t, has(t, good, key(i+1)))
	}
	o, where := m.Get(ctx, key(1), "")
	require.Equal(t, storage.NameLocalCPU, where)
	o.Release()
	require.Equal(t, 2, logs.FilterMessage("storage backend failed").Len())
	cpu.SetHot(false)
	o, where = m.Get(ctx, key(1), "")
	require.Equal(t, "good", where, "lookups pass broken backends as well")
	o.Release()
}

func TestRow95AuditedBackendsKeepTheirMethods(t *testing.T) {
	cpu := newCPU(t, 16, "LRU", true)
	m, _ := manager(t, cpu, false)
	disk := openDisk(t, cpu, t.TempDir(), 3*(2048+512), "LRU")
	core, logs := observer.New(zapcore.InfoLevel)
	add(t, m, storage.NameLocalDisk, storage.Audited(storage.NameLocalDisk, disk, zap.New(core)))
	b := m.Backend(storage.NameLocalDisk)
	for i := 1; i < 4; i++ { // one after the other: the age of files is that of their puts
		put(t, cpu, b, key(i))
	}
	// A lookup that pins makes key 1 the most recent one, when it is over.
	n, err := b.(storage.BatchContainer).BatchedContains(ctx, keys(1, 2), true)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	m.Unpin(keys(1, 2), storage.NameLocalDisk)
	m.Touch()
	put(t, cpu, b, key(9))
	require.True(t, has(t, b, key(1)))
	require.False(t, has(t, b, key(2)), "the oldest was evicted")
	require.Equal(t, 3*16, m.Clear(ctx, storage.NameLocalDisk))
	require.Zero(t, disk.Used())
	for _, op := range []string{"put", "put_done", "batched_contains", "contains"} {
		require.NotZero(t, logs.FilterField(zap.String("operation", op)).Len(), op)
	}
}

func TestStoresOnASchedulerAreRefused(t *testing.T) {
	cpu := newCPU(t, 4, "LRU", true)
	scheduler := *meta
	scheduler.Role = "scheduler"
	m, err := storage.NewManager(storage.Options{Metadata: &scheduler})
	require.NoError(t, err)
	o := object(t, cpu, key(1))
	require.ErrorIs(t, m.BatchedPut(ctx, keys(1, 2), []*engine.Object{o}, ""), storage.ErrScheduler)
}

func TestRow29PrefetchNeverPairsAKeyWithOtherBytes(t *testing.T) {
	cpu := newCPU(t, 32, "LRU", false)
	m, _ := manager(t, cpu, false)
	plugin, late := newFake(), newFake()
	add(t, m, "plugin", plugin)
	add(t, m, "late", late)
	put(t, cpu, plugin, keys(1, 5)...)
	put(t, cpu, late, keys(5, 9)...)
	objs, err := m.Prefetch(ctx, keys(1, 9), 2)
	require.NoError(t, err)
	require.Len(t, objs, 8, "the run goes on in the next backend")
	for i, o := range objs {
		same(t, cpu, key(i+1), o)
	}
	// The lookup still says yes; the bytes of key 2 are gone.
	evicting := &vanishing{fake: plugin, key: key(2)}
	require.True(t, m.CloseBackend("late"))
	m2, _ := manager(t, cpu, false)
	add(t, m2, "plugin", evicting)
	objs, err = m2.Prefetch(ctx, keys(1, 5), 1)
	require.NoError(t, err)
	require.Len(t, objs, 1)
	same(t, cpu, key(1), objs[0])
	objs, err = m2.Prefetch(ctx, keys(1, 5), 2)
	require.NoError(t, err)
	require.Empty(t, objs, "half a chunk is none")
	for _, bad := range []int{0, -1, 3} {
		_, err = m2.Prefetch(ctx, keys(1, 5), bad)
		require.ErrorIs(t, err, storage.ErrKeysPerChunk)
	}
}

// vanishing has a key whenever it is asked and never when it is read.
type vanishing struct {
	*fake
	key engine.Key
}

func (v *vanishing) Get(ctx context.Context, k engine.Key) (*engine.Object, error) {
	if k == v.key {
		return nil, nil
	}
	return v.fake.Get(ctx, k)
}

// shortGetter returns fewer results than keys.
type shortGetter struct{ *fake }

func (s shortGetter) BatchedGet(ctx context.Context, ks []engine.Key) ([]*engine.Object, error) {
	o, err := s.Get(ctx, ks[0])
	return []*engine.Object{o}, err
}

func TestShortResultsAreMisses(t *testing.T) {
	cpu := newCPU(t, 16, "LRU", false)
	m, _ := manager(t, cpu, false)
	b := newFake()
	add(t, m, "short", shortGetter{b})
	put(t, cpu, b, keys(1, 3)...)
	objs := m.BatchedGet(ctx, keys(1, 3), "")
	same(t, cpu, key(1), objs[0])
	require.Nil(t, objs[1])
}

// other is a backend with memory of its own.
type other struct {
	*fake
	cpu *storage.CPU
}

func (o other) Allocator() storage.Allocator { return o.cpu }

func TestBackendsWithMemoryOfTheirOwnGetCopies(t *testing.T) {
	cpu, theirs := newCPU(t, 16, "LRU", false), newCPU(t, 2, "LRU", false)
	m, _ := manager(t, cpu, true)
	b := other{newFake(), theirs}
	add(t, m, "other", b)
	require.NoError(t, m.BatchedPut(ctx, keys(1, 5), objects(t, cpu, keys(1, 5)), ""))
	require.True(t, has(t, b, key(1)))
	require.True(t, has(t, b, key(2)))
	require.False(t, has(t, b, key(3)), "as far as its memory goes")
	o, _ := m.Get(ctx, key(2), "")
	require.Equal(t, theirs.Pool(), o.Pool())
	same(t, cpu, key(2), o)
	require.Zero(t, cpu.Pool().InUse())
}

func TestRow40FallbackAndRecovery(t *testing.T) {
	cpu := newCPU(t, 4, "LRU", false)
	m, _ := manager(t, cpu, true)
	remote := newFake()
	add(t, m, storage.NameRemote, remote)
	put(t, cpu, remote, key(1))
	h := storage.NewMonitor(m, storage.FallbackLocalCPU, 0)
	defer h.Close()
	h.Round(ctx)
	require.NoError(t, h.Healthy())
	remote.healthy = errDown
	h.Round(ctx)
	require.True(t, cpu.Hot())
	require.NoError(t, h.Healthy(), "the engine goes on with the CPU cache")
	require.Empty(t, m.Contains(ctx, key(1), nil, false), "the sick backend is left out")
	require.NoError(t, m.BatchedPut(ctx, keys(5, 7), objects(t, cpu, keys(5, 7)), ""))
	require.Equal(t, 2, cpu.Keys())
	remote.healthy = nil
	h.Round(ctx)
	require.False(t, cpu.Hot())
	require.Zero(t, cpu.Keys(), "the cache is emptied")
	require.Equal(t, storage.NameRemote, m.Contains(ctx, key(1), nil, false))
	_, err := remote.Remove(ctx, key(1), true)
	require.NoError(t, err)
	require.Zero(t, cpu.Pool().InUse(), "its memory can be used again")

	recompute := storage.NewMonitor(m, "nonsense", 0)
	defer recompute.Close()
	remote.healthy = errDown
	recompute.Round(ctx)
	require.ErrorContains(t, recompute.Healthy(), "RemoteBackend: the backend is down")
}

func TestWaitsForMemoryAreBounded(t *testing.T) {
	a, err := arena.New(arena.Options{})
	require.NoError(t, err)
	cpu, err := storage.NewCPU(a, 4096, "LRU", true)
	require.NoError(t, err)
	held := object(t, cpu, key(1))
	_, err = cpu.Allocate(ctx, chunk, false)
	require.ErrorIs(t, err, engine.ErrNoMemory)
	short, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	_, err = cpu.Allocate(short, chunk, true)
	require.ErrorIs(t, err, engine.ErrNoMemory)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	// A reader that lets go makes room, although nothing is freed by that.
	require.NoError(t, cpu.SubmitPut(ctx, keys(1, 2), []*engine.Object{held}, nil))
	got := make(chan *engine.Object)
	go func() {
		o, err := cpu.Allocate(ctx, chunk, true)
		if err != nil {
			panic(err)
		}
		got <- o
	}()
	held.Release()
	(<-got).Release()
	require.Zero(t, cpu.Pool().InUse())
	require.NoError(t, a.Close())
}
