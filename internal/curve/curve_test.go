// SPDX-License-Identifier: Apache-2.0

package curve

import (
	"math"
	"testing"
	"time"
)

func TestFactor(t *testing.T) {
	const w = 100 * time.Second
	for _, tc := range []struct {
		age   time.Duration
		p     float64
		floor float64
		want  float64
	}{
		{-time.Hour, 1, 0.1, 0.1},
		{0, 1, 0.1, 0.1},
		{0, 1, 0, 0},
		{10*time.Second - 1, 1, 0.1, 0.1},
		{10 * time.Second, 1, 0.1, 0.1},
		{10*time.Second + 1, 1, 0.1, 0.10000000001},
		{50 * time.Second, 1, 0.1, 0.5},
		{50 * time.Second, 2, 0.1, 0.25},
		{25 * time.Second, 0.5, 0.1, 0.5},
		{w - 1, 1, 0.1, 0.99999999999},
		{w, 1, 0.1, 1},
		{w + 1, 2, 0.1, 1},
		{w / 2, 1, 1, 1},
	} {
		if got := Factor(tc.age, w, tc.p, tc.floor); math.Abs(got-tc.want) > 1e-12 {
			t.Errorf("Factor(%v, p=%v, floor=%v) = %v, want %v", tc.age, tc.p, tc.floor, got, tc.want)
		}
	}
	if got := Factor(0, 0, 1, 0.1); got != 1 {
		t.Errorf("no window: %v, want 1", got)
	}
}

func TestGuard(t *testing.T) {
	for _, tc := range []struct {
		name                 string
		boost, warm, warming float64
		want                 float64
	}{
		{"nothing warming", 1.5, 300, 0, 0},
		{"two warm, one new", 1.5, 200, 100, 0},
		{"one warm, two new", 1.5, 100, 200, 0.5},
		{"whole fleet new", 1.5, 0, 300, 1 / 1.5},
		{"no boost allowed", 1, 100, 100, 1},
		{"boost below one", 0.5, 100, 100, 1},
		{"large boost", 100, 1, 1, 0},
	} {
		if got := Guard(tc.boost, tc.warm, tc.warming); math.Abs(got-tc.want) > 1e-12 {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
	// The promise itself: a warm endpoint's load is at most boost fair shares.
	for warm := 1.0; warm < 10; warm++ {
		for warming := 1.0; warming < 10; warming++ {
			for _, boost := range []float64{1, 1.2, 1.5, 3} {
				load := 1 / (warm + Guard(boost, warm, warming)*warming)
				if fair := 1 / (warm + warming); load > boost*fair+1e-12 {
					t.Errorf("warm %v, warming %v: load %v > %v fair shares of %v", warm, warming, load, boost, fair)
				}
			}
		}
	}
}
