//go:build linux && (amd64 || arm64)

package native_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/native"
)

func TestAFailedOpenIsExplainedAndLeavesNothingBehind(t *testing.T) {
	tests := []struct {
		name    string
		defines []string
		code    kv.Code
		vendor  int32
		want    string
	}{
		{"with a text", []string{"OPEN_FAILS=-10", `OPEN_TEXT="connect to 10.0.0.7:6379: connection refused; is the server running?"`},
			kv.Unavailable, 111, "connect to 10.0.0.7:6379: connection refused; is the server running?"},
		{"without a text", []string{"OPEN_FAILS=-5", "OPEN_TEXT=0"}, kv.IO, 0, "returned -5 and no text"},
		{"with an unknown code", []string{"OPEN_FAILS=-99", "OPEN_TEXT=0"}, kv.Internal, 0, "returned -99"},
		{"with a text over several lines", []string{"OPEN_FAILS=-8", `OPEN_TEXT="a\nb\x1b[0mc\xff"`}, kv.Cancelled, 111, "a b [0mc\uFFFD"},
		{"success without a connection", []string{"OPEN_NULL"}, kv.Internal, 0, "returned 0, which is success, but no connection"},
		{"negative event fd", []string{"FD_RETURNS=-1"}, kv.Internal, 0, "event_fd of"},
		{"event fd that is not open", []string{"FD_RETURNS=9999"}, kv.Internal, 0, "returned 9999, which is not an open descriptor"},
		{"event fd that changes", []string{"FD_CHANGES"}, kv.Internal, 0, "want a constant"},
		{"event fd that cannot be polled", []string{"FD_FILE"}, kv.Internal, 0, "which cannot be polled"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			path := compile(t, tc.defines...)
			expect := leakCheck(t)
			for range 5 {
				_, err := native.Open(native.Options{Connector: path, Instance: "store-1", Log: func(int, string) {}})
				require.ErrorIs(t, err, tc.code)
				require.ErrorContains(t, err, tc.want)
				require.ErrorContains(t, err, `open "store-1"`)
				require.NotContains(t, err.Error(), "\n")
				var kvErr *kv.Error
				require.ErrorAs(t, err, &kvErr)
				require.Equal(t, tc.vendor, kvErr.VendorCode)
			}
			expect()
		})
	}
}

func TestAnEventFdWithWrongFlagsIsPutRight(t *testing.T) {
	c := open(t, native.Options{Connector: compile(t, "FD_FLAGS=0")})
	flags, err := unix.FcntlInt(uintptr(c.EventFD()), unix.F_GETFL, 0)
	require.NoError(t, err)
	require.NotZero(t, flags&unix.O_NONBLOCK)
	flags, err = unix.FcntlInt(uintptr(c.EventFD()), unix.F_GETFD, 0)
	require.NoError(t, err)
	require.NotZero(t, flags&unix.FD_CLOEXEC)
	text := strings.Join(c.Report().Warnings(), "; ")
	require.Contains(t, text, "its event fd was not close-on-exec, which was set (done)")
	require.Contains(t, text, "its event fd was blocking, which was changed (done)")
}

func TestTheClassNameMustBeTheDeclaredName(t *testing.T) {
	path := compile(t)
	_, err := native.Open(native.Options{Connector: path, ClassName: "redis"})
	require.ErrorIs(t, err, kv.Config)
	require.ErrorContains(t, err, `class_name is "redis", but the library "`+path+`" declares "minimal"`)
}

func TestOptionsAreCheckedAllAtOnce(t *testing.T) {
	_, err := native.Open(native.Options{MaxInFlight: -1, MaxBatch: 1 << 40, ValueLenHint: -5, OpenTimeout: -1, Instance: "a\x00"})
	require.ErrorIs(t, err, kv.Config)
	for _, part := range []string{"Connector is empty", "MaxInFlight is -1", "MaxBatch is 1099511627776", "ValueLenHint is -5", "OpenTimeout is -1ns", `Instance is "a\x00"`} {
		require.ErrorContains(t, err, part)
	}
	require.EqualValues(t, 0, native.Milliseconds(-time.Second))
	require.EqualValues(t, 1, native.Milliseconds(time.Nanosecond))
	require.EqualValues(t, 1500, native.Milliseconds(1500*time.Millisecond))
	require.EqualValues(t, 1<<32-1, native.Milliseconds(1<<62))
}

func TestAConfigurationIsCheckedBeforeOpen(t *testing.T) {
	_, err := native.Open(native.Options{
		Connector: compile(t, "OPEN_FAILS=-12", `OPEN_TEXT="open was called"`),
		Params:    json.RawMessage(`{"paht": "/tmp", "workers": 0, "mode": "slow", "x-note": 1}`),
	})
	require.ErrorIs(t, err, kv.Config)
	require.ErrorContains(t, err, "paht is not a known key; did you mean path?")
	require.ErrorContains(t, err, "workers is 0, want 1 to 64")
	require.ErrorContains(t, err, `mode is "slow", want one of "fast", "safe"`)
	require.NotContains(t, err.Error(), "open was called")
}

func TestASecretIsResolvedAndNeverShown(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(file, []byte("to\"ken\n"), 0o600))
	t.Setenv("SIXCALL_TEST_PASSWORD", "hunter2")
	t.Setenv("SIXCALL_TEST_WORKERS", "12")
	path := compile(t, "OPEN_ECHOES")

	_, err := native.Open(native.Options{Connector: path, Params: json.RawMessage(
		`{"password": {"$env": "SIXCALL_TEST_PASSWORD"}, "path": {"$file": "` + file + `"}, "workers": {"$env": "SIXCALL_TEST_WORKERS"}}`)})

	require.ErrorIs(t, err, kv.Auth)
	require.ErrorContains(t, err, `cannot use {"password":"***","path":"***","workers":***}`)
	require.NotContains(t, err.Error(), "hunter2")

	_, err = native.Open(native.Options{Connector: path, Params: json.RawMessage(
		`{"password": {"$env": "SIXCALL_TEST_UNSET"}, "path": {"$file": "/nowhere/secret"}}`)})
	require.ErrorIs(t, err, kv.Config)
	require.ErrorContains(t, err, `password: environment variable "SIXCALL_TEST_UNSET" is not set`)
	require.ErrorContains(t, err, "path: open /nowhere/secret: no such file or directory")
}

func TestClose(t *testing.T) {
	t.Run("gives back everything", func(t *testing.T) {
		path := compile(t)
		c, err := native.Open(native.Options{Connector: path})
		require.NoError(t, err)
		require.NoError(t, c.Close(time.Second))
		expect := leakCheck(t)
		for range 20 {
			c, err := native.Open(native.Options{Connector: path, Log: func(int, string) {}})
			require.NoError(t, err)
			run(t, c, newBatch(t, kv.OpSet, 1, 8, 100))
			require.NoError(t, c.Close(time.Second))
			require.NoError(t, c.Close(time.Second), "closing again is harmless")
			require.ErrorIs(t, c.Submit(newBatch(t, kv.OpExists, 1, 1, 0)), kv.Closed)
			_, err = c.Drain(make([]kv.Completion, 1))
			require.ErrorIs(t, err, kv.Closed)
			require.ErrorIs(t, c.Cancel(1), kv.Closed)
		}
		expect()
		require.Zero(t, native.LogSinks())
	})
	t.Run("that is busy keeps all memory", func(t *testing.T) {
		c, err := native.Open(native.Options{Connector: compile(t, "CLOSE_RETURNS=SIXCALL_E_BUSY"), Log: func(int, string) {}})
		require.NoError(t, err)
		err = c.Close(10 * time.Millisecond)
		require.ErrorIs(t, err, kv.Stuck)
		require.ErrorContains(t, err, "could not stop everything within 10ms")
		require.Equal(t, err, c.Close(time.Second), "the library is not called twice")
		require.Zero(t, native.LogSinks())
	})
	t.Run("that fails in another way keeps all memory too", func(t *testing.T) {
		c, err := native.Open(native.Options{Connector: compile(t, "CLOSE_RETURNS=-5")})
		require.NoError(t, err)
		err = c.Close(0)
		require.ErrorIs(t, err, kv.Stuck)
		require.ErrorContains(t, err, "returned -5 (i/o error), want 0 or SIXCALL_E_BUSY")
	})
	t.Run("after a failed check reports both", func(t *testing.T) {
		_, err := native.Open(native.Options{Connector: compile(t, "FD_RETURNS=-1", "CLOSE_RETURNS=SIXCALL_E_BUSY")})
		require.ErrorIs(t, err, kv.Internal)
		require.ErrorIs(t, err, kv.Stuck)
		var kvErr *kv.Error
		require.True(t, errors.As(err, &kvErr))
	})
}

func TestTheSameFileIsLoadedOnce(t *testing.T) {
	path := compile(t)
	link := filepath.Join(t.TempDir(), "libsixcall_alias.so")
	require.NoError(t, os.Symlink(path, link))
	a, b := open(t, native.Options{Connector: path}), open(t, native.Options{Connector: link})
	require.Equal(t, a.Report().Path, b.Report().Path)
	run(t, a, newBatch(t, kv.OpSet, 1, 1, 8))
	require.EqualValues(t, 0, run(t, b, newBatch(t, kv.OpExists, 2, 1, 0)).NOK, "connections share nothing")

	// Overwritten in place the old one stays mapped, so the new one is refused;
	// under a new name it loads.
	fresh := compile(t, `VERSION="2.0.0"`)
	require.NoError(t, os.Rename(fresh, path))
	_, err := native.Open(native.Options{Connector: path})
	require.ErrorIs(t, err, kv.Config)
	require.ErrorContains(t, err, "another version of the file was loaded before")
	again := filepath.Join(filepath.Dir(path), "libsixcall_again.so")
	require.NoError(t, os.Rename(path, again))
	require.Equal(t, "2.0.0", open(t, native.Options{Connector: again}).Info().Version)
}
