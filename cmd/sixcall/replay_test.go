package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge/bridgetest"
	"github.com/sixcall/sixcall/bridge/kv"
	"github.com/sixcall/sixcall/cmd/sixcall/internal/replay"
	"github.com/sixcall/sixcall/cmd/sixcall/internal/trace"
)

// writeTrace writes a trace file of the lines.
func writeTrace(t *testing.T, lines ...string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "t.jsonl")
	require.NoError(t, os.WriteFile(name, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
	return name
}

func decode(t *testing.T, text string) replay.Result {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(text))
	dec.DisallowUnknownFields()
	var r replay.Result
	require.NoError(t, dec.Decode(&r), text)
	require.False(t, dec.More(), "one JSON value and nothing else")
	return r
}

func TestReplayOfATrace(t *testing.T) {
	t.Parallel()
	name := writeTrace(t,
		`{"timestamp":0,"input_length":1024,"output_length":1,"hash_ids":[9007199254740993,-5]}`,
		`{"timestamp":1,"input_length":10,"output_length":1,"hash_ids":[]}`,
		`{"timestamp":2,"input_length":1536,"output_length":1,"hash_ids":[9007199254740993,-5,-5,7]}`)
	for adapters := 1; adapters <= 2; adapters++ {
		line := []string{"replay", "--trace", name, "--block-bytes", "1000", "--format", "json"}
		var conns []*bridgetest.Connector
		for range adapters {
			conns = append(conns, bridgetest.NewConnector(t))
			line = append(line, "--l2-adapter", defaultAdapter)
		}
		got := sixcall(line, conns...)
		require.Equal(t, exitOK, got.code, got.stderr)
		require.Empty(t, got.stderr)
		r := decode(t, got.stdout)
		require.EqualValues(t, []int64{3, 6, 3, 3, 3000, 2000, 0, 0},
			[]int64{r.Requests, r.Blocks, r.PrefixHits, r.StoredBlocks, r.StoredBytes, r.LoadedBytes, r.VerifyFailures, r.Failures})
	}
}

func TestReplayOverTheEngineAgreesWithASimulation(t *testing.T) {
	t.Parallel()
	for _, concurrency := range []string{"1", "32"} {
		t.Run("concurrency="+concurrency, func(t *testing.T) {
			t.Parallel()
			// A plain simulation of a cache that forgets nothing.
			there := map[trace.BlockID]bool{}
			blocks, hits := 0, 0
			for _, r := range trace.Generate(1500, 3) {
				leading := true
				for _, id := range r.Blocks {
					blocks++
					if leading = leading && there[id]; leading {
						hits++
					}
				}
				for _, id := range r.Blocks {
					there[id] = true
				}
			}

			got := sixcall([]string{"replay", "--requests", "1500", "--seed", "3", "--block-bytes", "5000",
				"--concurrency", concurrency, "--format", "json"}, bridgetest.NewConnector(t))

			require.Equal(t, exitOK, got.code, got.stderr)
			r := decode(t, got.stdout)
			require.EqualValues(t, 1500, r.Requests)
			require.EqualValues(t, blocks, r.Blocks)
			require.EqualValues(t, len(there), r.StoredBlocks)
			require.Zero(t, r.VerifyFailures)
			require.Zero(t, r.Failures)
			if concurrency == "1" {
				require.EqualValues(t, hits, r.PrefixHits)
			} else {
				require.LessOrEqual(t, r.PrefixHits, int64(hits))
			}
		})
	}
}

// TestConversationTrace replays the public trace when $SIXCALL_TRACE names it;
// it is not part of the repository.
func TestConversationTrace(t *testing.T) {
	t.Parallel()
	name := os.Getenv("SIXCALL_TRACE")
	if name == "" {
		t.Skip("$SIXCALL_TRACE does not name conversation_trace.jsonl of Mooncake's FAST '25 release")
	}
	for _, adapters := range []int{1, 2} {
		line := []string{"replay", "--trace", name, "--block-bytes", "128", "--format", "json"}
		var conns []*bridgetest.Connector
		for range adapters {
			conns = append(conns, bridgetest.NewConnector(t))
			line = append(line, "--l2-adapter", defaultAdapter)
		}
		got := sixcall(line, conns...)
		require.Equal(t, exitOK, got.code, got.stderr)
		r := decode(t, got.stdout)
		require.EqualValues(t, []int64{12_031, 288_500, 105_710, 182_790, 0, 0},
			[]int64{r.Requests, r.Blocks, r.PrefixHits, r.StoredBlocks, r.VerifyFailures, r.Failures})
	}
}

func TestReplayShowsATableThatExplainsItself(t *testing.T) {
	t.Parallel()
	name := writeTrace(t, `{"hash_ids":[1,2,3]}`, `{"hash_ids":[1,2,3]}`)
	got := sixcall([]string{"replay", "--trace", name}, bridgetest.NewConnector(t))
	require.Equal(t, exitOK, got.code, got.stderr)
	require.Empty(t, got.stderr, "no progress bar without a terminal")
	for _, want := range []string{
		"replay of t.jsonl over mem", "requests", "blocks", "prefix hits", "hit rate", "50.0 %", "stored", "loaded",
		"verify failures", "failures", "lookup", "p50", "p99", "max", "GB/s",
		"50.0 % of the prompt blocks came from the cache instead of being computed again, and every byte was right.\n",
	} {
		require.Contains(t, got.stdout, want)
	}
}

func TestReplayFailsOnWrongBytes(t *testing.T) {
	t.Parallel()
	name := writeTrace(t, `{"hash_ids":[1,2]}`, `{"hash_ids":[1,2]}`)
	conn := bridgetest.NewConnector(t)
	conn.OnComplete = func(b *kv.Batch, _ *kv.Completion) {
		if b.Op == kv.OpGet {
			b.Bufs[1][4095] ^= 1
		}
	}
	got := sixcall([]string{"replay", "--trace", name, "--format", "json"}, conn)
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.stderr, "block 2 is wrong from byte 4095 on")
	require.Contains(t, got.stderr, "1 block was loaded with wrong bytes")
	require.EqualValues(t, 1, decode(t, got.stdout).VerifyFailures)

	conn = bridgetest.NewConnector(t)
	conn.OnComplete = func(b *kv.Batch, _ *kv.Completion) {
		if b.Op == kv.OpGet {
			clear(b.Bufs[0])
		}
	}
	got = sixcall([]string{"replay", "--trace", name}, conn)
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.stdout, "FAILED: 1 block came back with wrong bytes; a model served from this cache would have read wrong text.")
}

func TestReplayCountsFailuresAndSucceeds(t *testing.T) {
	t.Parallel()
	name := writeTrace(t, `{"hash_ids":[1,2]}`, `{"hash_ids":[1,2]}`, `{"hash_ids":[3]}`)
	t.Run("a load that fails", func(t *testing.T) {
		t.Parallel()
		conn := bridgetest.NewConnector(t)
		conn.OnComplete = func(b *kv.Batch, _ *kv.Completion) {
			if b.Op == kv.OpGet {
				b.Status[1] = kv.StatusError
			}
		}
		got := sixcall([]string{"replay", "--trace", name, "--format", "json"}, conn)
		require.Equal(t, exitOK, got.code, got.stderr)
		r := decode(t, got.stdout)
		require.EqualValues(t, []int64{1, 1, 0}, []int64{r.PrefixHits, r.Failures, r.VerifyFailures})
		require.Contains(t, got.stderr, "block 2 was locked and did not load")
	})
	t.Run("a store that fails", func(t *testing.T) {
		t.Parallel()
		conn := bridgetest.NewConnector(t)
		conn.OnSubmit = func(b *kv.Batch) error {
			if b.Op == kv.OpSet && b.Len() == 2 {
				return &kv.Error{Op: "set", Code: kv.IO}
			}
			return nil
		}
		got := sixcall([]string{"replay", "--trace", name}, conn)
		require.Equal(t, exitOK, got.code, got.stderr)
		require.Contains(t, got.stdout, "there were 4 failures")
	})
}

func TestReplayReportsABrokenTrace(t *testing.T) {
	t.Parallel()
	name := writeTrace(t, `{"hash_ids":[1]}`, `{"hash_ids":["x"]}`)
	got := sixcall([]string{"replay", "--trace", name}, nil...)
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.stderr, name+`:2: hash_ids[0] is "x", want a 64-bit integer`)
}

func TestReplayReportsAnAdapterThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	// The first opens and must be closed when the second does not.
	got := sixcall([]string{"replay", "--l2-adapter", defaultAdapter, "--l2-adapter", defaultAdapter}, bridgetest.NewConnector(t))
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.stderr, "the library cannot be found")
}

func TestReplayWritesTheResultToAFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "result.json")
	require.NoError(t, os.WriteFile(file, []byte("old"), 0o600))
	got := sixcall([]string{"replay", "--requests", "5", "--format", "json", "--output", file}, bridgetest.NewConnector(t))
	require.Equal(t, exitOK, got.code, got.stderr)
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, got.stdout, string(data))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1, "no temporary file is left")

	got = sixcall([]string{"replay", "--requests", "5", "--output", filepath.Join(dir, "no", "such", "folder")}, bridgetest.NewConnector(t))
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.stderr, "write the result")
}

// Not parallel: the signal is for the whole process.
func TestReplayEndsWithAPartialResultOnASignal(t *testing.T) {
	conn := bridgetest.NewConnector(t)
	var submits atomic.Int64
	conn.OnSubmit = func(*kv.Batch) error {
		if submits.Add(1) == 500 {
			return syscall.Kill(syscall.Getpid(), syscall.SIGTERM)
		}
		return nil
	}
	var stdout, stderr bytes.Buffer
	code := run(args("replay --requests 200000 --block-bytes 8 --format json"), testApp(&stdout, &stderr, conn))
	require.Equal(t, exitFailed, code)
	r := decode(t, stdout.String())
	require.Positive(t, r.Requests)
	require.Less(t, r.Requests, int64(200_000))
	require.Zero(t, r.VerifyFailures)
	require.Contains(t, stderr.String(), "of 200000 requests, the result is partial")
}
