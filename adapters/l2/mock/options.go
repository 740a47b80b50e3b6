package mock

import (
	"errors"
	"fmt"
	"strings"

	"go.uber.org/zap"

	"github.com/sixcall/sixcall/bridge/kv"
)

// Options configures an [Adapter]. Both numbers are required.
type Options struct {
	// MaxSizeBytes is the capacity. A value that does not fit is not stored.
	MaxSizeBytes int64
	// BandwidthBytesPerSecond delays the end of stores and loads. Transfers do
	// not share it: each has it all.
	BandwidthBytesPerSecond int64
	// Logger receives what is out of the ordinary. Default: discard.
	Logger *zap.Logger
}

// Validate reports every problem at once.
func (o Options) Validate() error {
	var errs []error
	if o.MaxSizeBytes <= 0 {
		errs = append(errs, fmt.Errorf("MaxSizeBytes is %d, want 1 or more", o.MaxSizeBytes))
	}
	if o.BandwidthBytesPerSecond <= 0 {
		errs = append(errs, fmt.Errorf("BandwidthBytesPerSecond is %d, want 1 or more", o.BandwidthBytesPerSecond))
	}
	if len(errs) == 0 {
		return nil
	}
	oneLine := errors.New(strings.ReplaceAll(errors.Join(errs...).Error(), "\n", "; "))
	return &kv.Error{Op: "create", Connector: typeName, Code: kv.Config, Err: oneLine}
}
