// SPDX-License-Identifier: Apache-2.0

package ramp

import (
	"math"
	"time"
)

// Pool is instances of the same weight, of which some warm up at the same time.
type Pool struct {
	Curve                // its Warm: how many were warm before
	MaxBoost float64     // at least 1
	Born     []time.Time // when each of the others became ready
}

// Shares returns P of each instance in Born at a moment.
func (p Pool) Shares(at time.Time) []float64 {
	all, warm := float64(p.Warm+len(p.Born)), float64(p.Warm)
	for _, born := range p.Born {
		if at.Sub(born) >= p.Window {
			warm++
		}
	}
	guard := 0.0
	if warm < all {
		guard = min(max((all/p.MaxBoost-warm)/(all-warm), 0), 1)
	}
	out := make([]float64, len(p.Born))
	sum := float64(p.Warm)
	for n, born := range p.Born {
		out[n] = max(p.Factor(at.Sub(born)), guard)
		sum += out[n]
	}
	for n := range out {
		out[n] /= sum
	}
	return out
}

// Hit is one call to a pool.
type Hit struct {
	At     time.Time
	Member int // index of Born, -1: one of the others
}

// Slices cuts the calls from a time on, at which all instances are known to the
// callers, into n stretches. Of each it returns one slice for every instance in Born
// and then one for all of these together; From and To count from that time.
func (p Pool) Slices(from time.Time, length time.Duration, n int, hits []Hit) []Slice {
	width := len(p.Born) + 1
	out := make([]Slice, n*width)
	for i := range n {
		row := out[i*width : (i+1)*width]
		const steps = 50
		for k := range steps {
			at := time.Duration((float64(i) + (float64(k)+0.5)/steps) * float64(length))
			for m, share := range p.Shares(from.Add(at)) {
				row[m].P += share / steps
				row[width-1].P += share / steps
			}
		}
		for m := range row {
			row[m].From, row[m].To = time.Duration(i)*length, time.Duration(i+1)*length
		}
	}
	for _, h := range hits {
		i := int(math.Floor(float64(h.At.Sub(from)) / float64(length)))
		if i < 0 || i >= n {
			continue
		}
		row := out[i*width : (i+1)*width]
		for m := range row {
			row[m].N++
		}
		if h.Member >= 0 {
			row[h.Member].Observed++
			row[width-1].Observed++
		}
	}
	for i := range out {
		out[i].score()
	}
	return out
}
