package eviction

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"github.com/sixcall/sixcall/adapters/l2/eviction/quota"
	"github.com/sixcall/sixcall/bridge/kv"
)

// goal is how much to evict, of one salt when the policy keeps salts apart.
type goal struct {
	salt string
	want Want
}

// watermarkGoal says what a global policy has to evict at a usage; nothing below
// the watermark.
func watermarkGoal(u kv.Usage, c Config, tracked int) []goal {
	if f := u.Fraction(); f < 0 || f < c.TriggerWatermark || c.EvictionRatio == 0 {
		return nil
	}
	// keep is the most that is below the watermark.
	keep := int64(c.TriggerWatermark * float64(u.BytesCapacity))
	for keep > 0 && float64(keep)/float64(u.BytesCapacity) >= c.TriggerWatermark {
		keep--
	}
	return []goal{{want: Want{
		Keys:   TargetKeys(tracked, c.EvictionRatio),
		Bytes:  u.BytesUsed - keep,
		Assume: mean(u.BytesUsed, max(u.Keys, int64(tracked))),
	}}}
}

// quotaGoals says what has to go of each salt. A salt without a quota goes whole.
func quotaGoals(u kv.Usage, c Config, quotas *quota.Manager, policy SaltPolicy) []goal {
	var goals []goal
	for _, salt := range slices.Sorted(maps.Keys(u.BytesBySalt)) {
		used, limit, tracked := u.BytesBySalt[salt], quotas.Limit(salt), policy.LenOf(salt)
		switch {
		case used <= 0 || float64(used) < c.TriggerWatermark*float64(limit):
		case limit == 0:
			goals = append(goals, goal{salt, Want{Keys: tracked}})
		case c.EvictionRatio > 0:
			goals = append(goals, goal{salt, Want{
				Keys:   TargetKeys(tracked, c.EvictionRatio),
				Bytes:  used - limit,
				Assume: mean(used, int64(tracked)),
			}})
		}
	}
	return goals
}

// roomGoals says which salts give way when bytes must go whatever the quotas
// are: those that use most of theirs, all down to the same part of it.
func roomGoals(u kv.Usage, bytes int64, quotas *quota.Manager, policy SaltPolicy) []goal {
	type share struct {
		salt        string
		used, limit float64
	}
	part := func(s share) float64 { // of the quota; without one it is infinite
		if s.limit == 0 {
			return math.Inf(1)
		}
		return s.used / s.limit
	}
	var shares []share
	for salt, used := range u.BytesBySalt {
		shares = append(shares, share{salt, float64(used), float64(quotas.Limit(salt))})
	}
	slices.SortFunc(shares, func(a, b share) int {
		return cmp.Or(cmp.Compare(part(b), part(a)), cmp.Compare(a.salt, b.salt))
	})
	// The level falls from salt to salt until those above it have enough to give.
	var used, limit, level float64
	n, enough := 0, false
	for n < len(shares) && !enough {
		used += shares[n].used
		limit += shares[n].limit
		n++
		next := 0.0
		if n < len(shares) {
			next = part(shares[n])
		}
		if math.IsInf(next, 1) {
			continue // salts without a quota give all they have before others give
		}
		if enough = used-next*limit >= float64(bytes); enough && limit > 0 {
			level = (used - float64(bytes)) / limit
		}
	}
	var goals []goal
	left := bytes
	for _, s := range shares[:n] {
		give := min(int64(math.Ceil(s.used-level*s.limit)), left)
		if give <= 0 {
			continue
		}
		left -= give
		goals = append(goals, goal{s.salt, Want{Bytes: give, Assume: mean(int64(s.used), int64(policy.LenOf(s.salt)))}})
	}
	return goals
}

// mean is the average size of keys, at least 1 byte.
func mean(bytes, keys int64) int64 { return max(bytes/max(keys, 1), 1) }
