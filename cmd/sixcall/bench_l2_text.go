package main

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/sixcall/sixcall/cmd/sixcall/internal/bench"
	"github.com/sixcall/sixcall/cmd/sixcall/internal/term"
)

const benchTitle = "L2 Adapter Benchmark Result"

// benchJSON has the form that "lmcache bench l2 --format json" writes: metrics
// has "config" and "op_0" to "op_2", in the order in which operations ran.
type benchJSON struct {
	Title   string         `json:"title"`
	Metrics map[string]any `json:"metrics"`
}

type benchConfigJSON struct {
	L2AdapterJSON     string   `json:"l2_adapter_json"`
	NumKeys           int      `json:"num_keys"`
	InFlight          int      `json:"in_flight"`
	KeysPerRound      int      `json:"keys_per_round"`
	DataSizeKB        int      `json:"data_size_kb"`
	DataPerRoundMB    float64  `json:"data_per_round_mb"`
	MeasurementRounds int      `json:"measurement_rounds"`
	WarmupRounds      int      `json:"warmup_rounds"`
	LookupMaxHitRate  *float64 `json:"lookup_max_hit_rate,omitempty"` // when lookups run
}

type benchOpJSON struct {
	Operation       string  `json:"operation"`
	Rounds          int     `json:"rounds"`
	RoundsTimedOut  int     `json:"rounds_timed_out"`
	KeysPerRound    int     `json:"keys_per_round"`
	TotalKeys       int     `json:"total_keys"`
	TotalSuccess    int     `json:"total_success"`
	DurationAvgMS   float64 `json:"duration_avg_ms"`
	DurationMinMS   float64 `json:"duration_min_ms"`
	DurationMaxMS   float64 `json:"duration_max_ms"`
	DurationP50MS   float64 `json:"duration_p50_ms"`
	DurationP99MS   float64 `json:"duration_p99_ms"`
	DurationStdMS   float64 `json:"duration_std_ms"`
	ThroughputAvg   float64 `json:"throughput_avg_mbps"`
	ThroughputMin   float64 `json:"throughput_min_mbps"`
	ThroughputMax   float64 `json:"throughput_max_mbps"`
	OpsPerSecAvg    float64 `json:"ops_per_sec_avg"`
	LatencyPerKeyMS float64 `json:"latency_per_key_ms"`
	*benchHitsJSON
}

// benchHitsJSON is there when keys were expected to be found.
type benchHitsJSON struct {
	ExpectedMaxHitRate float64 `json:"expected_max_hit_rate"`
	ExpectedHitCount   int     `json:"expected_hit_count"`
	ActualHitRate      float64 `json:"actual_hit_rate"`
}

// round rounds x to a number of decimals.
func round(x float64, decimals int) float64 {
	unit := math.Pow10(decimals)
	return math.RoundToEven(x*unit) / unit
}

func (f *benchL2Flags) json(report *bench.Report) benchJSON {
	keysPerRound := f.numKeys * f.inFlight
	c := benchConfigJSON{
		L2AdapterJSON:     f.shownAdapter(),
		NumKeys:           f.numKeys,
		InFlight:          f.inFlight,
		KeysPerRound:      keysPerRound,
		DataSizeKB:        f.dataSizeKB,
		DataPerRoundMB:    round(float64(keysPerRound)*float64(f.dataSizeKB)/1024, 2),
		MeasurementRounds: f.rounds,
		WarmupRounds:      f.warmupRounds,
	}
	if f.only.value == "" || f.only.value == bench.OpLookup {
		rate := round(f.maxHitRate, 4)
		c.LookupMaxHitRate = &rate
	}
	out := benchJSON{Title: benchTitle, Metrics: map[string]any{"config": c}}
	for i, r := range report.Results {
		ms, rate := r.Millis(), r.Throughput()
		op := benchOpJSON{
			Operation:       r.Operation,
			Rounds:          r.Rounds(),
			RoundsTimedOut:  r.TimedOut,
			KeysPerRound:    r.KeysPerRound(),
			TotalKeys:       r.TotalKeys(),
			TotalSuccess:    r.TotalSuccess(),
			DurationAvgMS:   round(ms.Avg, 2),
			DurationMinMS:   round(ms.Min, 2),
			DurationMaxMS:   round(ms.Max, 2),
			DurationP50MS:   round(ms.P50, 2),
			DurationP99MS:   round(ms.P99, 2),
			DurationStdMS:   round(ms.Std, 2),
			ThroughputAvg:   round(rate.Avg, 2),
			ThroughputMin:   round(rate.Min, 2),
			ThroughputMax:   round(rate.Max, 2),
			OpsPerSecAvg:    round(r.KeysPerSecond(), 2),
			LatencyPerKeyMS: round(ms.Avg/float64(r.KeysPerRound()), 3),
		}
		if r.MaxHitRate > 0 || r.ExpectedHits > 0 {
			op.benchHitsJSON = &benchHitsJSON{
				ExpectedMaxHitRate: round(r.MaxHitRate, 4),
				ExpectedHitCount:   r.ExpectedHits,
				ActualHitRate:      round(r.HitRate(), 4),
			}
		}
		out.Metrics[fmt.Sprintf("op_%d", i)] = op
	}
	return out
}

func (f *benchL2Flags) text(report *bench.Report) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", benchTitle)
	c := term.Table{Left: []int{0, 1}}
	c.Row("adapter", f.shownAdapter())
	c.Row("a round", fmt.Sprintf("%s of %s, %d KiB each: %.2f MiB", plural(f.inFlight, "task", "tasks"),
		plural(f.numKeys, "key", "keys"), f.dataSizeKB, float64(f.numKeys*f.inFlight)*float64(f.dataSizeKB)/1024))
	c.Row("rounds", fmt.Sprintf("%d measured after %d to warm up", f.rounds, f.warmupRounds))
	b.WriteString(c.String() + "\n")

	t := term.Table{Left: []int{0}}
	t.Row("operation", "keys done", "of", "avg", "p50", "p99", "max", "std", "MiB/s", "keys/s", "per key")
	for _, r := range report.Results {
		ms := r.Millis()
		rate := "-"
		if r.DataSize > 0 {
			rate = fmt.Sprintf("%.1f", r.Throughput().Avg)
		}
		t.Row(r.Operation, term.Count(int64(r.TotalSuccess())), term.Count(int64(r.TotalKeys())),
			term.Micros(ms.Avg*1e3), term.Micros(ms.P50*1e3), term.Micros(ms.P99*1e3), term.Micros(ms.Max*1e3), term.Micros(ms.Std*1e3),
			rate, term.Count(int64(r.KeysPerSecond())), term.Micros(ms.Avg*1e3/float64(r.KeysPerRound())))
	}
	b.WriteString(t.String())
	b.WriteString("  Times are of whole rounds, from the first submit to the last end.\n")
	if i := slices.IndexFunc(report.Results, func(r *bench.Result) bool { return r.ExpectedHits > 0 }); i >= 0 {
		r := report.Results[i]
		fmt.Fprintf(&b, "  Lookups found %d keys; up to %d could be there.\n", r.TotalSuccess(), r.ExpectedHits)
	}
	switch {
	case f.skipVerify:
		b.WriteString("\nWhat was loaded was not compared; --no-skip-verify does that.\n")
	case report.Verified == 0:
		b.WriteString("\nNothing was loaded, so nothing could be compared.\n")
	case report.Mismatches > 0:
		fmt.Fprintf(&b, "\nFAILED: %d of %d loaded values are not what was stored.\n", report.Mismatches, report.Verified)
	default:
		fmt.Fprintf(&b, "\nAll %d values that were compared are what was stored.\n", report.Verified)
	}
	return b.String()
}
