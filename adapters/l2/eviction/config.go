package eviction

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sixcall/sixcall/bridge/kv"
)

// Config says when and how much is evicted from one adapter. The zero value is
// not valid; start from [DefaultConfig].
type Config struct {
	// Policy is one of [Policies], case-sensitive.
	Policy string
	// TriggerWatermark is the part of the capacity, or of a salt's quota, at which
	// eviction starts. More than 0, at most 1. Default 0.8.
	TriggerWatermark float64
	// EvictionRatio is the part of the tracked keys that one cycle evicts, 0 to 1.
	// Default 0.2. More go when that many bytes are not enough to get below the
	// watermark, or for IsolatedLRU to the quota. With 0 only salts without a
	// quota and [Controller.MakeRoom] evict.
	EvictionRatio float64
}

// DefaultConfig returns LMCache's numbers for a policy.
func DefaultConfig(policy string) Config {
	return Config{Policy: policy, TriggerWatermark: 0.8, EvictionRatio: 0.2}
}

// Validate reports every problem at once, in the words of the configuration.
func (c Config) Validate() error {
	var errs []error
	if !slices.Contains(Policies[:], c.Policy) {
		errs = append(errs, unknownPolicy(c.Policy))
	}
	if !(c.TriggerWatermark > 0 && c.TriggerWatermark <= 1) {
		errs = append(errs, fmt.Errorf("trigger_watermark is %v, want more than 0 and at most 1", c.TriggerWatermark))
	}
	if !(c.EvictionRatio >= 0 && c.EvictionRatio <= 1) {
		errs = append(errs, fmt.Errorf("eviction_ratio is %v, want 0 to 1", c.EvictionRatio))
	}
	if len(errs) == 0 {
		return nil
	}
	return &kv.Error{Op: "eviction", Code: kv.Invalid, Err: errors.Join(errs...)}
}
