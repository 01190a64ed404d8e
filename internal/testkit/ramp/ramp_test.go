// SPDX-License-Identifier: Apache-2.0

package ramp

import (
	"math"
	"testing"
	"time"
)

var curve = Curve{Window: 10 * time.Second, MinPercent: 10, Power: 1, Warm: 2}

func TestShareAtTheEdges(t *testing.T) {
	for _, tc := range []struct {
		age  time.Duration
		want float64
	}{
		{-1, 0},
		{0, 0.1 / 2.1},
		{time.Second, 0.1 / 2.1}, // the minimum meets the line
		{time.Second + time.Millisecond, 0.1001 / 2.1001}, // and leaves it
		{5 * time.Second, 0.5 / 2.5},
		{10*time.Second - 1, 0.9999999999 / 2.9999999999},
		{10 * time.Second, 1.0 / 3},
		{time.Hour, 1.0 / 3},
	} {
		if got := curve.Share(tc.age); math.Abs(got-tc.want) > 1e-12 {
			t.Errorf("Share(%v) = %.15f, want %.15f", tc.age, got, tc.want)
		}
	}
}

func TestQuadraticFactor(t *testing.T) {
	c := curve
	c.Power = 2
	if got := c.Factor(5 * time.Second); got != 0.25 {
		t.Errorf("Factor(half the window) = %v, want 0.25", got)
	}
}

// On a straight stretch the mean of x/(W+x) from a to b is
// 1 - W ln((W+b)/(W+a))/(b-a).
func TestMeanAgainstTheIntegral(t *testing.T) {
	for _, tc := range []struct{ a, b float64 }{{0.1, 0.2}, {0.4, 0.5}, {0.1, 1}} {
		want := 1 - 2*math.Log((2+tc.b)/(2+tc.a))/(tc.b-tc.a)
		got := curve.Mean(time.Duration(tc.a*1e10), time.Duration(tc.b*1e10))
		if math.Abs(got-want) > 1e-6 {
			t.Errorf("Mean over f = %v to %v is %v, want %v", tc.a, tc.b, got, want)
		}
	}
}

func TestSlices(t *testing.T) {
	start := time.Unix(1000, 0)
	c := Curve{Window: time.Second, MinPercent: 10, Power: 1, Warm: 1} // from 1 s on P is one half
	var calls []Call
	add := func(age time.Duration, newcomer, others int) {
		for range newcomer {
			calls = append(calls, Call{At: start.Add(age), Newcomer: true})
		}
		for range others {
			calls = append(calls, Call{At: start.Add(age)})
		}
	}
	add(-1, 7, 7)              // before the start: not counted
	add(2*time.Second-1, 5, 5) // the last instant of the second slice
	add(2*time.Second, 60, 40) // the first of the third
	add(4*time.Second, 9, 9)   // beyond the last
	got := Slices(c, start, 0, time.Second, 4, calls)
	for i, want := range []struct {
		n, observed int
		z           float64
	}{{0, 0, 0}, {10, 5, 0}, {100, 60, 2}, {0, 0, 0}} { // (60-50)/sqrt(100/4) = 2
		if s := got[i]; s.N != want.n || s.Observed != want.observed || math.Abs(s.Z-want.z) > 1e-9 {
			t.Errorf("slice %d: n %d, observed %d, z %v, want %+v", i, s.N, s.Observed, s.Z, want)
		}
	}
	if m := MaxZ(got); math.Abs(m-2) > 1e-9 {
		t.Errorf("MaxZ = %v, want 2", m)
	}
}

// Consumers that hear of a newcomer late send it what its age deserves from then on.
func TestSlicesFromALaterAge(t *testing.T) {
	start := time.Unix(1000, 0)
	calls := []Call{{At: start.Add(5*time.Second - 1)}, {At: start.Add(5 * time.Second), Newcomer: true}}
	got := Slices(curve, start, 5*time.Second, time.Second, 1, calls)[0]
	want := 1 - 2*math.Log(2.6/2.5)/0.1
	if got.N != 1 || got.Observed != 1 || got.From != 5*time.Second || got.To != 6*time.Second || math.Abs(got.P-want) > 1e-6 {
		t.Errorf("got %+v, want one call at P = %v", got, want)
	}
}

func TestSliceOK(t *testing.T) {
	for _, tc := range []struct {
		name string
		s    Slice
		want bool
	}{
		{"as expected", Slice{N: 100, Observed: 50, P: 0.5, Z: 0}, true},
		{"z at the bound", Slice{N: 100, Observed: 70, P: 0.5, Z: -4}, true},
		{"z beyond it, share too far", Slice{N: 100, Observed: 75, P: 0.5, Z: 4.01}, false},
		{"z beyond it, share within 3 points", Slice{N: 100000, Observed: 52000, P: 0.5, Z: 12.6}, true},
		{"nobody called", Slice{P: 0.02}, false},
	} {
		if got := tc.s.OK(); got != tc.want {
			t.Errorf("%s: OK = %v, want %v", tc.name, got, tc.want)
		}
	}
}
