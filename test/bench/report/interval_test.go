// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestStudent: the values of printed tables.
func TestStudent(t *testing.T) {
	for freedom, want := range map[int]float64{1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 10: 2.228, 24: 2.064, 25: 2.060, 100: 1.984, 1000: 1.962} {
		if got := student975(freedom); math.Abs(got-want) > 0.001 {
			t.Errorf("%d degrees: %.4f, want %.3f", freedom, got, want)
		}
	}
}

func TestMean95(t *testing.T) {
	// mean 3, standard deviation sqrt(2.5), by hand: 3 ± 2.776 * 1.5811 / sqrt(5)
	got := mean95([]float64{1, 2, 3, 4, 5})
	if math.Abs(got.mean-3) > 1e-9 || math.Abs(got.low-1.0368) > 0.001 || math.Abs(got.high-4.9632) > 0.001 {
		t.Errorf("%+v, want 3 from 1.0368 to 4.9632", got)
	}
}

// TestRatio95: a/b and b/a say the same, and a slower hour of both changes nothing.
func TestRatio95(t *testing.T) {
	a, b := []float64{2, 4.2, 8, 16.4}, []float64{1, 2, 4.1, 8}
	one, other := ratio95(a, b), ratio95(b, a)
	if math.Abs(one.low*other.high-1) > 1e-9 || math.Abs(one.mean*other.mean-1) > 1e-9 {
		t.Errorf("%+v and %+v do not mirror each other", one, other)
	}
	for i := range a {
		a[i], b[i] = a[i]*float64(i+1), b[i]*float64(i+1)
	}
	if again := ratio95(a, b); math.Abs(again.low-one.low) > 1e-9 {
		t.Errorf("%+v after a common slow-down, %+v before", again, one)
	}
}

// TestCoverage: of 2,000 samples with a known mean, the interval misses it in about
// one of twenty: 4 to 6 %, which is 2 standard errors.
func TestCoverage(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	missed := 0
	for range 2000 {
		sample := make([]float64, 12)
		for i := range sample {
			sample[i] = 10 + r.NormFloat64()
		}
		if in := mean95(sample); in.low > 10 || in.high < 10 {
			missed++
		}
	}
	if missed < 80 || missed > 120 {
		t.Errorf("missed %d of 2000, want about 100", missed)
	}
}

// TestRanks95: the values of printed tables of the sign test, less one.
func TestRanks95(t *testing.T) {
	for n, want := range map[int]int{1: 0, 5: 0, 6: 0, 8: 0, 9: 1, 12: 2, 20: 5, 25: 7, 100: 39} {
		if got := ranks95(n); got != want {
			t.Errorf("of %d values %d are below, want %d", n, got, want)
		}
	}
}

// TestDifference95: one round that was disturbed moves nothing.
func TestDifference95(t *testing.T) {
	a, b := []float64{5, 6, 7, 8, 9, 1000, 11, 12, 13}, []float64{1, 2, 3, 4, 5, 6, 7, 8, 8}
	if got := difference95(a, b); got.low != 4 || got.mean != 4 || got.high != 5 {
		t.Errorf("%+v, want 4 from 4 to 5", got)
	}
}

func TestMedian(t *testing.T) {
	for _, tc := range []struct {
		in   []float64
		want float64
	}{{[]float64{3}, 3}, {[]float64{9, 1}, 5}, {[]float64{9, 1, 2}, 2}} {
		if got := median(tc.in); got != tc.want {
			t.Errorf("median(%v) = %v, want %v", tc.in, got, tc.want)
		}
	}
}
