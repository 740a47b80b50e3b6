//go:build linux

package servers_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/internal/servers"
)

func TestKillEndsTheWholeGroup(t *testing.T) {
	p := servers.Start(t, "shell", exec.Command("sh", "-c", "sleep 600 & echo child $!; wait"))
	var child string
	p.Await(t, func() error {
		if _, err := fmt.Sscanf(p.Output(), "child %s\n", &child); err != nil {
			return err
		}
		return nil
	})
	p.Kill()
	<-p.Done()
	servers.Eventually(t, time.Minute, func() error {
		stat, err := os.ReadFile("/proc/" + child + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") { // dead; init may take its time to reap it
			return nil
		}
		return fmt.Errorf("a member of the group lives on: %s", stat)
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
