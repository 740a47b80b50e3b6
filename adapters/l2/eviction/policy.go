package eviction

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sixcall/sixcall/bridge/kv"
)

// Policy decides the order in which keys are evicted. It is told what happens to
// keys and never acts by itself: a victim counts as stored until Removed.
//
// Sizes are in bytes. Keys are copied; slices are borrowed for the call. No call
// blocks. A Policy is for one goroutine at a time: the [Controller] serializes.
type Policy interface {
	// Created: keys[i] was stored and added sizes[i] bytes, 0 when it was there
	// already. A missing size is 0.
	Created(keys []kv.Key, sizes []int64)
	// Touched: keys were loaded. Unknown keys are ignored.
	Touched(keys []kv.Key)
	// Removed: keys are gone. Unknown keys are ignored.
	Removed(keys []kv.Key)
	// Victims returns the keys to evict first, in that order, until want is met
	// or no key is left. It is an error for a [SaltPolicy] ([ErrNoSalt]) only.
	Victims(want Want) ([]Victim, error)
	// Len returns how many stored keys are tracked.
	Len() int
}

// SaltPolicy is a Policy that keeps the keys of each salt apart.
type SaltPolicy interface {
	Policy
	// VictimsOf is Victims within one salt.
	VictimsOf(salt string, want Want) []Victim
	// LenOf is Len within one salt.
	LenOf(salt string) int
}

// ErrNoSalt is returned when a policy that isolates salts is asked for victims
// without one.
var ErrNoSalt = errors.New("IsolatedLRU evicts within one cache_salt, and none was given")

// Want says how much to evict: Keys keys and Bytes bytes, whatever needs more
// victims. The zero value wants nothing.
type Want struct {
	Keys  int
	Bytes int64
	// Assume is what a key counts whose size is not known (0), in bytes. Without
	// it such keys would never add up to Bytes, and all of them would go.
	Assume int64
	// Skip excludes keys; nil excludes none. It must not call the policy.
	Skip func(kv.Key) bool
}

// Victim is a key to evict. Size is in bytes, 0 = unknown.
type Victim struct {
	Key  kv.Key
	Size int64
}

// The names of the policies, as LMCache writes them. They are case-sensitive.
const (
	PolicyLRU         = "LRU"
	PolicyARC         = "ARC"
	PolicyIsolatedLRU = "IsolatedLRU"
	PolicyNoop        = "noop"
)

// Policies are the names that [New] and [Config] accept.
var Policies = [...]string{PolicyLRU, PolicyARC, PolicyIsolatedLRU, PolicyNoop}

// New returns an empty policy. The error for an unknown name lists the known ones.
func New(name string) (Policy, error) {
	switch name {
	case PolicyLRU:
		return NewLRU(), nil
	case PolicyARC:
		return NewARC(), nil
	case PolicyIsolatedLRU:
		return NewIsolatedLRU(), nil
	case PolicyNoop:
		return Noop{}, nil
	}
	return nil, &kv.Error{Op: "eviction", Code: kv.Invalid, Err: unknownPolicy(name)}
}

func unknownPolicy(name string) error {
	return fmt.Errorf("eviction_policy is %q, want one of %s", name, strings.Join(Policies[:], ", "))
}

// TargetKeys returns how many of n keys a ratio stands for: n*ratio without its
// fraction, the ratio clamped to 0..1, but 1 key at least when there is one and
// the ratio is above 0.
func TargetKeys(n int, ratio float64) int {
	if n <= 0 || !(ratio > 0) { // NaN is none
		return 0
	}
	return max(int(float64(n)*min(ratio, 1)), 1)
}

// Noop tracks nothing and evicts nothing.
type Noop struct{}

// Created implements [Policy].
func (Noop) Created([]kv.Key, []int64) {}

// Touched implements [Policy].
func (Noop) Touched([]kv.Key) {}

// Removed implements [Policy].
func (Noop) Removed([]kv.Key) {}

// Victims implements [Policy].
func (Noop) Victims(Want) ([]Victim, error) { return nil, nil }

// Len implements [Policy].
func (Noop) Len() int { return 0 }

// sizeAt is sizes[i], or 0 when the adapter told fewer sizes than keys.
func sizeAt(sizes []int64, i int) int64 {
	if i < len(sizes) {
		return sizes[i]
	}
	return 0
}
