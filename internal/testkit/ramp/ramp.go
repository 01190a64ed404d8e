// SPDX-License-Identifier: Apache-2.0

// Package ramp says which share of the calls an instance should get while it
// warms up, and how far the calls that were counted are from it.
//
// The curve is the one of the design: P = w f / sum(w f), with f = 1 from the
// age of the window on and before that the larger of MinPercent/100 and
// (age/window)^Power. Where several warm up at once the guard of the design lifts f,
// so that no warm instance carries more than MaxBoost times its fair share.
package ramp

import (
	"math"
	"time"
)

// Curve is the ramp of one newcomer among warm instances of the same weight.
type Curve struct {
	Window     time.Duration // above 0
	MinPercent float64       // 0 to 100
	Power      float64       // 1 for linear
	Warm       int           // how many warm instances share the pool, at least 1
}

// Factor returns f, 0 to 1, at the given age. Before birth it is 0.
func (c Curve) Factor(age time.Duration) float64 {
	switch {
	case age < 0:
		return 0
	case age >= c.Window:
		return 1
	}
	return math.Max(c.MinPercent/100, math.Pow(float64(age)/float64(c.Window), c.Power))
}

// Share returns P at the given age.
func (c Curve) Share(age time.Duration) float64 {
	f := c.Factor(age)
	return f / (float64(c.Warm) + f)
}

// Mean returns the mean of P over the ages [from, to), by the midpoint rule: calls
// that come evenly over the time see it.
func (c Curve) Mean(from, to time.Duration) float64 {
	const steps = 200
	var sum float64
	for i := range steps {
		at := float64(from) + (float64(i)+0.5)/steps*float64(to-from)
		sum += c.Share(time.Duration(at))
	}
	return sum / steps
}

// Slice is one stretch of the ramp.
type Slice struct {
	From, To time.Duration // age
	N        int           // calls to the pool
	Observed int           // of them at the newcomer
	P        float64       // expected share, 0 to 1
	Z        float64       // (Observed - N P) / sqrt(N P (1-P))
}

// Share returns the observed share, 0 without calls.
func (s Slice) Share() float64 {
	if s.N == 0 {
		return 0
	}
	return float64(s.Observed) / float64(s.N)
}

// OK reports whether the slice agrees with the curve: |z| at most 4, or within
// 3 points of the expected share. A slice without calls agrees with nothing.
func (s Slice) OK() bool {
	return s.N > 0 && (math.Abs(s.Z) <= 4 || math.Abs(s.Share()-s.P) <= 0.03)
}

// Call is one call to the pool.
type Call struct {
	At       time.Time
	Newcomer bool // it went to the instance that warms up
}

// Slices cuts the calls from the age first on into n stretches of the given length
// and holds each against the curve. born is the time of age zero.
func Slices(c Curve, born time.Time, first, length time.Duration, n int, calls []Call) []Slice {
	out := make([]Slice, n)
	for i := range out {
		s := &out[i]
		s.From = first + time.Duration(i)*length
		s.To = s.From + length
		s.P = c.Mean(s.From, s.To)
	}
	for _, call := range calls {
		since := call.At.Sub(born) - first
		i := int(since / length)
		if since < 0 || i >= n {
			continue
		}
		out[i].N++
		if call.Newcomer {
			out[i].Observed++
		}
	}
	for i := range out {
		out[i].score()
	}
	return out
}

// score computes Z.
func (s *Slice) score() {
	if v := float64(s.N) * s.P * (1 - s.P); v > 0 {
		s.Z = (float64(s.Observed) - float64(s.N)*s.P) / math.Sqrt(v)
	}
}

// MaxZ returns the largest |z| of the slices.
func MaxZ(slices []Slice) float64 {
	var m float64
	for _, s := range slices {
		m = math.Max(m, math.Abs(s.Z))
	}
	return m
}
