package l2_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
)

func saltedKeys(salts ...string) []kv.Key {
	keys := bridgetest.Keys(len(salts))
	for i := range keys {
		keys[i].Salt = salts[i]
	}
	return keys
}

func TestAccountingKeepsTotalAndSaltsTogether(t *testing.T) {
	a := l2.NewAccounting(100, nil)
	defer a.Close()
	require.Zero(t, a.Usage().BytesUsed)
	require.Equal(t, 0.0, a.Usage().Fraction())
	require.True(t, a.SupportsGlobalEviction())

	require.NoError(t, a.Stored(saltedKeys("a", "b", "c"), []int64{10, 20, 0}))
	held := a.Usage()
	require.Equal(t, kv.Usage{BytesUsed: 30, BytesCapacity: 100, BytesBySalt: map[string]int64{"a": 10, "b": 20}}, held, "a salt of 0 bytes is not listed")

	// LMCache's clamp left a total of 0 beside a bucket of 5.
	require.NoError(t, a.Deleted(saltedKeys("a", "b"), []int64{25, 5}))
	require.Equal(t, int64(15), a.Usage().BytesUsed)
	require.Equal(t, map[string]int64{"b": 15}, a.Usage().BytesBySalt, "total and salts agree after a clamp")
	require.NoError(t, a.Deleted(saltedKeys("unknown"), []int64{7}))
	require.Equal(t, int64(15), a.Usage().BytesUsed)
	require.NoError(t, a.Stored(saltedKeys("b"), []int64{-5}))
	require.Equal(t, int64(10), a.Usage().BytesUsed, "a value became smaller")

	require.Equal(t, int64(30), held.BytesUsed, "row 22")
	require.Equal(t, map[string]int64{"a": 10, "b": 20}, held.BytesBySalt, "row 22")
}

func TestAccountingWithoutCapacity(t *testing.T) {
	a := l2.NewAccounting(0, nil)
	defer a.Close()
	require.False(t, a.SupportsGlobalEviction())
	require.Equal(t, -1.0, a.Usage().Fraction(), "row 21")
}

func TestAccountingChecksLengthsFirst(t *testing.T) {
	a := l2.NewAccounting(0, nil)
	defer a.Close()
	j := &journal{}
	a.RegisterListener(j)
	require.ErrorIs(t, a.Stored(bridgetest.Keys(2), []int64{1}), kv.Invalid)
	require.ErrorIs(t, a.Deleted(bridgetest.Keys(1), nil), kv.Invalid)
	require.Zero(t, a.Usage().BytesUsed)
	a.Close()
	require.Empty(t, j.kinds)
}

func TestListenersHearInOrder(t *testing.T) {
	a := l2.NewAccounting(0, nil)
	keys := bridgetest.Keys(1)
	require.NoError(t, a.Stored(keys, []int64{1}), "before anybody listens")
	first, second := &journal{}, &journal{}
	a.RegisterListener(first)
	require.NoError(t, a.Deleted(keys, []int64{1}))
	a.RegisterListener(second)
	require.NoError(t, a.Stored(keys, []int64{1}))
	a.Accessed(keys)
	a.Accessed(nil) // nothing to tell
	require.NoError(t, a.Stored(keys, []int64{0}))
	keys[0] = kv.Key{} // the caller's again
	a.Close()
	require.Equal(t, []string{"deleted", "stored", "accessed", "stored"}, first.kinds, "row 65: in the order of the books, all before Close returns")
	require.Equal(t, []string{"stored", "accessed", "stored"}, second.kinds, "from its registration on")
	require.Equal(t, [][]int64{{1}, {0}}, second.sizes, "row 59: a second store is told with size 0")
	require.Equal(t, [][]kv.Key{bridgetest.Keys(1)}, first.accessed)

	require.NoError(t, a.Stored(bridgetest.Keys(1), []int64{1}))
	a.RegisterListener(&journal{})
	a.Close()
	require.Len(t, first.kinds, 4, "nothing after Close")
	require.Equal(t, int64(2), a.Usage().BytesUsed, "but the books go on")
}

type panicking struct{ l2.Listener }

func TestRow63PanicsOfListenersAreCaught(t *testing.T) {
	a := l2.NewAccounting(0, nil)
	j := &journal{}
	a.RegisterListener(panicking{}) // calls a nil interface
	a.RegisterListener(j)
	require.NoError(t, a.Stored(bridgetest.Keys(1), []int64{1}))
	a.Accessed(bridgetest.Keys(1))
	a.Close()
	require.Equal(t, []string{"stored", "accessed"}, j.kinds)
	require.Equal(t, int64(2), a.ListenerPanics())
}

func TestListenerMayUseTheBooks(t *testing.T) {
	a := l2.NewAccounting(0, nil)
	l := &deleting{books: a}
	a.RegisterListener(l)
	l.done.Add(1)
	require.NoError(t, a.Stored(bridgetest.Keys(1), []int64{1}))
	l.done.Wait()
	a.Close()
	require.Zero(t, a.Usage().BytesUsed)
}

// deleting evicts whatever is stored.
type deleting struct {
	books *l2.Accounting
	done  sync.WaitGroup
}

func (d *deleting) KeysStored(keys []kv.Key, sizes []int64) { _ = d.books.Deleted(keys, sizes) }
func (d *deleting) KeysAccessed([]kv.Key)                   {}
func (d *deleting) KeysDeleted([]kv.Key)                    { d.done.Done() }
