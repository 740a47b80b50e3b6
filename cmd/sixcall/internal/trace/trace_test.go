package trace_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/cmd/sixcall/internal/trace"
)

func TestReadAcceptsMooncakeLines(t *testing.T) {
	t.Parallel()
	const text = "\xef\xbb\xbf" + `{"timestamp": 0, "input_length": 6758, "output_length": 500, "hash_ids": [0, 1, 2]}
{"hash_ids":[]}

 {"timestamp":27.5,"input_length":3,"output_length":0,"hash_ids":[ 9007199254740993 , -9223372036854775808,9223372036854775807,-1],"chat_id":"x"}` + "\r\n"
	got, err := trace.Read(strings.NewReader(text), "t.jsonl", 0)
	require.NoError(t, err)
	require.Equal(t, []trace.Request{
		{Blocks: []trace.BlockID{0, 1, 2}},
		{},
		{Blocks: []trace.BlockID{1<<53 + 1, 1 << 63, 1<<63 - 1, 1<<64 - 1}},
	}, got)
}

func TestReadAcceptsUnsignedIDs(t *testing.T) {
	t.Parallel()
	got, err := trace.Read(strings.NewReader(`{"hash_ids":[18446744073709551615]}`), "t", 0)
	require.NoError(t, err)
	require.Equal(t, []trace.Request{{Blocks: []trace.BlockID{1<<64 - 1}}}, got)
}

func TestReadReportsBrokenLines(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, line string
		want       []string
	}{
		{"not JSON", `{"hash_ids": [1,]}`, []string{"not JSON at byte 17", "want one object"}},
		{"cut off", `{"hash_ids": [1`, []string{"not JSON at byte 15"}},
		{"NaN", `{"timestamp": NaN, "hash_ids": []}`, []string{"not JSON at byte 15"}},
		{"an array", `[1]`, []string{"not a JSON object"}},
		{"null", `null`, []string{"not a JSON object"}},
		{"two objects", `{"hash_ids":[1]} {"hash_ids":[1]}`, []string{"not JSON at byte 18"}},
		{"no ids", `{"timestamp":1}`, []string{"hash_ids is missing, want an array of 64-bit integers"}},
		{"null ids", `{"hash_ids":null}`, []string{"hash_ids is null, want an array"}},
		{"text ids", `{"hash_ids":"1"}`, []string{`hash_ids is "1", want an array`}},
		{"a fraction", `{"hash_ids":[1, 2.0]}`, []string{"hash_ids[1] is 2.0, want a 64-bit integer"}},
		{"an exponent", `{"hash_ids":[1e3]}`, []string{"hash_ids[0] is 1e3"}},
		{"a string", `{"hash_ids":[1, "2"]}`, []string{`hash_ids[1] is "2"`}},
		{"a list", `{"hash_ids":[1, [2]]}`, []string{`hash_ids[1] is [2], want`}},
		{"too large", `{"hash_ids":[18446744073709551616]}`, []string{"hash_ids[0] is 18446744073709551616"}},
		{"too small", `{"hash_ids":[-9223372036854775809]}`, []string{"hash_ids[0] is -9223372036854775809"}},
		{"signed and unsigned", `{"hash_ids":[-1, 18446744073709551615]}`, []string{"not both in one trace"}},
		{"wrong numbers", `{"timestamp":"1","input_length":-1,"output_length":[],"hash_ids":[]}`,
			[]string{`timestamp is "1"`, "input_length is -1", "output_length is []", "want a number, 0 or more"}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := trace.Read(strings.NewReader(`{"hash_ids":[1]}`+"\n"+tc.line+"\n"), "some.jsonl", 0)
			require.Error(t, err)
			require.True(t, strings.HasPrefix(err.Error(), "some.jsonl:2: "), err)
			require.NotContains(t, err.Error(), "\n")
			for _, want := range tc.want {
				require.ErrorContains(t, err, want)
			}
		})
	}
}

func TestReadReportsTenBrokenLines(t *testing.T) {
	t.Parallel()
	_, err := trace.Read(strings.NewReader(strings.Repeat("x\n", 100)), "t", 0)
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, 11)
	require.True(t, strings.HasPrefix(lines[9], "t:10: "))
	require.Contains(t, lines[10], "stops")
}

func TestReadStopsAtTheLimit(t *testing.T) {
	t.Parallel()
	got, err := trace.Read(strings.NewReader(strings.Repeat(`{"hash_ids":[1]}`+"\n", 3)+"broken"), "t", 2)
	require.NoError(t, err)
	require.Len(t, got, 2)
}

func TestReadRefusesAnEmptyTrace(t *testing.T) {
	t.Parallel()
	_, err := trace.Read(strings.NewReader("\n\n"), "t", 0)
	require.ErrorContains(t, err, "t: no requests")
}

func TestReadFile(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "t.jsonl")
	_, err := trace.ReadFile(name, 0)
	require.ErrorIs(t, err, os.ErrNotExist)
	// One line longer than any buffer.
	long := `{"hash_ids":[1` + strings.Repeat(",2", 200_000) + "]}"
	require.NoError(t, os.WriteFile(name, []byte(long), 0o600))
	got, err := trace.ReadFile(name, 0)
	require.NoError(t, err)
	require.Len(t, got[0].Blocks, 200_001)
}

func TestGenerateIsDeterministic(t *testing.T) {
	t.Parallel()
	all := trace.Generate(1000, 1)
	require.Equal(t, all, trace.Generate(1000, 1))
	require.Equal(t, all[:100], trace.Generate(100, 1), "a shorter trace is the start of a longer one")
	require.NotEqual(t, all, trace.Generate(1000, 2))
	// Fixed for ever: backends may hold the blocks of an earlier release.
	require.Equal(t, "[1f19b669ed0688ec d4c9f7231575c736 352c31c328e108f2 388f4826d8ff672e 33540bb1b08639a 6bcd74b4d4658f44]",
		fmt.Sprintf("%x", all[2].Blocks))
	require.Empty(t, trace.Generate(0, 1))
}

func TestGenerateLooksLikeChat(t *testing.T) {
	t.Parallel()
	reqs := trace.Generate(2000, 1)
	owner := map[trace.BlockID]trace.BlockID{}
	empty, shared, blocks := 0, 0, 0
	for _, r := range reqs {
		if len(r.Blocks) == 0 {
			empty++
		}
		before := trace.BlockID(0)
		for _, id := range r.Blocks {
			blocks++
			if parent, seen := owner[id]; seen {
				shared++
				require.Equal(t, parent, before, "a block stands for all the text up to its end")
			}
			owner[id] = before
			before = id
		}
	}
	require.Positive(t, empty, "some prompts are shorter than a block")
	require.Greater(t, shared, blocks/3)
	require.Less(t, shared, blocks*19/20)
}

func FuzzRead(f *testing.F) {
	for _, seed := range []string{`{"hash_ids":[1,-2]}`, `{"timestamp":1,"hash_ids":[]}`, "null\n", `{"hash_ids":[1,,2]}`, "\xef\xbb\xbf{}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		reqs, err := trace.Read(strings.NewReader(text), "fuzz", 0)
		if err != nil {
			require.True(t, strings.HasPrefix(err.Error(), "fuzz:"), err)
			return
		}
		require.NotEmpty(t, reqs)
	})
}
