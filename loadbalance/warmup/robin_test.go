// SPDX-License-Identifier: Apache-2.0

package warmup

import (
	"math"
	"sync"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/cluster/loadbalance"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/internal/meta"
)

func robin() loadbalance.LoadBalance {
	return extension.GetLoadbalance(constant.LoadBalanceKeyRoundRobin)
}

// counts makes n picks of round robin.
func counts(p *endpoint.Pool, method string, n int) map[*endpoint.Endpoint]int {
	got := map[*endpoint.Endpoint]int{}
	for range n {
		got[PickBy(robin(), p, callOf(method, 0))]++
	}
	return got
}

// TestRobinShares: weights 900 and 100 beside a newcomer of 500. When round robin was
// asked again among the warm ones, the light one had 0.0857 of the calls and not 0.0952.
// 100,000 picks, 5 sigma, which are 0.0046 there.
func TestRobinShares(t *testing.T) {
	const picks = 100_000
	pool, _ := build([]spec{{900, 0, 0}, {100, 0, 0}, {500, 0, time.Hour}})
	got := counts(pool, t.Name(), picks)
	// guard: (1500/1.5 - 1000)/500 = 0, so that f = 0.1
	for n, want := range []float64{900, 100, 50} {
		p := want / 1050
		if share := float64(got[pool.All()[n]]) / picks; math.Abs(share-p) > 5*math.Sqrt(p*(1-p)/picks) {
			t.Errorf("share of %d = %.4f, want %.4f", n, share, p)
		}
	}
}

// TestRobinHistory: round robin's counters outlive the list for which they were kept,
// and are moved by many callers at once. What they were left at costs a provider, once,
// at most what its callers could owe it: the weights of the old list for each of them,
// in calls of the new one. 16 lists, 8 callers at once; then 40,000 picks, 5 sigma.
func TestRobinHistory(t *testing.T) {
	const callers, picks, h = 8, 40_000, time.Hour
	method, before := t.Name(), 0.0
	for _, n := range []int{40, 3, 33, 2, 16, 9, 8, 6} {
		for _, window := range []time.Duration{0, h} {
			specs := make([]spec, n)
			for i := range specs {
				specs[i] = spec{weight: 1 + 99*(i%2)}
				if i%3 == 2 {
					specs[i].window = window
				}
			}
			p, _ := build(specs)
			before = max(before, p.Foreign().Weight)
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() { counts(p, method, 60) })
			}
			wg.Wait()
		}
	}
	pool, _ := build([]spec{{100, 0, 0}, {100, 0, 0}, {100, 95 * h / 100, h}, {100, 90 * h / 100, h}, {100, 45 * h / 100, h}, {100, 45 * h / 100, h}})
	got := counts(pool, method, picks)
	for n, want := range []float64{1, 1, 0.95, 0.9, 0.5, 0.5} { // as in TestPolicyShares
		p := want / 4.85
		tolerance := 5*math.Sqrt(p*(1-p)/picks) + callers*before/pool.Foreign().Weight/picks
		if share := float64(got[pool.All()[n]]) / picks; math.Abs(share-p) > tolerance {
			t.Errorf("share of %d = %.4f, want %.4f ± %.4f", n, share, p, tolerance)
		}
	}
}

// TestRobinHeaviest: the sum of the heaviest weights that a list can have does not upset
// the counters: when all are alike again, all have the same. Without a bound, 2^63-1 for
// each, the sum overflows, and a provider whose weight had not changed got everything
// from then on, or nothing.
func TestRobinHeaviest(t *testing.T) {
	weights := make([]spec, 12)
	for n := range weights {
		weights[n].weight = 100
		if n%3 == 1 {
			weights[n].weight = math.MaxInt
		}
	}
	pool, invokers := build(weights)
	for n, e := range pool.All() {
		if want := min(float64(weights[n].weight), meta.MaxWeight); e.Weight != want {
			t.Fatalf("weight %d counts as %v, want %v", weights[n].weight, e.Weight, want)
		}
		if weights[n].weight == math.MaxInt { // as the directory does, with what counts
			invokers[n].GetURL().SetParam(constant.WeightKey, "1000000000")
		}
	}
	const before, picks = 100, 1200
	counts(pool, t.Name(), before)
	for n := range weights {
		weights[n].weight = 100
	}
	pool, _ = build(weights)
	// Each light one was passed over before times, at 100 of 1,200 in the new list.
	const owed = before*100/1200 + 2
	for e, n := range counts(pool, t.Name(), picks) {
		if n < picks/12-owed || n > picks/12+owed {
			t.Errorf("%s got %d of %d, want 100 ± %d", e.Address, n, picks, owed)
		}
	}
}
