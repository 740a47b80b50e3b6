package tier_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sixcall/sixcall/adapters/l2"
	"github.com/sixcall/sixcall/adapters/l2/tier"
	"github.com/sixcall/sixcall/bridge/bridgetest"
)

// BenchmarkPrefetch measures one prefetch from request to released result over
// members that have every key, complete at once and move no bytes, so the number
// is the cost of tier and bridge. The first member serves everything.
func BenchmarkPrefetch(b *testing.B) {
	for _, members := range []int{1, 4} {
		for _, keys := range []int{1, 16, 256} {
			b.Run(fmt.Sprintf("members=%d/keys=%d", members, keys), func(b *testing.B) {
				tr := tier.New(tier.Options{})
				for i := range members {
					a, err := l2.New(bridgetest.NewNull(b), l2.Options{Arena: tr.Arena()})
					require.NoError(b, err)
					_, err = tr.Add(fmt.Sprint(i), a, tier.MemberOptions{})
					require.NoError(b, err)
				}
				req := tier.List(bridgetest.Keys(keys), 4096)
				b.ReportAllocs()
				for b.Loop() {
					r, err := tr.Prefetch(background, req)
					if err != nil || r.PrefixLen != keys {
						b.Fatal(r.PrefixLen, err)
					}
					r.Release()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*keys), "ns/key")
				require.NoError(b, tr.Close())
			})
		}
	}
}
