package replay_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge/arena"
	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/cmd/sixcall/internal/replay"
	"github.com/sixcall/sixcall/cmd/sixcall/internal/trace"
)

const blockBytes = 100

func requests(ids ...[]trace.BlockID) []trace.Request {
	var out []trace.Request
	for _, r := range ids {
		out = append(out, trace.Request{Blocks: r})
	}
	return out
}

type ids = []trace.BlockID

// start runs a replay over the adapters with one request at a time.
func start(t *testing.T, reqs []trace.Request, adapters ...*fakeAdapter) *replay.Result {
	t.Helper()
	result, err := replay.Run(t.Context(), options(t, reqs, adapters...))
	require.NoError(t, err)
	return result
}

func options(t *testing.T, reqs []trace.Request, adapters ...*fakeAdapter) replay.Options {
	t.Helper()
	memory, err := arena.New(arena.Options{Poison: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, memory.Close(), "the replay must give its memory back") })
	opts := replay.Options{Requests: trace.NewRequests(reqs), BlockBytes: blockBytes, Concurrency: 1, Arena: memory}
	for i, a := range adapters {
		opts.Adapters = append(opts.Adapters, replay.Adapter{Name: fmt.Sprint("fake", i), Client: a})
	}
	return opts
}

// numbers are the counts of a result.
type numbers struct{ Requests, Blocks, PrefixHits, Stored, Loaded, VerifyFailures, Failures int64 }

func count(r *replay.Result) numbers {
	return numbers{r.Requests, r.Blocks, r.PrefixHits, r.StoredBlocks, r.LoadedBytes / blockBytes, r.VerifyFailures, r.Failures}
}

func TestReplayCountsHits(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		reqs []trace.Request
		want numbers
	}{
		{"no requests", nil, numbers{}},
		{"a request without blocks is a request", requests(nil, nil), numbers{Requests: 2}},
		{"nothing is there at first", requests(ids{1, 2, 3}), numbers{Requests: 1, Blocks: 3, Stored: 3}},
		{"the prefix is loaded and the rest stored", requests(ids{1, 2}, ids{1, 2, 3}),
			numbers{Requests: 2, Blocks: 5, PrefixHits: 2, Stored: 3, Loaded: 2}},
		{"blocks after a hole are no hits and are not stored again", requests(ids{1, 3}, ids{1, 2, 3}),
			numbers{Requests: 2, Blocks: 5, PrefixHits: 1, Stored: 3, Loaded: 1}},
		{"a block that occurs twice is stored once", requests(ids{1, 2, 1, 2, 2}),
			numbers{Requests: 1, Blocks: 5, Stored: 2}},
		{"a block that occurs twice is loaded once and hits twice", requests(ids{1, 2}, ids{1, 2, 1, 3, 2}),
			numbers{Requests: 2, Blocks: 7, PrefixHits: 3, Stored: 3, Loaded: 2}},
		{"extreme ids", requests(ids{0, 1 << 63, ^trace.BlockID(0), 1<<53 + 1, 1 << 53}, ids{0, 1 << 63, ^trace.BlockID(0), 1<<53 + 1, 1 << 53}),
			numbers{Requests: 2, Blocks: 10, PrefixHits: 5, Stored: 5, Loaded: 5}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.want, count(start(t, tc.reqs, newFake(t))))
			require.Equal(t, tc.want, count(start(t, tc.reqs, newFake(t), newFake(t))), "two adapters count a block once")
		})
	}
}

func TestReplayOfAWarmAdapterHitsEverything(t *testing.T) {
	t.Parallel()
	adapter := newFake(t)
	reqs := trace.Generate(200, 1)
	start(t, reqs, adapter)
	again := start(t, reqs, adapter)
	require.Equal(t, again.Blocks, again.PrefixHits)
	require.Zero(t, again.StoredBlocks)
}

// oracle computes what a cache that forgets nothing must see.
func oracle(reqs []trace.Request) numbers {
	var want numbers
	there := map[trace.BlockID]bool{}
	for _, r := range reqs {
		want.Requests++
		want.Blocks += int64(len(r.Blocks))
		leading := true
		distinct := map[trace.BlockID]bool{}
		for _, id := range r.Blocks {
			leading = leading && there[id]
			if leading {
				want.PrefixHits++
				if !distinct[id] {
					want.Loaded++
				}
			}
			distinct[id] = true
		}
		for id := range distinct {
			if !there[id] {
				want.Stored++
				there[id] = true
			}
		}
	}
	return want
}

func TestReplayAgreesWithAnOracle(t *testing.T) {
	t.Parallel()
	reqs := trace.Generate(3000, 7)
	want := oracle(reqs)
	require.Greater(t, want.PrefixHits, want.Blocks/4, "the traffic must share prefixes")
	for _, adapters := range []int{1, 2} {
		for _, concurrency := range []int{1, 32} {
			t.Run(fmt.Sprintf("adapters=%d/concurrency=%d", adapters, concurrency), func(t *testing.T) {
				t.Parallel()
				fakes := []*fakeAdapter{newFake(t), newFake(t)}[:adapters]
				opts := options(t, reqs, fakes...)
				opts.Concurrency = concurrency
				var mu sync.Mutex
				called, moved := 0, int64(0)
				opts.OnRequest = func(_ int, n int64) {
					mu.Lock()
					defer mu.Unlock()
					called++
					moved += n
				}

				result, err := replay.Run(t.Context(), opts)

				require.NoError(t, err)
				got := count(result)
				if concurrency > 1 {
					// Requests that run at once may look a block up before it is
					// stored, how often is up to the scheduler. Nothing else may differ.
					require.LessOrEqual(t, got.PrefixHits, want.PrefixHits)
					require.Positive(t, got.PrefixHits)
					want := want
					want.PrefixHits, want.Loaded = got.PrefixHits, got.Loaded
					require.Equal(t, want, got)
				} else {
					require.Equal(t, want, got)
				}
				for _, f := range fakes {
					require.Len(t, f.values, int(want.Stored), "each adapter has every block")
				}
				require.Equal(t, len(reqs), called)
				require.Equal(t, result.LoadedBytes+result.StoredBytes, moved)
			})
		}
	}
}

func TestReplaySecondAdapterServesWhatTheFirstLacks(t *testing.T) {
	t.Parallel()
	first, second := newFake(t), newFake(t)
	start(t, requests(ids{1, 2, 3, 4}), second)
	start(t, requests(ids{1}), first)

	result := start(t, requests(ids{1, 2, 3, 4, 5}), first, second)

	require.Equal(t, numbers{Requests: 1, Blocks: 5, PrefixHits: 4, Stored: 1, Loaded: 4}, count(result))
	require.Equal(t, 1, first.loads)
	require.Equal(t, 3, second.loads)
	require.Len(t, first.values, 2, "blocks of the leading run are not copied between adapters")
	require.Len(t, second.values, 5)
}

func TestReplayStoresToTheAdapterThatLacksABlock(t *testing.T) {
	t.Parallel()
	first, second := newFake(t), newFake(t)
	start(t, requests(ids{3}), second)
	result := start(t, requests(ids{1, 2, 3}), first, second)
	require.Equal(t, numbers{Requests: 1, Blocks: 3, Stored: 3}, count(result))
	require.Len(t, first.values, 3)
	require.Len(t, second.values, 3)
}

func TestReplayReportsWrongBytes(t *testing.T) {
	t.Parallel()
	adapter := newFake(t)
	start(t, requests(ids{1, 2, 3}), adapter)
	calls := 0
	adapter.spoil = func(_ kv.Key, value []byte) {
		if calls++; calls == 2 {
			value[blockBytes-1] ^= 1
		}
	}

	result := start(t, requests(ids{1, 2, 3}), adapter)

	require.Equal(t, numbers{Requests: 1, Blocks: 3, PrefixHits: 1, Loaded: 3, Stored: 1, VerifyFailures: 1}, count(result),
		"the run ends at the wrong block, which is stored again")
	require.Contains(t, result.Problems[0], "fake0: block 2 is wrong from byte 99 on")
}

func TestReplayNoticesALoadThatWritesNothing(t *testing.T) {
	t.Parallel()
	adapter := newFake(t)
	adapter.spoil = func(_ kv.Key, value []byte) { clear(value) }
	result := start(t, requests(ids{1}, ids{1}), adapter)
	require.EqualValues(t, 1, result.VerifyFailures)
}

func TestReplayCountsLoadsThatFail(t *testing.T) {
	t.Parallel()
	adapter := newFake(t)
	start(t, requests(ids{1, 2, 3, 4}), adapter)
	failed := false
	adapter.failLoad = func(kv.Key) bool { // the first of all
		defer func() { failed = true }()
		return !failed
	}
	result := start(t, requests(ids{1, 2, 3, 4}), adapter)
	require.Equal(t, numbers{Requests: 1, Blocks: 4, Loaded: 3, Stored: 1, Failures: 1}, count(result))
	require.Contains(t, result.Problems[0], "block 1 was locked and did not load")
}

func TestReplayCountsStoresThatFail(t *testing.T) {
	t.Parallel()
	t.Run("one block of a batch", func(t *testing.T) {
		t.Parallel()
		adapter := newFake(t)
		var bad kv.Key
		adapter.failStore = func(key kv.Key) bool {
			if bad == (kv.Key{}) {
				bad = key
			}
			return key == bad
		}
		result := start(t, requests(ids{1, 2, 3}), adapter)
		require.Equal(t, numbers{Requests: 1, Blocks: 3, Stored: 2, Failures: 1}, count(result))
	})
	t.Run("one of two adapters", func(t *testing.T) {
		t.Parallel()
		bad, good := newFake(t), newFake(t)
		bad.failStore = func(kv.Key) bool { return true }
		result := start(t, requests(ids{1, 2}, ids{1, 2}), bad, good)
		require.Equal(t, numbers{Requests: 2, Blocks: 4, PrefixHits: 2, Loaded: 2, Stored: 2, Failures: 2}, count(result))
	})
}

func TestReplayCountsLookupsThatFail(t *testing.T) {
	t.Parallel()
	adapter := newFake(t)
	adapter.failLookup = func(call int) error {
		if call == 2 {
			return &kv.Error{Op: "lookup", Code: kv.Timeout}
		}
		return nil
	}
	result := start(t, requests(ids{1}, ids{1}, ids{1}), adapter)
	require.Equal(t, numbers{Requests: 3, Blocks: 3, PrefixHits: 1, Loaded: 1, Stored: 2, Failures: 1}, count(result))
}

func TestReplayWaitsWhileTheQueueIsFull(t *testing.T) {
	t.Parallel()
	adapter := newFake(t)
	adapter.busy = 3
	result := start(t, requests(ids{1}, ids{1}), adapter)
	require.Equal(t, numbers{Requests: 2, Blocks: 2, PrefixHits: 1, Loaded: 1, Stored: 1}, count(result))
}

func TestReplayEndsWhenTheAdapterIsClosed(t *testing.T) {
	t.Parallel()
	adapter := newFake(t)
	adapter.failLookup = func(int) error { return &kv.Error{Op: "lookup", Code: kv.Closed} }
	_, err := replay.Run(t.Context(), options(t, requests(ids{1}, ids{2}), adapter))
	require.ErrorIs(t, err, kv.Closed)
}

func TestReplayEndsWithItsContext(t *testing.T) {
	t.Parallel()
	adapter := newFake(t)
	reqs := requests(ids{1}, ids{2}, ids{1}, ids{2})
	adapter.block = make(chan struct{}) // the third request never loads
	ctx, cancel := context.WithCancel(t.Context())
	opts := options(t, reqs, adapter)
	done := 0
	opts.OnRequest = func(int, int64) {
		if done++; done == 2 {
			time.AfterFunc(10*time.Millisecond, cancel)
		}
	}

	result, err := replay.Run(ctx, opts)

	require.NoError(t, err)
	require.True(t, result.Interrupted)
	require.Equal(t, numbers{Requests: 2, Blocks: 2, Stored: 2}, count(result))
}

func TestReplayLargeRequestsGoInBatches(t *testing.T) {
	t.Parallel()
	var long ids
	for i := range 1000 {
		long = append(long, trace.BlockID(i))
	}
	adapter := newFake(t)
	result := start(t, requests(long, long), adapter)
	require.Equal(t, numbers{Requests: 2, Blocks: 2000, PrefixHits: 1000, Loaded: 1000, Stored: 1000}, count(result))
	require.Equal(t, 4, adapter.stores)
}

func TestReplayChecksItsOptions(t *testing.T) {
	t.Parallel()
	_, err := replay.Run(t.Context(), replay.Options{})
	require.Error(t, err)
}

func TestReplayReportsMissingMemory(t *testing.T) {
	t.Parallel()
	opts := options(t, requests(ids{1}), newFake(t))
	var err error
	opts.Arena, err = arena.New(arena.Options{MaxBytes: arena.PageSize})
	require.NoError(t, err)
	_, err = replay.Run(t.Context(), opts)
	require.True(t, errors.Is(err, arena.ErrNoMemory), err)
}

func TestResultHasExactlyTheDocumentedKeys(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(start(t, requests(ids{1}, ids{1}), newFake(t)))
	require.NoError(t, err)
	var result map[string]any
	require.NoError(t, json.Unmarshal(text, &result))
	require.ElementsMatch(t, []string{"requests", "blocks", "prefix_hits", "hit_rate", "stored_blocks", "stored_bytes",
		"loaded_bytes", "verify_failures", "failures", "latency_us", "seconds"}, keys(result))
	latency := result["latency_us"].(map[string]any)
	require.ElementsMatch(t, []string{"lookup", "load", "store"}, keys(latency))
	for _, op := range latency {
		require.ElementsMatch(t, []string{"p50", "p99", "max"}, keys(op.(map[string]any)))
		require.Positive(t, op.(map[string]any)["max"])
	}
	require.InDelta(t, 0.5, result["hit_rate"], 1e-9)
}

func keys(m map[string]any) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	return out
}
