//go:build !linux

package launcher

import (
	"errors"
	"syscall"
	"time"
)

func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }

type process struct {
	pid    int
	exited chan struct{}
}

func startProcess(_, _ []string, _ *guard, _ func() *splitter) (*process, error) {
	return nil, errors.New("plugins are not supported on this system")
}

func (p *process) code() int         { return -1 }
func (p *process) alone() bool       { return true }
func (p *process) end(time.Duration) {}
