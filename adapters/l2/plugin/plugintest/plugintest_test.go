package plugintest_test

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/adapters/l2/mock"
	"github.com/sixcall/sixcall/adapters/l2/plugin/plugintest"
	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
)

func newMock(t testing.TB) l2.Adapter {
	a, err := mock.New(mock.Options{MaxSizeBytes: 1 << 20, BandwidthBytesPerSecond: 1 << 40})
	require.NoError(t, err)
	return a
}

func TestNativeAdapterPasses(t *testing.T) {
	plugintest.Run(t, func(t testing.TB) l2.Adapter {
		a, err := l2.New(bridgetest.NewConnector(t), l2.Options{CloseGrace: 50 * time.Millisecond})
		require.NoError(t, err)
		return a
	})
}

// faults are adapters that break one rule each, and the subtest that finds it.
var faults = map[string]struct {
	make  func(l2.Adapter) l2.Adapter
	found string
}{
	"shared fd":         {func(a l2.Adapter) l2.Adapter { return sharedFD{a} }, "row_23"},
	"no signal":         {func(a l2.Adapter) l2.Adapter { return newSilent(a) }, "row_25"},
	"signal first":      {func(a l2.Adapter) l2.Adapter { return &signalFirst{Adapter: a, asked: map[kv.TaskID]bool{}} }, "rows_29_and_30"},
	"popped twice":      {func(a l2.Adapter) l2.Adapter { return &poppedTwice{Adapter: a} }, "row_25"},
	"every load hits":   {func(a l2.Adapter) l2.Adapter { return alwaysHits{a} }, "rows_29_and_30"},
	"keys of one model": {func(a l2.Adapter) l2.Adapter { return oneModel{a} }, "rows_27_and_28"},
	"keys are kept": {func(a l2.Adapter) l2.Adapter {
		return &keeping{a, map[kv.TaskID][]kv.Key{}, map[kv.TaskID][]kv.Key{}}
	}, "submitted_keys_are_copied"},
	"pins do not hold":   {func(a l2.Adapter) l2.Adapter { return unpinned{a} }, "rows_31,_32_and_71"},
	"lengths are cut":    {func(a l2.Adapter) l2.Adapter { return cutLengths{a} }, "rows_5_to_8_and_35"},
	"listeners unheard":  {func(a l2.Adapter) l2.Adapter { return deaf{a} }, "rows_58,_63_and_66"},
	"open after close":   {func(a l2.Adapter) l2.Adapter { return &neverClosed{Adapter: a} }, "rows_45,_47,_74_and_75"},
	"leaks":              {func(a l2.Adapter) l2.Adapter { return &neverClosed{Adapter: a} }, "close_leaves_nothing_behind"},
	"unhealthy at start": {func(a l2.Adapter) l2.Adapter { return unhealthy{a} }, "row_73"},
}

const faultVariable = "SIXCALL_PLUGINTEST_FAULT"

// TestFaulty is the body of the child processes of TestSuiteFindsFaults.
func TestFaulty(t *testing.T) {
	fault, ok := faults[os.Getenv(faultVariable)]
	if !ok {
		t.Skip("runs in a child process of TestSuiteFindsFaults")
	}
	plugintest.Run(t, func(t testing.TB) l2.Adapter { return fault.make(newMock(t)) }, plugintest.Timeout(500*time.Millisecond))
}

func TestSuiteFindsFaults(t *testing.T) {
	if os.Getenv(faultVariable) != "" {
		return
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^TestFaulty$/"+fault.found)
			cmd.Env = append(os.Environ(), faultVariable+"="+name)
			out, err := cmd.CombinedOutput()
			require.Error(t, err, "the suite passes:\n%s", out)
			require.Contains(t, string(out), "--- FAIL: TestFaulty/"+fault.found, "another subtest fails, or it crashes")
		})
	}
}

type sharedFD struct{ l2.Adapter }

func (a sharedFD) LoadEventFD() int { return a.LookupAndLockEventFD() }

// silent has event fds that nobody signals.
type silent struct {
	l2.Adapter
	*l2.Notifiers
}

func newSilent(a l2.Adapter) silent {
	n, err := l2.NewNotifiers()
	if err != nil {
		panic(err)
	}
	return silent{a, n}
}

func (a silent) StoreEventFD() int         { return a.Notifiers.StoreEventFD() }
func (a silent) LookupAndLockEventFD() int { return a.Notifiers.LookupAndLockEventFD() }
func (a silent) LoadEventFD() int          { return a.Notifiers.LoadEventFD() }
func (a silent) Close() error              { a.Notifiers.Close(); return a.Adapter.Close() }

// signalFirst has a result a moment after its signal.
type signalFirst struct {
	l2.Adapter
	mu    sync.Mutex
	asked map[kv.TaskID]bool
}

func (a *signalFirst) QueryLoadResult(id kv.TaskID) (kv.Bitmap, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.asked[id] {
		a.asked[id] = true
		return kv.Bitmap{}, false
	}
	return a.Adapter.QueryLoadResult(id)
}

type poppedTwice struct {
	l2.Adapter
	last map[kv.TaskID]kv.StoreResult
}

func (a *poppedTwice) PopCompletedStoreTasks() map[kv.TaskID]kv.StoreResult {
	last := a.last
	a.last = a.Adapter.PopCompletedStoreTasks()
	for id, r := range last {
		a.last[id] = r
	}
	return a.last
}

type alwaysHits struct{ l2.Adapter }

func (a alwaysHits) QueryLoadResult(id kv.TaskID) (kv.Bitmap, bool) {
	bits, ok := a.Adapter.QueryLoadResult(id)
	return kv.NewBitmapPrefix(bits.Len(), bits.Len()), ok
}

type oneModel struct{ l2.Adapter }

func (a oneModel) SubmitLookupAndLockTask(keys []kv.Key, l map[int64]kv.Layout) (kv.TaskID, error) {
	same := make([]kv.Key, len(keys))
	for i, k := range keys {
		k.KVRank = kv.ComputeKVRank(8, 5, 4, 1)
		same[i] = k
	}
	return a.Adapter.SubmitLookupAndLockTask(same, l)
}

// keeping reads the keys of a lookup when its result is taken.
type keeping struct {
	l2.Adapter
	keys map[kv.TaskID][]kv.Key
	was  map[kv.TaskID][]kv.Key
}

func (a *keeping) SubmitLookupAndLockTask(keys []kv.Key, l map[int64]kv.Layout) (kv.TaskID, error) {
	id, err := a.Adapter.SubmitLookupAndLockTask(keys, l)
	a.keys[id], a.was[id] = keys, slices.Clone(keys)
	return id, err
}

func (a *keeping) QueryLookupAndLockResult(id kv.TaskID) (kv.Bitmap, bool) {
	bits, ok := a.Adapter.QueryLookupAndLockResult(id)
	for i, k := range a.keys[id] {
		if k != a.was[id][i] {
			bits.Clear(i)
		}
	}
	return bits, ok
}

type unpinned struct{ l2.Adapter }

func (a unpinned) Delete(ctx context.Context, keys []kv.Key) (kv.DeleteResult, error) {
	a.SubmitUnlock(keys)
	a.SubmitUnlock(keys)
	return a.Adapter.Delete(ctx, keys)
}

type cutLengths struct{ l2.Adapter }

func (a cutLengths) SubmitStoreTask(keys []kv.Key, objects []kv.Buffer) (kv.TaskID, error) {
	n := min(len(keys), len(objects))
	return a.Adapter.SubmitStoreTask(keys[:n], objects[:n])
}

type deaf struct{ l2.Adapter }

func (deaf) RegisterListener(l2.Listener) {}

type neverClosed struct{ l2.Adapter }

func (*neverClosed) Close() error { return nil }

type unhealthy struct{ l2.Adapter }

func (unhealthy) Status() map[string]any { return map[string]any{"type": "x"} }
