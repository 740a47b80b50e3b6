package bridge_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sixcall/sixcall/bridge"
	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
)

func TestUsageSurvivesARestart(t *testing.T) {
	f := newFixture(t, bridge.Options{MaxCapacityBytes: 1000}, func(c *bridgetest.Connector) {
		c.ExtraCaps = kv.CapList
		for i := range 25 { // three pages
			key := bridgetest.Key(i)
			if i%5 == 0 {
				key.Salt = "alice"
			}
			c.Put(key.String(), make([]byte, 30))
		}
		c.Put("not one of our keys", make([]byte, 500))
	})
	j := &journal{}
	f.Listen(j)
	n, err := f.Recover(background)
	require.NoError(t, err)
	require.Equal(t, 25, n)
	require.Equal(t, kv.Usage{BytesUsed: 750, BytesCapacity: 1000, Keys: 25, BytesBySalt: map[string]int64{"": 600, "alice": 150}}, f.Usage())
	eventually(t, "listeners hear of it", func() bool { return len(j.read()) == 3 })
	_, err = f.Do(background, bridge.Store, []kv.Key{bridgetest.Key(99)}, []kv.Buffer{make([]byte, 300)})
	require.ErrorIs(t, err, kv.NoSpace, "what was there counts")
	_, err = f.Do(background, bridge.Delete, []kv.Key{bridgetest.Key(1)}, nil)
	require.NoError(t, err)
	require.Equal(t, int64(720), f.Usage().BytesUsed)
}

func TestRecoverNeedsAListing(t *testing.T) {
	f := newFixture(t, bridge.Options{})
	_, err := f.Recover(background)
	require.ErrorIs(t, err, kv.Unsupported)
}

func TestErrorsAreCountedByKindAndLoggedOncePerBurst(t *testing.T) {
	core, logs := observer.New(zapcore.WarnLevel)
	var mu sync.Mutex
	n := 0
	f := newFixture(t, bridge.Options{Logger: zap.New(core), Breaker: bridge.BreakerOptions{Failures: -1}}, func(c *bridgetest.Connector) {
		c.OnComplete = func(b *kv.Batch, rec *kv.Completion) {
			mu.Lock()
			defer mu.Unlock()
			n++
			b.Status[0] = kv.StatusError
			vendor := int32(0)
			if n > 5 {
				vendor = 28
			}
			b.Err.Set(kv.IO, vendor, "no luck")
		}
	})
	for range 8 {
		_, _ = f.Do(background, bridge.Load, bridgetest.Keys(1), []kv.Buffer{make([]byte, 4)})
	}
	errs := f.Stats().Errors
	require.Equal(t, int64(5), errs[bridge.ErrorCount{Class: "load", Code: kv.IO}].Count)
	require.Equal(t, int64(3), errs[bridge.ErrorCount{Class: "load", Code: kv.IO, VendorCode: 28}].Count)
	require.Contains(t, errs[bridge.ErrorCount{Class: "load", Code: kv.IO}].First, "no luck")
	require.Equal(t, 2, logs.Len(), "one line per kind and burst")
}
