package tier

import (
	"time"

	"go.uber.org/zap"

	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/bridge/arena"
)

// Options configures a Tier. The zero value is ready to use. 0 means the
// default; a negative limit or deadline means none.
type Options struct {
	// Arena is where prefetches allocate. Members should be built with the same
	// one; see the package documentation. Default: an arena of the tier's own.
	Arena *arena.Arena
	// MaxInFlight is the number of prefetches that are served at a time; the rest
	// wait in order of arrival. Default 8, as in LMCache.
	MaxInFlight int
	// MaxLoadBytes bounds the buffers of prefetches in flight; a prefetch waits,
	// in order of arrival, until its own fit. One that is larger than the bound
	// runs alone. Default 1 GiB.
	MaxLoadBytes int64
	// MaxStoreBytes bounds the values on their way to one member. A store beyond
	// it is dropped for that member and counted; it never waits. Default 1 GiB.
	MaxStoreBytes int64
	// Deadlines is how long one call of a member may take. What has not answered
	// by then is a miss (or a failed store). Members have deadlines of their own.
	Deadlines l2.Deadlines
	// CloseGrace is how long Close lets stores in flight run, and then how long
	// it waits for calls that do not return. Default 5s. Negative means no wait.
	CloseGrace time.Duration
	// EventBuffer is how many events may wait in [Tier.Events]; further ones are
	// dropped and counted. Default: no events.
	EventBuffer int
	// Logger receives state changes, never a line per request. Default: discard.
	Logger *zap.Logger
}

// MemberOptions configures one member. The zero value is ready to use.
type MemberOptions struct {
	// ReadOnly members get lookups and loads, but no stores and no deletes.
	ReadOnly bool
	// Shared says that other hosts use the same backend. It is passed on in events.
	Shared bool
	// MaxStoreBytes overrides [Options].MaxStoreBytes. 0 means that one.
	MaxStoreBytes int64
}

const (
	defaultInFlight = 8
	defaultBytes    = 1 << 30
	defaultGrace    = 5 * time.Second
)

// orDefault resolves the rule of Options; no limit is 0 in the result.
func orDefault[T int | int64 | time.Duration](v, def T) T {
	switch {
	case v == 0:
		return def
	case v < 0:
		return 0
	}
	return v
}

func (o Options) withDefaults() Options {
	o.MaxInFlight = orDefault(o.MaxInFlight, defaultInFlight)
	o.MaxLoadBytes = orDefault(o.MaxLoadBytes, defaultBytes)
	o.MaxStoreBytes = orDefault(o.MaxStoreBytes, defaultBytes)
	d := &o.Deadlines
	d.Lookup = orDefault(d.Lookup, 5*time.Second)
	d.Load = orDefault(d.Load, 30*time.Second)
	d.Store = orDefault(d.Store, 60*time.Second)
	d.Delete = orDefault(d.Delete, 30*time.Second)
	if o.CloseGrace == 0 {
		o.CloseGrace = defaultGrace
	}
	o.CloseGrace = max(o.CloseGrace, 0)
	o.EventBuffer = max(o.EventBuffer, 0)
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	return o
}
