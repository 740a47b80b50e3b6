//go:build !(linux && (amd64 || arm64))

package native

import (
	"context"
	"errors"
	"runtime"
	"time"

	"github.com/sixcall/sixcall/bridge/kv"
)

func unsupported(op, connector string) error {
	return &kv.Error{Op: op, Connector: connector, Code: kv.Unsupported,
		Err: errors.New("connector libraries run on Linux, amd64 and arm64; this is " + runtime.GOOS + "/" + runtime.GOARCH)}
}

var raisedPrivileges = func() (bool, string) { return false, "" }

// Connector is one open connection of a library that runs in this process.
type Connector struct{}

var _ kv.Connector = (*Connector)(nil)

// Open returns an error that matches [kv.Unsupported].
func Open(opts Options) (*Connector, error) {
	if err := opts.validate(); err != nil {
		return nil, err
	}
	return nil, unsupported("open", opts.Connector)
}

// Inspect returns an error that matches [kv.Unsupported].
func Inspect(path string, _ bool) (*Report, error) { return nil, unsupported("inspect", path) }

// InspectIsolated reports that this system is not supported.
func InspectIsolated(path, _ string) (*Report, error) { return nil, unsupported("inspect", path) }

// Info implements [kv.Connector].
func (c *Connector) Info() kv.Info { return kv.Info{} }

// EventFD implements [kv.Connector].
func (c *Connector) EventFD() int { return -1 }

// Report returns nothing here.
func (c *Connector) Report() *Report { return &Report{} }

// Submit implements [kv.Connector].
func (c *Connector) Submit(*kv.Batch) error { return unsupported("submit", "") }

// Drain implements [kv.Connector].
func (c *Connector) Drain([]kv.Completion) (int, error) { return 0, unsupported("drain", "") }

// Close implements [kv.Connector].
func (c *Connector) Close(time.Duration) error { return nil }

// Register implements [kv.Registrar].
func (c *Connector) Register(kv.Memory) (uint64, error) { return 0, unsupported("register", "") }

// Unregister implements [kv.Registrar].
func (c *Connector) Unregister(uint64) error { return unsupported("unregister", "") }

// Cancel implements [kv.Canceler].
func (c *Connector) Cancel(uint64) error { return unsupported("cancel", "") }

// Usage implements [kv.UsageReporter].
func (c *Connector) Usage() (bytesUsed, bytesCapacity, keys int64, err error) {
	return -1, -1, -1, unsupported("usage", "")
}

// StatsText returns an error that matches [kv.Unsupported].
func (c *Connector) StatsText() (string, error) { return "", unsupported("stats", "") }

// List implements [kv.Lister].
func (c *Connector) List(context.Context, []byte) ([]kv.KeyEntry, []byte, error) {
	return nil, nil, unsupported("list", "")
}
