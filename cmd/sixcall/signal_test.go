package main

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
)

const hangEnv = "SIXCALL_TEST_HANG"

// TestHang is no test: it is the process that TestSignalsWhileABackendHangs
// starts, a replay over a connector that never answers.
func TestHang(t *testing.T) {
	if os.Getenv(hangEnv) == "" {
		t.Skip("only a child process of another test runs this")
	}
	conn := bridgetest.NewConnector(t)
	conn.Hold = true
	conn.OnSubmit = func(*kv.Batch) error {
		_, _ = os.Stderr.WriteString("submitted\n")
		return nil
	}
	os.Exit(run(args("replay --format json"), testApp(os.Stdout, os.Stderr, conn)))
}

func TestSignalsWhileABackendHangs(t *testing.T) {
	t.Parallel()
	hang := func(t *testing.T) (cmd *exec.Cmd, stdout *bytes.Buffer) {
		self, err := os.Executable()
		require.NoError(t, err)
		cmd = exec.CommandContext(t.Context(), self, "-test.run=^TestHang$")
		cmd.Env = append(os.Environ(), hangEnv+"=1")
		stdout = &bytes.Buffer{}
		cmd.Stdout = stdout
		stderr, err := cmd.StderrPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		line, err := bufio.NewReader(stderr).ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, "submitted\n", line)
		return cmd, stdout
	}
	t.Run("the first one ends it with a partial result", func(t *testing.T) {
		t.Parallel()
		cmd, stdout := hang(t)
		started := time.Now()
		require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
		require.Equal(t, exitFailed, exitCode(t, cmd))
		require.Less(t, time.Since(started), 20*time.Second)
		require.Zero(t, decode(t, stdout.String()).Requests)
	})
	t.Run("the second one kills it", func(t *testing.T) {
		t.Parallel()
		cmd, stdout := hang(t)
		require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
		time.Sleep(300 * time.Millisecond)
		require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
		require.Equal(t, -1, exitCode(t, cmd))
		require.Equal(t, syscall.SIGINT, cmd.ProcessState.Sys().(syscall.WaitStatus).Signal())
		require.Empty(t, stdout.String())
	})
}
