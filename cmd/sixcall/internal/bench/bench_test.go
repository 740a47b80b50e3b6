package bench_test

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/cmd/sixcall/internal/bench"
)

func TestSpread(t *testing.T) {
	t.Parallel()
	require.Equal(t, bench.Spread{}, bench.SpreadOf(nil))
	require.Equal(t, bench.Spread{Avg: 3, Min: 3, Max: 3, P50: 3, P99: 3}, bench.SpreadOf([]float64{3}))
	s := bench.SpreadOf([]float64{4, 1, 3, 2})
	require.Equal(t, 2.5, s.Avg)
	require.Equal(t, 2.0, s.P50, "nearest rank: the second of four")
	require.Equal(t, 4.0, s.P99)
	require.InDelta(t, 1.2909944, s.Std, 1e-6, "of a sample")
	hundred := make([]float64, 200)
	for i := range hundred {
		hundred[i] = float64(i + 1)
	}
	require.Equal(t, 198.0, bench.SpreadOf(hundred).P99)
}

func TestResultOfRoundsThatTookNoTime(t *testing.T) {
	t.Parallel()
	r := bench.Result{InFlight: 1, NumKeys: 1, DataSize: 1, Durations: []time.Duration{0}}
	require.False(t, math.IsInf(r.Throughput().Max, 0), "JSON has no infinity")
	require.False(t, math.IsInf(r.KeysPerSecond(), 0))
	require.Zero(t, (&bench.Result{}).HitRate())
}

// adapter returns an adapter over conn and options of one small round.
func adapter(t *testing.T, conn kv.Connector) (*l2.NativeAdapter, bench.Options) {
	t.Helper()
	a, err := l2.New(conn, l2.Options{CloseGrace: -1})
	require.NoError(t, err)
	t.Cleanup(func() { _ = a.Close() })
	opts := bench.Options{NumKeys: 3, InFlight: 2, DataSize: 100, Rounds: 2, WarmupRounds: 1, Verify: true, MaxHitRate: 1}
	for _, dst := range []*[]byte{&opts.StoreMemory, &opts.LoadMemory} {
		block, err := a.Arena().Alloc(max(opts.MemoryBytes(), arena.PageSize))
		require.NoError(t, err)
		*dst = block.Bytes()
	}
	return a, opts
}

func TestRunMeasuresEveryRound(t *testing.T) {
	t.Parallel()
	a, opts := adapter(t, bridgetest.NewConnector(t))
	report, err := bench.Run(t.Context(), a, opts)
	require.NoError(t, err)
	require.Len(t, report.Results, 3)
	for _, r := range report.Results {
		require.Equal(t, 2, r.Rounds(), r.Operation)
		require.Equal(t, 12, r.TotalKeys(), r.Operation)
		require.Equal(t, 12, r.TotalSuccess(), r.Operation)
		require.Equal(t, 1.0, r.HitRate())
		require.Positive(t, r.Millis().Min)
	}
	require.Equal(t, 12, report.Verified)
	require.Zero(t, report.Mismatches)
	require.Zero(t, a.Stats().Pins, "what the lookups locked is unlocked")
}

func TestRunStopsAtARoundThatTimesOut(t *testing.T) {
	t.Parallel()
	conn := bridgetest.NewConnector(t)
	conn.Hold = true
	a, opts := adapter(t, conn)
	opts.WarmupRounds = 0
	opts.Wait = 50 * time.Millisecond
	report, err := bench.Run(t.Context(), a, opts)
	require.ErrorIs(t, err, bench.ErrTimeout)
	require.ErrorContains(t, err, "store: ")
	require.Len(t, report.Results, 1)
	require.Equal(t, 1, report.Results[0].TimedOut)
	require.Equal(t, 1, report.Results[0].Rounds(), "a round that timed out counts as begun")
	require.Empty(t, report.Results[0].Durations)
	conn.Release(conn.Held())
}

func TestRunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	conn := bridgetest.NewConnector(t)
	conn.Hold = true
	a, opts := adapter(t, conn)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := bench.Run(ctx, a, opts)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	conn.Release(conn.Held())
}
