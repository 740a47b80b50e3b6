package inmemory

import (
	"errors"
	"fmt"
	"math"
)

const gib = 1 << 30

// Config is what adapter_params holds.
type Config struct {
	// MaxSizeGB is the capacity in GiB. Default 0.5.
	MaxSizeGB float64 `json:"max_size_gb"`
	// MockBandwidthGB delays the end of stores and loads, in GiB/s. 0 or less
	// means no delay. Default 10.
	MockBandwidthGB float64 `json:"mock_bandwidth_gb"`
}

// DefaultConfig returns the defaults.
func DefaultConfig() *Config { return &Config{MaxSizeGB: 0.5, MockBandwidthGB: 10} }

// Validate reports every problem at once.
func (c *Config) Validate() error {
	var errs []error
	if c.capacity() <= 0 || math.IsInf(c.MaxSizeGB, 0) {
		errs = append(errs, fmt.Errorf("max_size_gb is %v, want a number above 0", c.MaxSizeGB))
	}
	if math.IsNaN(c.MockBandwidthGB) || math.IsInf(c.MockBandwidthGB, 0) {
		errs = append(errs, fmt.Errorf("mock_bandwidth_gb is %v, want a finite number", c.MockBandwidthGB))
	}
	return errors.Join(errs...)
}

// capacity is in bytes.
func (c *Config) capacity() int64 { return int64(c.MaxSizeGB * gib) }

// bandwidth is in bytes per second; 0 or less means that there is no delay.
func (c *Config) bandwidth() float64 { return c.MockBandwidthGB * gib }
