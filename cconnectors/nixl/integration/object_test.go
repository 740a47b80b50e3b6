package nixl_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/bridge"
	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/internal/servers"
)

const bucket = "kv-cache"

// objects returns the configuration for a server, with more keys added.
func objects(m *servers.MotoServer, more params) params {
	p := params{
		"backend": "OBJ",
		"backend_params": params{
			"access_key": "AKIAEXAMPLE", "secret_key": "not-a-secret", "bucket": bucket,
			"endpoint_override": m.Endpoint, "scheme": "http", "region": "us-east-1",
		},
		"workers": 2,
	}
	for key, value := range more {
		p[key] = value
	}
	return p
}

func moto(t *testing.T) *servers.MotoServer {
	t.Helper()
	servers.Connector(t, "nixl")
	m := servers.Moto(t)
	m.MakeBucket(t, bucket)
	return m
}

// put stores an object as a stranger does.
func put(t *testing.T, m *servers.MotoServer, name string, body []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, m.Endpoint+"/"+bucket+"/"+name, bytes.NewReader(body))
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	response.Body.Close()
	require.Equal(t, http.StatusOK, response.StatusCode)
}

func TestObjects(t *testing.T) {
	m := moto(t)
	ctx := context.Background()
	a, conn := open(t, objects(m, params{"key_prefix": "cache/"}))
	require.Empty(t, conn.Report().Changed, "NIXL and its AWS client left signal handlers and mask alone")

	t.Run("values of all sizes in one batch", func(t *testing.T) {
		var want, got []kv.Buffer
		for i, size := range []int{0, 1, 4096, 65537, 1 << 20, 6<<20 + 1} {
			want = append(want, value(i, size))
			got = append(got, make([]byte, size))
		}
		keys := bridgetest.Keys(len(want))
		_, err := a.Store(ctx, keys, want)
		require.NoError(t, err)
		bits, err := a.Load(ctx, keys, got)
		require.NoError(t, err)
		require.Equal(t, strings.Repeat("1", len(want)), bits.String())
		for i := range want {
			require.True(t, bytes.Equal(want[i], got[i]), "value %d", i)
		}
	})
	t.Run("misses and values of another size miss alone", func(t *testing.T) {
		keys := bridgetest.Keys(2)
		_, err := a.Store(ctx, keys, values(2, 1000))
		require.NoError(t, err)
		for _, size := range []int{1, 968, 999, 1001, 1032, 5000} {
			bits, err := a.Load(ctx, []kv.Key{keys[0], bridgetest.Key(999), keys[1]}, []kv.Buffer{make([]byte, 1000), make([]byte, 1000), make([]byte, size)})
			require.NoError(t, err)
			require.Equal(t, "100", bits.String(), "asked for %d of 1000 bytes", size)
		}
	})
	t.Run("objects of another writer are not served", func(t *testing.T) {
		for i, size := range []int{0, 10, 999, 1000, 1032, 2000} {
			key := bridgetest.Key(500 + i)
			name, err := key.FileName()
			require.NoError(t, err)
			put(t, m, "cache/"+name, value(1, size))
			bits, err := a.Load(ctx, []kv.Key{key}, empties(1, 1000))
			require.NoError(t, err)
			require.Equal(t, "0", bits.String(), "an object of %d bytes", size)
		}
	})
	t.Run("lookups; deletes are not supported", func(t *testing.T) {
		keys := bridgetest.Keys(3)
		bits, err := a.Lookup(ctx, append(keys, bridgetest.Key(888), bridgetest.Key(889)))
		require.NoError(t, err)
		require.Equal(t, "11100", bits.String())
		a.Unlock(keys)
		_, err = a.Delete(ctx, keys[:1])
		require.ErrorIs(t, err, kv.Unsupported)
		bits, err = a.Lookup(ctx, keys[:1])
		require.NoError(t, err)
		require.Equal(t, "1", bits.String())
		a.Unlock(keys[:1])
	})
	t.Run("many small ones", func(t *testing.T) {
		keys := bridgetest.Keys(200)
		_, err := a.Store(ctx, keys, values(200, 3000))
		require.NoError(t, err)
		got := empties(200, 3000)
		bits, err := a.Load(ctx, keys, got)
		require.NoError(t, err)
		require.Equal(t, 200, bits.Count())
		require.Equal(t, values(200, 3000), got)
	})
}

func TestObjectsWithoutASeal(t *testing.T) {
	m := moto(t)
	ctx := context.Background()
	// The bridge's own checksum proves what the missing seal does not.
	a, _ := open(t, objects(m, params{"seal": false}), l2.Options{Integrity: bridge.IntegrityXXH3})
	keys := bridgetest.Keys(2)
	_, err := a.Store(ctx, keys, values(2, 1000))
	require.NoError(t, err)
	got := empties(2, 1000)
	bits, err := a.Load(ctx, keys, got)
	require.NoError(t, err)
	require.Equal(t, "11", bits.String())
	require.Equal(t, values(2, 1000), got)
	for i, size := range []int{500, 1000, 3000} {
		key := bridgetest.Key(10 + i)
		name, err := key.FileName()
		require.NoError(t, err)
		put(t, m, name, value(7, size))
		bits, err = a.Load(ctx, []kv.Key{keys[0], key}, empties(2, 1000))
		require.NoError(t, err)
		require.Equal(t, "10", bits.String(), "an object of %d bytes of another writer", size)
	}
}

func TestOpenProvesTheServer(t *testing.T) {
	m := moto(t)
	wrong := objects(m, nil)
	wrong["backend_params"].(params)["bucket"] = "not-there"
	_, err := connect(t, wrong)
	require.ErrorIs(t, err, kv.Unavailable)
	require.ErrorContains(t, err, "check bucket, credentials and endpoint")
	m.Kill()
	_, err = connect(t, objects(m, nil))
	require.ErrorIs(t, err, kv.Unavailable)
	require.ErrorContains(t, err, "Connection refused; is the server running?")
}

// answered runs f and fails if it takes much longer than the connector's own limit.
func answered(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatalf("%s is stuck", what)
	}
}

func TestServerKilledAndRestarted(t *testing.T) {
	m := moto(t)
	ctx := context.Background()
	// No breaker and no deadlines of the bridge: the connector itself must answer.
	// The AWS client tries a request again for half a minute, and close has to wait.
	a, conn := open(t, objects(m, params{"request_timeout_ms": 5000}), l2.Options{
		Deadlines: l2.Deadlines{Lookup: -1, Load: -1, Store: -1, Delete: -1}, Breaker: l2.BreakerOptions{Failures: -1},
		CloseGrace: 2 * time.Minute,
	})
	keys := bridgetest.Keys(20)
	_, err := a.Store(ctx, keys, values(20, 10000))
	require.NoError(t, err)

	// What is in flight when the server dies, and what comes then, is answered.
	var ids []kv.TaskID
	for i := range 20 {
		id, err := a.SubmitLoadTask(keys[i:i+1], empties(1, 10000))
		require.NoError(t, err)
		ids = append(ids, id)
	}
	m.Kill()
	answered(t, "a load in flight", func() {
		for _, id := range ids {
			for {
				if _, ok := a.QueryLoadResult(id); ok {
					break
				}
				time.Sleep(time.Millisecond)
			}
		}
	})
	answered(t, "a load", func() {
		bits, err := a.Load(ctx, keys[:1], empties(1, 10000))
		require.True(t, err != nil || bits.String() == "0")
	})
	answered(t, "a store", func() {
		_, err := a.Store(ctx, keys[:1], values(1, 10000))
		require.Error(t, err)
	})
	answered(t, "a lookup", func() {
		bits, err := a.Lookup(ctx, keys[:1])
		require.True(t, err != nil || bits.String() == "0")
	})

	m.Restart(t)
	m.MakeBucket(t, bucket)
	servers.Eventually(t, time.Minute, func() error {
		_, err := a.Store(ctx, keys, values(20, 10000))
		return err
	})
	got := empties(20, 10000)
	bits, err := a.Load(ctx, keys, got)
	require.NoError(t, err)
	require.Equal(t, 20, bits.Count())
	require.Equal(t, values(20, 10000), got)
	servers.Eventually(t, time.Minute, func() error {
		if up := stat(t, conn, "sixcall_nixl_workers_up"); up != "2" {
			return fmt.Errorf("%s of 2 workers are up", up)
		}
		return nil
	})
}

func TestServerThatStandsStill(t *testing.T) {
	m := moto(t)
	ctx := context.Background()
	a, conn := open(t, objects(m, params{"request_timeout_ms": 500, "workers": 1}), l2.Options{
		Deadlines: l2.Deadlines{Lookup: -1, Load: -1, Store: -1, Delete: -1}, Breaker: l2.BreakerOptions{Failures: -1},
		CloseGrace: 2 * time.Minute,
	})
	keys := bridgetest.Keys(4)
	_, err := a.Store(ctx, keys, values(4, 10000))
	require.NoError(t, err)
	m.Stop()
	answered(t, "a load", func() {
		bits, err := a.Load(ctx, keys, empties(4, 10000))
		require.True(t, err != nil || bits.Count() == 0)
	})
	answered(t, "a lookup", func() {
		bits, err := a.Lookup(ctx, keys)
		require.True(t, err != nil || bits.Count() == 0)
	})
	require.NotEqual(t, "0", stat(t, conn, "sixcall_nixl_timeouts_total"))
	m.Continue()
	servers.Eventually(t, time.Minute, func() error {
		_, err := a.Store(ctx, keys, values(4, 10000))
		return err
	})
	got := empties(4, 10000)
	bits, err := a.Load(ctx, keys, got)
	require.NoError(t, err)
	require.Equal(t, 4, bits.Count())
	require.Equal(t, values(4, 10000), got)
}
