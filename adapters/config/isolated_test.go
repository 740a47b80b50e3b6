//go:build linux

package config_test

import (
	"bytes"
	"context"
	"encoding/json"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/config"
	"github.com/sixcall/sixcall/bridge/goconnector"
	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/bridge/worker"
	"github.com/sixcall/sixcall/internal/servers"
)

func needWorker(t *testing.T) {
	t.Helper()
	needMem(t)
	if _, err := worker.FindProgram(""); err != nil {
		servers.Require(t, "`make cpp` builds sixcall-worker: %v", err)
	}
}

func TestIsolatedConnectorSurvivesItsWorker(t *testing.T) {
	needWorker(t)
	adapter := openMem(t, `{}`, `"isolation":"process"`, `"worker":{"restart_initial_ms":1}`)
	status := func() worker.Status { return adapter.Status()["worker"].(worker.Status) }
	require.Equal(t, worker.Ready, status().State)

	keys, values := memKeys(3), []kv.Buffer{value(1, 5000), value(2, 70), value(3, 4096)}
	stored, err := adapter.Store(t.Context(), keys, values)
	require.NoError(t, err)
	require.True(t, stored.OK)
	got := []kv.Buffer{make([]byte, 5000), make([]byte, 70), make([]byte, 4096)}
	bits, err := adapter.Load(t.Context(), keys, got)
	require.NoError(t, err)
	require.Equal(t, "111", bits.String())
	for i := range got {
		require.True(t, bytes.Equal(values[i], got[i]))
	}

	first := status()
	require.NotZero(t, first.Pid)
	require.NoError(t, syscall.Kill(first.Pid, syscall.SIGKILL))
	servers.Eventually(t, time.Minute, func() error {
		if s := status(); s.Restarts != 1 {
			return kv.Unavailable
		}
		return nil
	})
	require.Equal(t, "SIGKILL", status().LastSignal)
	servers.Eventually(t, time.Minute, func() error { // the breaker may be open for a moment
		stored, err := adapter.Store(t.Context(), keys, values)
		if err == nil && !stored.OK {
			err = kv.Unavailable
		}
		return err
	})
	bits, err = adapter.Load(t.Context(), keys, got)
	require.NoError(t, err)
	require.Equal(t, "111", bits.String())
}

func TestAMissingWorkerProgramIsAnError(t *testing.T) {
	needMem(t)
	_, err := config.Build(t.Context(), parse(t, with(`"isolation":"process","worker":{"program":"/nowhere/sixcall-worker"}`))[0])
	require.ErrorIs(t, err, kv.Config)
	require.ErrorContains(t, err, "/nowhere/sixcall-worker")
}

// echo has every key, with its own text as the value.
type echo struct{}

func (echo) Get(_ context.Context, key string, buf []byte) (bool, error) {
	if len(buf) != len(key) {
		return false, &goconnector.SizeError{Stored: int64(len(key)), Want: len(buf)}
	}
	copy(buf, key)
	return true, nil
}
func (echo) Set(context.Context, string, []byte) error { return nil }
func (echo) Exists(_ context.Context, key string) (bool, int64, error) {
	return true, int64(len(key)), nil
}
func (echo) Close() error { return nil }

func TestConnectorsOfTheProgram(t *testing.T) {
	var params string
	b := config.Builder{GoConnectors: map[string]config.GoConnector{"echo": {
		Schema: `{"type":"object","additionalProperties":false,"properties":{"size":{"type":"integer","minimum":1},"token":{"type":"string"}}}`,
		Open: func(_ context.Context, p json.RawMessage, instance string) (kv.Connector, error) {
			params = string(p)
			return goconnector.New(echo{}, goconnector.Options{Name: instance})
		},
	}}}
	t.Setenv("ECHO_TOKEN", "hunter2")
	text := func(more string) config.L2Adapter {
		return parse(t, `{"type":"native_plugin","module_path":"go:echo","class_name":"echo",`+more+`}`)[0]
	}
	adapter, err := b.BuildNative(t.Context(), text(`"adapter_params":{"size":3,"token":{"$env":"ECHO_TOKEN"}}`))
	require.NoError(t, err)
	require.JSONEq(t, `{"size":3,"token":"hunter2"}`, params)
	key := memKey(1)
	buf := make([]byte, len(key.String()))
	bits, err := adapter.Load(t.Context(), []kv.Key{key}, []kv.Buffer{buf})
	require.NoError(t, err)
	require.Equal(t, "1", bits.String())
	require.Equal(t, key.String(), string(buf))
	require.NoError(t, adapter.Close())

	for more, want := range map[string]string{
		`"adapter_params":{"size":0}`: "size",
		`"adapter_params":{"sise":1}`: "sise",
		`"isolation":"process"`:       `isolation is "process"`,
		`"class_name":"other"`:        `class_name is "other"`,
		`"module_path":"go:echoo"`:    `"go:echoo", but this program has no such connector in Go; it has: echo, s3`,
	} {
		cfg := text(`"adapter_params":{}`)
		switch more {
		case `"class_name":"other"`:
			cfg.NativePlugin.ClassName = "other"
		case `"module_path":"go:echoo"`:
			cfg.NativePlugin.ModulePath = "go:echoo"
		default:
			cfg = text(more)
		}
		_, err := b.Build(t.Context(), cfg)
		require.ErrorIs(t, err, kv.Config)
		require.ErrorContains(t, err, want)
	}
}

func TestS3ThroughTheConfiguration(t *testing.T) {
	server := servers.Moto(t)
	server.MakeBucket(t, "cache")
	cfg := parse(t, `{"type":"native_plugin","module_path":"go:s3","class_name":"s3","adapter_params":{"endpoint":"`+server.Endpoint+`",
		"bucket":"cache","region":"us-east-1","access_key":"a","secret_key":"b"}}`)[0]
	adapter, err := config.Builder{}.BuildNative(t.Context(), cfg)
	require.NoError(t, err)
	defer func() { require.NoError(t, adapter.Close()) }()
	keys, values := memKeys(5), []kv.Buffer{value(1, 10), value(2, 20), value(3, 30), value(4, 40), value(5, 50)}
	stored, err := adapter.Store(t.Context(), keys, values)
	require.NoError(t, err)
	require.True(t, stored.OK)
	got := make([]byte, 30)
	bits, err := adapter.Load(t.Context(), keys[2:3], []kv.Buffer{got})
	require.NoError(t, err)
	require.Equal(t, "1", bits.String())
	require.Equal(t, []byte(values[2]), got)
}
