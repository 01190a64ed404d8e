// SPDX-License-Identifier: Apache-2.0

// Package curve is the arithmetic of the warm-up ramp, pure and without a clock.
package curve

import (
	"math"
	"time"
)

// Factor returns the share of its full weight that an endpoint of the given age
// gets: 1 from age = window on, before that max(floor, (age/window)^p). The form
// is Envoy's slow start with p = 1/aggression; p = 1 is Dubbo's linear warm-up.
// An age below 0 counts as 0; a window of 0 or less means no ramp.
func Factor(age, window time.Duration, p, floor float64) float64 {
	if window <= 0 || age >= window {
		return 1
	}
	x := max(float64(age)/float64(window), 0)
	if p != 1 {
		x = math.Pow(x, p)
	}
	return min(max(floor, x), 1)
}

// Guard returns the lowest factor that all warming endpoints must get so that no
// warm one carries more than boost times its fair share: with W the sum of all
// weights, w/(warm + f·warming) <= boost·w/W gives f >= (W/boost - warm)/warming,
// clamped to 0..1. boost below 1 counts as 1 (no ramp at all); with nothing
// warming the guard is 0.
func Guard(boost, warm, warming float64) float64 {
	if warming <= 0 {
		return 0
	}
	f := ((warm+warming)/max(boost, 1) - warm) / warming
	return min(max(f, 0), 1)
}
