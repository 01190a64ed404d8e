// SPDX-License-Identifier: Apache-2.0

package warmup

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/graylane/graylane/cluster/endpoint"
)

// server is a provider as it really is.
type server struct {
	name   string
	weight float64
	ready  time.Time // by a clock that is right
	window time.Duration
	skew   time.Duration // its clock minus the right one
}

func (s *server) age() time.Duration { return time.Since(s.ready) }

// truth returns each server's share by the formula, from its true age.
func truth(fleet []*server, r endpoint.Ramp) []float64 {
	f := make([]float64, len(fleet))
	var all, warm, warming float64
	for n, s := range fleet {
		x := float64(s.age()) / float64(s.window)
		f[n] = math.Max(math.Pow(math.Max(x, 0), r.Exponent), r.Floor)
		if x >= 1 {
			f[n] = 1
			warm += s.weight
		} else {
			warming += s.weight
		}
		all += s.weight
	}
	sum := 0.0
	for n, s := range fleet {
		if warming > 0 && f[n] < 1 {
			f[n] = math.Min(math.Max(f[n], (all/r.Boost-warm)/warming), 1)
		}
		f[n] *= s.weight
		sum += f[n]
	}
	for n := range f {
		f[n] /= sum
	}
	return f
}

// caller is a consumer process: a table and a pool of its own, kept up to date as
// the cluster does, by the table's word and when the next endpoint turns warm.
type caller struct {
	table *endpoint.Table
	known map[*server]*endpoint.Endpoint
	skew  time.Duration // its clock minus the right one
	ramp  endpoint.Ramp
	pool  *endpoint.Pool
	dirty bool
	due   time.Time // when the next one turns warm
	rng   *rand.Rand
}

func newCaller(r endpoint.Ramp, skew time.Duration, rng *rand.Rand) *caller {
	c := &caller{table: new(endpoint.Table), known: map[*server]*endpoint.Endpoint{}, skew: skew, ramp: r, rng: rng}
	c.table.Watch(func() { c.dirty = true })
	return c
}

// see takes over what a registry says of a server: that it is there already, or
// that it has just joined.
func (c *caller) see(s *server, joined bool) {
	b := endpoint.Birth{Start: s.ready.Add(s.skew - c.skew), Window: s.window, Appeared: joined}
	c.known[s] = &endpoint.Endpoint{Instance: c.table.Acquire(s.name, "0123456789abcdef"+s.name, "order", b), Weight: s.weight}
	c.dirty = true
}

func (c *caller) forget(s *server) {
	delete(c.known, s)
	c.dirty = true
}

// current returns the pool as it is now.
func (c *caller) current(fleet []*server) *endpoint.Pool {
	if c.dirty || c.pool == nil || !c.due.IsZero() && !time.Now().Before(c.due) {
		c.dirty = false
		var list []*endpoint.Endpoint
		for _, s := range fleet {
			if e := c.known[s]; e != nil {
				list = append(list, e)
			}
		}
		c.pool = endpoint.NewPool(list, c.ramp)
		c.due = time.Time{}
		if next := c.pool.NextWarm(); next > 0 {
			c.due = time.Now().Add(next)
		}
	}
	return c.pool
}

// answer is what the server's first answer tells.
func (c *caller) answer(s *server) {
	if e := c.known[s]; !e.Calibrated() {
		e.Calibrate(s.age() < s.window, s.age())
	}
}

func fleetOf(n int, age, window time.Duration, skew time.Duration) []*server {
	fleet := make([]*server, n)
	for i := range fleet {
		fleet[i] = &server{name: fmt.Sprintf("10.0.0.%d:1", i), weight: 100, ready: time.Now().Add(-age), window: window, skew: skew}
	}
	return fleet
}

// drawn counts picks by the endpoint's place in the pool.
func drawn(p *endpoint.Pool, picks int, rng *rand.Rand) []int {
	counts := make([]int, p.Len())
	for range picks {
		counts[slices.Index(p.All(), pickFrom(p, rng))]++
	}
	return counts
}

// TestTruth: after each server's first answer the weights in force are within 1 %
// of the truth, and so is what is drawn (50,000 picks at six moments, 5 sigma
// beside the 1 %; seed 3), at any skew of the clocks, up to the end of the window
// and one nanosecond before and at it.
func TestTruth(t *testing.T) {
	const window = 120 * time.Second
	linear := endpoint.Ramp{Exponent: 1, Floor: 0.1, Boost: 1.5}
	newcomers := func(warm, fresh int, c *caller, skew time.Duration) []*server {
		fleet := fleetOf(warm+fresh, 3*time.Hour, window, skew)
		for n, s := range fleet {
			if n >= warm {
				s.ready = time.Now()
			}
			c.see(s, n >= warm)
		}
		return fleet
	}
	for _, tc := range []struct {
		name string
		ramp endpoint.Ramp
		set  func(c *caller, skew time.Duration) []*server
	}{
		{"a newcomer among nine", linear, func(c *caller, skew time.Duration) []*server { return newcomers(9, 1, c, skew) }},
		{"max-boost: one warm, nine new", linear, func(c *caller, skew time.Duration) []*server { return newcomers(1, 9, c, skew) }},
		{"max-boost 3, quadratic", endpoint.Ramp{Exponent: 2, Floor: 0.05, Boost: 3}, func(c *caller, skew time.Duration) []*server { return newcomers(2, 8, c, skew) }},
		{"whole fleet new", linear, func(c *caller, skew time.Duration) []*server { return newcomers(0, 10, c, skew) }},
		{"whole fleet new, one after the other", linear, func(c *caller, skew time.Duration) []*server {
			fleet := newcomers(0, 10, c, skew)
			for n, s := range fleet {
				c.forget(s)
				s.ready = time.Now().Add(-time.Duration(9-n) * 5 * time.Second)
				s.name += "b"
				c.see(s, n == 9)
			}
			return fleet
		}},
		{"consumer restarted at half of the window", linear, func(c *caller, skew time.Duration) []*server {
			fleet := fleetOf(10, 3*time.Hour, window, skew)
			fleet[9].ready = time.Now().Add(-window / 2)
			for _, s := range fleet {
				c.see(s, false)
			}
			return fleet
		}},
		{"consumer restarted, the fleet at half of the window", linear, func(c *caller, skew time.Duration) []*server {
			fleet := fleetOf(10, window/2, window, skew)
			for _, s := range fleet {
				c.see(s, false)
			}
			return fleet
		}},
		{"provider restarted on its address", linear, func(c *caller, skew time.Duration) []*server {
			fleet := newcomers(10, 0, c, skew)
			old := fleet[4]
			c.known[old].MarkClosing()
			c.forget(old)
			again := *old
			again.ready = time.Now()
			fleet[4] = &again
			b := endpoint.Birth{Start: again.ready.Add(skew - c.skew), Window: window, Appeared: true}
			c.known[&again] = &endpoint.Endpoint{Instance: c.table.Acquire(old.name, "another", "order", b), Weight: 100}
			return fleet
		}},
	} {
		for _, skew := range []time.Duration{-time.Hour, -time.Second, 0, time.Hour} {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(24 * time.Hour) // no age here is above that of the process
				c := newCaller(tc.ramp, 0, rand.New(rand.NewPCG(3, 3)))
				fleet := tc.set(c, skew)
				for _, s := range fleet {
					c.answer(s)
				}
				begin := time.Now()
				first, last := window, time.Duration(0) // when the next one and the last one turn warm
				for _, s := range fleet {
					if left := s.window - s.age(); left > 0 {
						first, last = min(first, left), max(last, left)
					}
				}
				moments := []time.Duration{0, 1, last / 10, last / 4, last / 2, 3 * last / 4, first - 1, first, last - 1, last, last + 1}
				slices.Sort(moments)
				for n, at := range moments {
					if wait := at - time.Since(begin); wait > 0 {
						time.Sleep(wait)
					}
					p := c.current(fleet)
					want := truth(fleet, tc.ramp)
					got, sum := make([]float64, len(fleet)), 0.0
					for i, e := range p.All() {
						got[i] = e.Weight * p.Factor(e)
						sum += got[i]
					}
					for i := range got {
						if off := math.Abs(got[i]/sum/want[i] - 1); off > 0.01 {
							t.Errorf("%s, skew %v, %v on: weight of %d is %.4f, in truth %.4f", tc.name, skew, time.Since(begin), i, got[i]/sum, want[i])
						}
					}
					if n%2 == 1 {
						continue
					}
					const picks = 50_000
					for i, n := range drawn(p, picks, c.rng) {
						share := float64(n) / picks
						if math.Abs(share-want[i]) > 5*math.Sqrt(want[i]*(1-want[i])/picks)+0.01*want[i] {
							t.Errorf("%s, skew %v, %v on: %d was drawn %.4f, in truth %.4f", tc.name, skew, time.Since(begin), i, share, want[i])
						}
					}
				}
			})
		}
	}
}

// TestBeforeTheFirstAnswer: what a consumer that has just started makes of a provider
// that was there before it, while no answer has told its age: one whose clock is ahead
// is taken for new, and grows older by the consumer's clock; one whose clock is behind
// by more than its window is taken for warm.
func TestBeforeTheFirstAnswer(t *testing.T) {
	const window = 120 * time.Second
	for _, tc := range []struct {
		skew                time.Duration
		first, quarter, end float64 // factor at once, after a quarter of the window, at its end
	}{{time.Hour, 0.1, 0.25, 1}, {-time.Hour, 1, 1, 1}, {0, 0.5, 0.75, 1}} {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(24 * time.Hour)
			c := newCaller(endpoint.Ramp{Exponent: 1, Floor: 0.1, Boost: 1.5}, 0, rand.New(rand.NewPCG(1, 1)))
			fleet := fleetOf(9, 3*time.Hour, window, 0)
			fleet[8].ready, fleet[8].skew = time.Now().Add(-window/2), tc.skew
			for _, s := range fleet {
				c.see(s, false)
			}
			begin := time.Now()
			for _, m := range []struct {
				at   time.Duration
				want float64
			}{{0, tc.first}, {window / 4, tc.quarter}, {window, tc.end}} {
				time.Sleep(m.at - time.Since(begin))
				p := c.current(fleet)
				if got := p.Factor(p.All()[8]); math.Abs(got-m.want) > 1e-9 {
					t.Errorf("skew %v, after %v: factor %v, want %v", tc.skew, m.at, got, m.want)
				}
			}
		})
	}
}

// TestManyCallers: 200 consumers with clocks of their own (± 30 minutes, as have
// the providers: up to one hour apart), 5 to 20 calls a second each; a newcomer
// joins nine warm providers. 120 of the consumers are there before it and hear of
// it within 3 s; 80 start while it warms up. In each tenth of its window all their
// calls to it together are at most 1.5 times what the curve says. Seed 11.
func TestManyCallers(t *testing.T) {
	const (
		callers, late = 200, 80
		window        = 120 * time.Second
		parts         = 10
		seed          = 11
	)
	r := endpoint.Ramp{Exponent: 1, Floor: 0.1, Boost: 1.5}
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(24 * time.Hour)
		rng := rand.New(rand.NewPCG(seed, seed))
		between := func(lo, hi time.Duration) time.Duration { return lo + time.Duration(rng.Int64N(int64(hi-lo))) }
		skew := func() time.Duration { return between(-30*time.Minute, 30*time.Minute) }
		fleet := fleetOf(10, 0, window, 0)
		begin := time.Now()
		for n, s := range fleet {
			s.skew = skew()
			if n < 9 {
				s.ready = begin.Add(-between(10*time.Minute, 5*time.Hour))
			}
		}
		newcomer := fleet[9]

		type event struct {
			at   time.Duration
			who  int
			hear bool
		}
		var events []event
		all := make([]*caller, callers)
		for n := range all {
			var from time.Duration
			hears := between(0, 3*time.Second)
			if n < late { // hears with its first call
				from = between(0, window)
			} else {
				all[n] = newCaller(r, skew(), rng)
				for _, s := range fleet[:9] {
					all[n].see(s, false)
					all[n].answer(s)
				}
				events = append(events, event{hears, n, true})
			}
			gap := time.Second / time.Duration(5+rng.IntN(16))
			for at := from + between(0, gap); at < window; at += gap {
				events = append(events, event{at, n, false})
			}
		}
		slices.SortFunc(events, func(a, b event) int { return cmp.Compare(a.at, b.at) })

		var got, want [parts]float64
		for _, e := range events {
			time.Sleep(e.at - time.Since(begin))
			c := all[e.who]
			if e.hear {
				c.see(newcomer, true)
				continue
			}
			if c == nil { // it starts with its first call
				c = newCaller(r, skew(), rng)
				for _, s := range fleet {
					c.see(s, false)
				}
				all[e.who] = c
			}
			chosen := pickFrom(c.current(fleet), rng)
			slice := int(e.at * parts / window)
			want[slice] += truth(fleet, r)[9]
			for s, known := range c.known {
				if known == chosen {
					c.answer(s)
					if s == newcomer {
						got[slice]++
					}
				}
			}
		}
		for n := range got {
			t.Logf("slice %d: %4.0f calls, the curve says %6.1f: %.2f", n, got[n], want[n], got[n]/want[n])
			if got[n] > 1.5*want[n] {
				t.Errorf("slice %d: %.0f calls to the newcomer, the curve says %.1f: more than 1.5 times (seed %d)", n, got[n], want[n], seed)
			}
		}
	})
}

// TestShareAccuracy: ten instances, ten slices of the window, 1,000,000 picks a
// slice, seed 5: at most 0.3 points off for any instance, with one newcomer and
// (100,000 picks, 5 sigma more) with a fleet that was restarted one by one.
func TestShareAccuracy(t *testing.T) {
	const window, parts = 120 * time.Second, 10
	r := endpoint.Ramp{Exponent: 1, Floor: 0.1, Boost: 1.5}
	for _, tc := range []struct {
		name  string
		young int
		picks int
	}{{"one newcomer", 1, 1_000_000}, {"a rolling restart", 10, 100_000}} {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(24 * time.Hour)
			c := newCaller(r, 0, rand.New(rand.NewPCG(5, 5)))
			fleet := fleetOf(10, 3*time.Hour, window, 0)
			for n := range tc.young {
				s := fleet[9-n]
				s.ready = time.Now().Add(-time.Duration(n) * 10 * time.Second)
			}
			for _, s := range fleet {
				c.see(s, false)
			}
			worst := 0.0
			time.Sleep(window / parts / 2)
			for slice := range parts {
				p, want := c.current(fleet), truth(fleet, r)
				for n, count := range drawn(p, tc.picks, c.rng) {
					off := math.Abs(float64(count)/float64(tc.picks) - want[n])
					worst = max(worst, off)
					if tolerance := 0.003 + 5*math.Sqrt(0.1*0.9/float64(tc.picks)) - 5*math.Sqrt(0.1*0.9/1e6); off > tolerance {
						t.Errorf("%s, slice %d: instance %d is %.3f points off", tc.name, slice, n, 100*off)
					}
				}
				time.Sleep(window / parts)
			}
			t.Logf("%s: at most %.3f points off", tc.name, 100*worst)
		})
	}
}
