// SPDX-License-Identifier: Apache-2.0

package ramp

import (
	"math"
	"testing"
	"time"
)

// Nine join three, MaxBoost 1.5: a warm one may have 1.5 of 12 shares, three of them
// 4.5, so that 7.5 are left for the nine, until they have more by their age.
func TestPoolGuard(t *testing.T) {
	start := time.Unix(1000, 0)
	p := Pool{Curve: Curve{Window: 30 * time.Second, MinPercent: 10, Power: 1, Warm: 3}, MaxBoost: 1.5}
	for range 9 {
		p.Born = append(p.Born, start)
	}
	for _, tc := range []struct {
		age  time.Duration
		want float64 // of all nine
	}{
		{0, 7.5 / 12},
		{15 * time.Second, 7.5 / 12},              // f = 0.5 is less than the guard's 5/9
		{18 * time.Second, 9 * 0.6 / (3 + 9*0.6)}, // f is more
		{30 * time.Second, 9.0 / 12},
	} {
		sum := 0.0
		for _, s := range p.Shares(start.Add(tc.age)) {
			sum += s
		}
		if math.Abs(sum-tc.want) > 1e-12 {
			t.Errorf("share of nine at %v = %.6f, want %.6f", tc.age, sum, tc.want)
		}
	}
}

// Alone and below any guard a pool is the curve.
func TestPoolIsTheCurve(t *testing.T) {
	start := time.Unix(1000, 0)
	p := Pool{Curve: curve, MaxBoost: 100, Born: []time.Time{start}}
	for _, age := range []time.Duration{0, 3 * time.Second, 9 * time.Second, time.Minute} {
		if got, want := p.Shares(start.Add(age))[0], curve.Share(age); math.Abs(got-want) > 1e-12 {
			t.Errorf("share at %v = %.6f, want %.6f", age, got, want)
		}
	}
}

func TestPoolSlices(t *testing.T) {
	start := time.Unix(1000, 0)
	p := Pool{Curve: Curve{Window: time.Second, MinPercent: 10, Power: 1, Warm: 2}, MaxBoost: 1.5, Born: []time.Time{start.Add(-time.Minute), start.Add(-time.Minute)}}
	var hits []Hit
	add := func(age time.Duration, member, n int) {
		for range n {
			hits = append(hits, Hit{start.Add(age), member})
		}
	}
	add(-1, 0, 7) // before
	add(0, 0, 25)
	add(0, 1, 75)
	add(time.Second-1, -1, 300)
	add(time.Second, -1, 100)
	add(2*time.Second, 1, 7) // after
	got := p.Slices(start, time.Second, 2, hits)
	for n, want := range []struct {
		n, observed int
		p           float64
		ok          bool
	}{
		{400, 25, 0.25, false},
		{400, 75, 0.25, true},
		{400, 100, 0.5, false},
		{100, 0, 0.25, false},
		{100, 0, 0.25, false},
		{100, 0, 0.5, false},
	} {
		if s := got[n]; s.N != want.n || s.Observed != want.observed || math.Abs(s.P-want.p) > 1e-12 || s.OK() != want.ok {
			t.Errorf("slice %d: %+v, OK %v, want %+v", n, s, s.OK(), want)
		}
	}
	if z := got[0].Z; math.Abs(z-(-75/math.Sqrt(400*0.25*0.75))) > 1e-9 {
		t.Errorf("z of the first = %v", z)
	}
}
