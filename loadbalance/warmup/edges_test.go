// SPDX-License-Identifier: Apache-2.0

package warmup

import (
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common/extension"

	"github.com/graylane/graylane/cluster/endpoint"
)

// TestEdges: factors one nanosecond before and at each edge of the window, of the
// floor and of the guard, over the range of every setting. 100 s of window, so
// that a nanosecond is 1e-11 of it.
func TestEdges(t *testing.T) {
	const (
		window = 100 * time.Second
		ns     = 1e-11
	)
	type moment struct {
		at   time.Duration
		want float64
	}
	for _, tc := range []struct {
		name string
		ramp endpoint.Ramp
		warm int // beside two newcomers
		at   []moment
	}{
		{"min-percent 0", endpoint.Ramp{Exponent: 1, Floor: 0, Boost: 1.5}, 8, []moment{{0, 0}, {1, ns}, {50*time.Second - 1, 0.5 - ns}, {50 * time.Second, 0.5}, {window - 1, 1 - ns}, {window, 1}}},
		{"min-percent 100", endpoint.Ramp{Exponent: 1, Floor: 1, Boost: 1.5}, 8, []moment{{0, 1}, {1, 1}, {window - 1, 1}, {window, 1}}},
		{"the floor's edge", endpoint.Ramp{Exponent: 1, Floor: 0.1, Boost: 1.5}, 8, []moment{{10*time.Second - 1, 0.1}, {10 * time.Second, 0.1}, {10*time.Second + 1, 0.1 + ns}}},
		{"quadratic", endpoint.Ramp{Exponent: 2, Floor: 0.01, Boost: 1.5}, 8, []moment{{10*time.Second - 1, 0.01}, {10 * time.Second, 0.01}, {50 * time.Second, 0.25}, {window - 1, 1 - 2*ns}, {window, 1}}},
		{"steepest, exponent 10", endpoint.Ramp{Exponent: 10, Floor: 0, Boost: 1.5}, 8, []moment{{50 * time.Second, 1.0 / 1024}, {window - 1, 1 - 10*ns}, {window, 1}}},
		{"flattest, exponent 0.1", endpoint.Ramp{Exponent: 0.1, Floor: 0, Boost: 1.5}, 8, []moment{{0, 0}, {50 * time.Second, math.Pow(0.5, 0.1)}, {window, 1}}},
		// guard: (3/1.5 - 1)/2 = 1/2
		{"the guard's edge", endpoint.Ramp{Exponent: 1, Floor: 0, Boost: 1.5}, 1, []moment{{0, 0.5}, {50*time.Second - 1, 0.5}, {50 * time.Second, 0.5}, {50*time.Second + 1, 0.5 + ns}, {window - 1, 1 - ns}, {window, 1}}},
		// guard: (4/2 - 2)/2 = 0 exactly
		{"max-boost just met", endpoint.Ramp{Exponent: 1, Floor: 0, Boost: 2}, 2, []moment{{0, 0}, {1, ns}, {window, 1}}},
		{"max-boost 1 is no ramp", endpoint.Ramp{Exponent: 1, Floor: 0, Boost: 1}, 8, []moment{{0, 1}, {window - 1, 1}, {window, 1}}},
		// guard: 1/100
		{"max-boost 100, all new", endpoint.Ramp{Exponent: 1, Floor: 0, Boost: 100}, 0, []moment{{0, 0.01}, {time.Second, 0.01}, {time.Second + 1, 0.01 + ns}, {window, 1}}},
	} {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(24 * time.Hour)
			c := newCaller(tc.ramp, 0, rand.New(rand.NewPCG(1, 1)))
			fleet := fleetOf(tc.warm+2, time.Hour, window, 0)
			for n, s := range fleet {
				if n >= tc.warm {
					s.ready = time.Now()
				}
				c.see(s, n >= tc.warm)
			}
			begin := time.Now()
			for _, m := range tc.at {
				time.Sleep(m.at - time.Since(begin))
				p := c.current(fleet)
				if got := p.Factor(p.All()[tc.warm]); math.Abs(got-m.want) > ns/10 {
					t.Errorf("%s, at %v: factor %.13f, want %.13f", tc.name, m.at, got, m.want)
				}
			}
		})
	}
}

// TestWeightRatio: weights of 1 and 10,000, either of them new, over every
// max-boost: what is drawn is w f / sum(w f). 100,000 picks, 5 sigma and at least
// 2 calls; seed 9.
func TestWeightRatio(t *testing.T) {
	const picks = 100_000
	for _, tc := range []struct {
		name       string
		young      int
		boost      float64
		one, other float64 // w f
	}{
		{"both warm", -1, 1.5, 1, 10_000},
		// warm 10,000 of 10,001: guard 0
		{"the light one new", 0, 1.5, 0.1, 10_000},
		{"the heavy one new", 1, 1.5, 1, (10_001/1.5 - 1)},
		{"the heavy one new, max-boost 3", 1, 3, 1, (10_001.0/3 - 1)},
		// guard (10,001/100 - 1)/10,000 = 0.0099 is below the floor
		{"the heavy one new, max-boost 100", 1, 100, 1, 1_000},
	} {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(24 * time.Hour)
			for _, floor := range []float64{0.1, 0} {
				c := newCaller(endpoint.Ramp{Exponent: 1, Floor: floor, Boost: tc.boost}, 0, rand.New(rand.NewPCG(9, 9)))
				fleet := fleetOf(2, time.Hour, time.Minute, 0)
				fleet[0].weight, fleet[1].weight = 1, 10_000
				one, other := tc.one, tc.other
				for n, s := range fleet {
					if n == tc.young {
						s.ready = time.Now()
					}
					c.see(s, n == tc.young)
				}
				if floor == 0 {
					switch {
					case tc.young == 0:
						one = 0
					case tc.boost == 100: // the guard
						other = 10_001.0/100 - 1
					}
				}
				p := c.current(fleet)
				want := one / (one + other)
				tolerance := max(5*math.Sqrt(want*(1-want)/picks), 2.0/picks)
				got := 0
				for range picks {
					if pickFrom(p, c.rng) == p.All()[0] {
						got++
					}
				}
				if share := float64(got) / picks; math.Abs(share-want) > tolerance {
					t.Errorf("%s, floor %v: drawn %.5f, want %.5f ± %.5f", tc.name, floor, share, want, tolerance)
				}
			}
		})
	}
}

// TestAskedAgain: a policy that names an endpoint without weight is asked again among
// those that have one, and gets its way, in short lists and in long ones.
func TestAskedAgain(t *testing.T) {
	for _, n := range []int{4, 40} {
		pool, _ := build(make([]spec, n))
		all := make([]int, n-1)
		for i := range all {
			all[i] = i
		}
		for want, p := range map[int]*endpoint.Pool{n - 1: pool, n - 2: drained(pool, all...)} {
			for i := range 50 {
				if e := PickBy(extension.GetLoadbalance("user-last"), p, keyOf(i)); e != p.All()[want] {
					t.Fatalf("of %d: chose %s, want number %d", n, e.Address, want)
				}
			}
		}
	}
}
