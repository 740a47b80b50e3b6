package quota_test

import (
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/l2/eviction/quota"
	"github.com/sixcall/sixcall/bridge/kv"
)

func TestManager(t *testing.T) {
	t.Run("an unregistered salt has the limit 0 and is exempt from the effective one", func(t *testing.T) {
		m := &quota.Manager{}
		require.Zero(t, m.Limit("a"))
		require.False(t, m.Has("a"))
		_, limited := m.EffectiveLimit("a")
		require.False(t, limited)
		require.False(t, m.Delete("a"))
		require.Equal(t, []quota.Entry{}, m.List())
	})
	t.Run("0 is a limit, a negative one is refused", func(t *testing.T) {
		m := &quota.Manager{}
		require.NoError(t, m.Set("a", 0))
		require.True(t, m.Has("a"))
		require.ErrorIs(t, m.Set("a", -1), kv.Invalid)
		require.ErrorIs(t, m.SetGB("a", -0.5), kv.Invalid)
		require.ErrorIs(t, m.SetGB("a", math.NaN()), kv.Invalid)
		require.ErrorIs(t, m.SetGB("a", math.Inf(1)), kv.Invalid)
		require.ErrorIs(t, m.SetGB("a", 1e30), kv.Invalid)
		limit, limited := m.EffectiveLimit("a")
		require.True(t, limited)
		require.Zero(t, limit, "what was refused changed nothing")
	})
	t.Run("a salt that no key can have is refused", func(t *testing.T) {
		m := &quota.Manager{}
		require.ErrorIs(t, m.Set("a/b", 1), kv.Invalid)
		require.ErrorIs(t, m.Set(strings.Repeat("x", 129), 1), kv.Invalid)
		require.NoError(t, m.Set("", 1), "the shared space has a quota like any other")
	})
	t.Run("the default is for salts without a limit of their own", func(t *testing.T) {
		m := &quota.Manager{}
		require.NoError(t, m.SetDefault(7))
		require.NoError(t, m.Set("a", 5))
		for salt, want := range map[string]int64{"a": 5, "b": 7} {
			limit, limited := m.EffectiveLimit(salt)
			require.True(t, limited)
			require.Equal(t, want, limit)
		}
		require.Zero(t, m.Limit("b"), "eviction goes by registered limits")
		require.ErrorIs(t, m.SetDefault(-1), kv.Invalid)
		m.ClearDefault()
		_, limited := m.EffectiveLimit("b")
		require.False(t, limited)
	})
	t.Run("a listing is sorted and detached", func(t *testing.T) {
		m := &quota.Manager{}
		require.NoError(t, m.SetGB("b", 2.5))
		require.NoError(t, m.Set("a", 1))
		list := m.List()
		require.True(t, m.Delete("a"))
		require.False(t, m.Has("a"))
		require.Equal(t, []quota.Entry{{"a", 1}, {"b", 2_684_354_560}}, list)
	})
	t.Run("calls may come from many goroutines", func(t *testing.T) {
		m := &quota.Manager{}
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				for range 200 {
					_ = m.Set(string(rune('a'+i)), 1)
					m.Limit("a")
					m.EffectiveLimit("b")
					m.List()
					m.Delete("c")
				}
			})
		}
		wg.Wait()
	})
}

func TestParseLimit(t *testing.T) {
	for _, tc := range []struct{ name, body, want string }{
		{"row 125: NaN", `{"limit_gb": NaN}`, "not a JSON object"},
		{"row 125: -1", `{"limit_gb": -1}`, "limit_gb is -1, want 0 or more"},
		{"row 125: the field is missing", `{}`, "limit_gb is missing"},
		{"infinity", `{"limit_gb": Infinity}`, "not a JSON object"},
		{"a number that no float holds", `{"limit_gb": 1e999}`, "limit_gb is 1e999, want a finite number"},
		{"a number that no file system holds", `{"limit_gb": 1e18}`, "limit_gb is 1e+18, want less than"},
		{"null", `{"limit_gb": null}`, "limit_gb is null, want a number"},
		{"a number in a string", `{"limit_gb": "1"}`, `limit_gb is "1", want a number`},
		{"NaN in a string", `{"limit_gb": "NaN"}`, `limit_gb is "NaN", want a number`},
		{"a boolean", `{"limit_gb": true}`, "limit_gb is true, want a number"},
		{"another case", `{"LIMIT_GB": 1}`, "limit_gb is missing"},
		{"no object", `[1]`, "not a JSON object"},
		{"null body", `null`, "limit_gb is missing"},
		{"nothing", ``, "not a JSON object"},
		{"something behind", `{"limit_gb": 1} x`, "not a JSON object"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := quota.ParseLimit([]byte(tc.body))
			require.ErrorIs(t, err, kv.Invalid)
			require.ErrorContains(t, err, tc.want)
		})
	}
	for body, want := range map[string]int64{
		`{"limit_gb": 0}`:              0,
		`{"limit_gb": -0.0}`:           0,
		`{"limit_gb": 2.5}`:            2_684_354_560,
		`{"limit_gb":1e-9,"other":[]}`: 1, // 1.07 bytes
		` {"limit_gb": 1} `:            quota.GiB,
	} {
		limit, err := quota.ParseLimit([]byte(body))
		require.NoError(t, err, body)
		require.Equal(t, want, limit, body)
	}
}

func FuzzParseLimit(f *testing.F) {
	for _, seed := range []string{`{"limit_gb": 2.5}`, `{"limit_gb": NaN}`, `{"limit_gb": 1e999}`, `null`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		limit, err := quota.ParseLimit(body)
		if err == nil && limit < 0 {
			t.Fatalf("%s: limit %d", body, limit)
		}
	})
}
