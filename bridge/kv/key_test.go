package kv_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/bridge/kv"
)

var plain = kv.Key{ChunkHash: "\x00\x01\x02\x03", Model: "llama", KVRank: 255}

// The vectors are those of the contract (rows 1 to 4).
func TestTextForm(t *testing.T) {
	salted := plain
	salted.ObjectGroup, salted.Salt = 5, "alice"
	tests := []struct {
		name string
		key  kv.Key
		want string
	}{
		{"row 1: plain", plain, "llama@000000ff@0@00010203"},
		{"row 2: group and salt", salted, "llama@000000ff@5@00010203@alice"},
		{"row 4: wide rank", kv.Key{ChunkHash: "\xab", Model: "m", KVRank: 1 << 40, ObjectGroup: 300, Salt: "s"}, "m@10000000000@12c@ab@s"},
		{"empty model and hash", kv.Key{}, "@00000000@0@"},
		{"negative rank", kv.Key{Model: "m", KVRank: -1}, "m@-0000001@0@"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			require.Equal(t, tc.want, tc.key.String())
			got, err := kv.ParseKey(tc.want)
			require.NoError(t, err)
			require.Equal(t, tc.key, got)
		})
	}
	require.Equal(t, 3, strings.Count(plain.String(), "@"), "row 3: no salt, no fifth field")
}

func TestKeyRules(t *testing.T) {
	tests := []struct {
		name string
		key  kv.Key
		want string // "" = legal
	}{
		{"row 5: @ in the model", kv.Key{Model: "a@b"}, "model_name"},
		{"row 6: @ in the salt", kv.Key{Salt: "a@b"}, "cache_salt"},
		{"row 6: / in the salt", kv.Key{Salt: "a/b"}, "cache_salt"},
		{"row 6: \\ in the salt", kv.Key{Salt: `a\b`}, "cache_salt"},
		{"row 6: NUL in the salt", kv.Key{Salt: "a\x00b"}, "cache_salt"},
		{"row 7: 128 characters of salt", kv.Key{Salt: strings.Repeat("é", 128)}, ""},
		{"row 7: 129 characters of salt", kv.Key{Salt: strings.Repeat("é", 129)}, "129 characters"},
		{"row 8: negative group", kv.Key{ObjectGroup: -1}, "object_group_id is -1"},
		{"anything else in the model", kv.Key{Model: "a/b\x00 c"}, ""},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			err := tc.key.Validate()
			if tc.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, kv.Invalid)
			require.ErrorContains(t, err, tc.want)
		})
	}
}

func TestRow9SaltsMakeDifferentKeys(t *testing.T) {
	a, b := plain, plain
	a.Salt, b.Salt = "a", "b"
	require.NotEqual(t, a, b)
	require.NotEqual(t, a.String(), b.String())
}

func TestRow10KVRank(t *testing.T) {
	require.Equal(t, int64(0x08050401), kv.ComputeKVRank(8, 5, 4, 1))
	require.Equal(t, int64(8), kv.WorldSizeFromKVRank(0x08050401))
	require.Equal(t, int64(0x12c052c01), kv.ComputeKVRank(300, 5, 300, 1), "wide numbers bleed, as in LMCache")
}

func TestFileName(t *testing.T) {
	name := func(k kv.Key) string {
		s, err := k.FileName()
		require.NoError(t, err)
		return s
	}
	require.Equal(t, "meta-SEP-llama@0x01000100@0@abcd.data",
		name(kv.Key{ChunkHash: "\xab\xcd", Model: "meta/llama", KVRank: 0x01000100}), "row 11")

	// Row 12: models that collide in LMCache do not here, and every name parses
	// back to its key.
	seen := map[string]string{}
	for _, model := range []string{"a/b", "a-SEP-b", "a-SEP/b", "a/SEP-b", "a-SEP-SEP-b", "a%2DSEP-b", "a%b", "a%25b", "a\x00b", "-", "", "/", "a-b"} {
		k := kv.Key{ChunkHash: "\x01", Model: model, KVRank: -5, Salt: "s"}
		n := name(k)
		require.NotContains(t, n, "/")
		require.NotContains(t, n, "\x00")
		require.NotContains(t, seen, n, "%q and %q share a file", model, seen[n])
		seen[n] = model
		got, ok := kv.ParseFileName(n)
		require.True(t, ok, n)
		require.Equal(t, k, got)
	}

	for _, bad := range []string{"m@0x0@0@ab@s@t.data", "m@0x0@0@ab.data.tmp", "m@0x0@0@xyz.data", "m@0x0@-1@ab.data", "m.data", ""} {
		_, ok := kv.ParseFileName(bad)
		require.False(t, ok, "row 13: %q", bad)
	}
	got, ok := kv.ParseFileName("m@ff@0@ab@.data")
	require.True(t, ok, "no 0x, and an empty salt field")
	require.Equal(t, kv.Key{ChunkHash: "\xab", Model: "m", KVRank: 255}, got)

	_, err := kv.Key{ChunkHash: strings.Repeat("x", 200)}.FileName()
	require.ErrorContains(t, err, "want at most 255")
}

func TestJSONForm(t *testing.T) {
	salted := plain
	salted.Salt = "s"
	data, err := json.Marshal(salted)
	require.NoError(t, err)
	require.JSONEq(t, `{"chunk_hash_hex":"00010203","model_name":"llama","kv_rank":255,"object_group_id":0,"cache_salt":"s"}`, string(data))
	var got kv.Key
	require.NoError(t, json.Unmarshal([]byte(`{"chunk_hash_hex":"00 01 0203","model_name":"llama","kv_rank":255}`), &got))
	require.Equal(t, plain, got)
	require.NoError(t, json.Unmarshal([]byte(`{"chunk_hash_hex":"AB"}`), &got))
	require.Equal(t, "\xab", got.ChunkHash)
	for _, bad := range []string{`{"chunk_hash_hex":"0"}`, `{"chunk_hash_hex":"0 0"}`, `{"chunk_hash_hex":"zz"}`, `{"model_name":"a@b"}`} {
		require.ErrorIs(t, json.Unmarshal([]byte(bad), &got), kv.Invalid, bad)
	}
}

func FuzzParseKey(f *testing.F) {
	for _, seed := range []string{"llama@000000ff@0@00010203", "m@10000000000@12c@ab@s", "@-0000001@0@", "a@b@c@d@e@f"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		k, err := kv.ParseKey(text)
		if err != nil {
			return
		}
		if k.String() != text {
			t.Fatalf("%q parses to a key whose text is %q", text, k.String())
		}
	})
}

func FuzzFileName(f *testing.F) {
	f.Add("meta/llama", "\xab", int64(1), "s")
	f.Add("a-SEP-b%", "", int64(-9), "")
	f.Fuzz(func(t *testing.T, model, hash string, rank int64, salt string) {
		k := kv.Key{ChunkHash: hash, Model: model, KVRank: rank, Salt: salt}
		name, err := k.FileName()
		if err != nil || rank == -1<<63 {
			return
		}
		got, ok := kv.ParseFileName(name)
		if !ok || got != k {
			t.Fatalf("%+v becomes %q, which parses to %+v, %v", k, name, got, ok)
		}
	})
}
