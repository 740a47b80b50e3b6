package bridge_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge"
	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
)

// journal is a listener that writes down what it hears.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) note(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf(format, args...))
}

func (j *journal) read() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]string(nil), j.lines...)
}

func (j *journal) KeysStored(keys []kv.Key, sizes []int64) { j.note("stored %d %v", len(keys), sizes) }
func (j *journal) KeysAccessed(keys []kv.Key)              { j.note("accessed %d", len(keys)) }
func (j *journal) KeysDeleted(keys []kv.Key)               { j.note("deleted %d", len(keys)) }

type panicky struct{ journal }

func (*panicky) KeysStored([]kv.Key, []int64) { panic("a listener's bug") }

func TestListenersHearEverythingInOrder(t *testing.T) {
	f := newFixture(t, bridge.Options{})
	j := &journal{}
	f.Listen(&panicky{})
	f.Listen(j)
	keys, bufs := bridgetest.Keys(2), bridgetest.Buffers(t, f.Arena(), 2, 10, 1)
	store := func() {
		_, err := f.Do(background, bridge.Store, keys, bufs)
		require.NoError(t, err)
	}
	store()
	store()
	_, err := f.Do(background, bridge.Load, bridgetest.Keys(3), bridgetest.Buffers(t, f.Arena(), 3, 10, 1))
	require.NoError(t, err)
	_, err = f.Do(background, bridge.Delete, bridgetest.Keys(3), nil)
	require.NoError(t, err)
	store()
	want := []string{"stored 2 [10 10]", "stored 2 [0 0]", "accessed 2", "deleted 2", "stored 2 [10 10]"}
	eventually(t, "all events", func() bool { return len(j.read()) == len(want) })
	require.Equal(t, want, j.read())
	require.Equal(t, int64(3), f.Stats().Panics, "a panic of one listener is counted and hurts no other")
}
