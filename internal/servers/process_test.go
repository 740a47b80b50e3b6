//go:build linux

package servers_test

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/internal/servers"
)

func TestKillEndsTheWholeGroup(t *testing.T) {
	p := servers.Start(t, "shell", exec.Command("sh", "-c", "sleep 600 & echo ready; wait"))
	p.Await(t, func() error {
		if !strings.Contains(p.Output(), "ready") {
			return errors.New("no output yet")
		}
		return nil
	})
	p.Kill()
	<-p.Done()
	servers.Eventually(t, time.Minute, func() error { // the shell's child is reaped by init
		if err := syscall.Kill(-p.Pid(), 0); !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("a member of the group lives on: kill says %v", err)
		}
		return nil
	})
	p.Kill() // harmless
}

func TestAwaitReportsAnEarlyEnd(t *testing.T) {
	p := servers.Start(t, "false", exec.Command("false"))
	err := p.TryAwait(func() error { return errors.New("never ready") })
	require.ErrorContains(t, err, "ended before it was ready: exit status 1")
}

func TestTerminateWaits(t *testing.T) {
	p := servers.Start(t, "sleep", exec.Command("sleep", "600"))
	p.Terminate()
	<-p.Done()
}
