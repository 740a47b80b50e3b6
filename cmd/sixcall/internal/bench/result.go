package bench

import (
	"math"
	"slices"
	"time"
)

// Result is what was measured of one operation. Warm-up rounds are left out.
type Result struct {
	Operation string // Store, Lookup or Load
	InFlight  int    // tasks in a round
	NumKeys   int    // keys in a task
	DataSize  int    // bytes of a value, 0 for lookups

	Durations []time.Duration // of the rounds that ended in time
	Success   []int           // keys that succeeded, of every round
	TimedOut  int             // rounds that did not end in time

	// For lookups: what part of the keys may be there, and how many that are.
	MaxHitRate   float64
	ExpectedHits int
}

// KeysPerRound returns how many keys one round has.
func (r *Result) KeysPerRound() int { return r.InFlight * r.NumKeys }

// Rounds returns how many rounds began.
func (r *Result) Rounds() int { return len(r.Durations) + r.TimedOut }

// TotalKeys returns how many keys were asked for.
func (r *Result) TotalKeys() int { return r.KeysPerRound() * r.Rounds() }

// TotalSuccess returns how many keys succeeded.
func (r *Result) TotalSuccess() int {
	total := 0
	for _, n := range r.Success {
		total += n
	}
	return total
}

// HitRate returns the part of the keys that succeeded.
func (r *Result) HitRate() float64 {
	if r.TotalKeys() == 0 {
		return 0
	}
	return float64(r.TotalSuccess()) / float64(r.TotalKeys())
}

// Spread summarises some numbers; all are 0 when there are none.
type Spread struct {
	Avg, Min, Max, P50, P99 float64
	Std                     float64 // of a sample
}

// SpreadOf summarises values. Percentiles are by nearest rank.
func SpreadOf(values []float64) Spread {
	n := len(values)
	if n == 0 {
		return Spread{}
	}
	v := slices.Sorted(slices.Values(values))
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	s := Spread{Avg: sum / float64(n), Min: v[0], Max: v[n-1]}
	rank := func(percent float64) float64 {
		i := int(math.Ceil(percent / 100 * float64(n)))
		return v[min(max(i, 1), n)-1]
	}
	s.P50, s.P99 = rank(50), rank(99)
	if n > 1 {
		squares := 0.0
		for _, x := range v {
			squares += (x - s.Avg) * (x - s.Avg)
		}
		s.Std = math.Sqrt(squares / float64(n-1))
	}
	return s
}

// Millis summarises the durations of the rounds in milliseconds.
func (r *Result) Millis() Spread {
	return SpreadOf(r.perRound(func(seconds float64) float64 { return seconds * 1e3 }))
}

// Throughput summarises the rounds in MiB/s; it is 0 for lookups.
func (r *Result) Throughput() Spread {
	if r.DataSize == 0 {
		return Spread{}
	}
	mib := float64(r.KeysPerRound()) * float64(r.DataSize) / (1 << 20)
	return SpreadOf(r.perRound(func(seconds float64) float64 { return mib / seconds }))
}

// KeysPerSecond returns the average rate of keys over the rounds.
func (r *Result) KeysPerSecond() float64 {
	return SpreadOf(r.perRound(func(seconds float64) float64 { return float64(r.KeysPerRound()) / seconds })).Avg
}

func (r *Result) perRound(f func(seconds float64) float64) []float64 {
	var out []float64
	for _, d := range r.Durations {
		out = append(out, f(max(d, 1).Seconds())) // a clock tick at least
	}
	return out
}
