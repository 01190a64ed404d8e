// SPDX-License-Identifier: Apache-2.0

package alias

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestExact adds up the probability that the columns give each index and compares
// it with the weights: no sampling, so no tolerance but that of rounding.
func TestExact(t *testing.T) {
	for _, weights := range [][]float64{
		{1},
		{1, 1},
		{10, 20, 50},
		{1, 100},
		{0, 5, 0, 5},
		{0, 0, 0},
		{math.NaN(), math.Inf(1), -3, 7},
		random(1000),
	} {
		n := len(weights)
		got := make([]float64, n)
		for i, c := range New(weights) {
			keep := float64(c.Keep) / (1 << 64)
			got[i] += keep / float64(n)
			got[c.Other] += (1 - keep) / float64(n)
		}
		sum := 0.0
		for _, w := range weights {
			sum += usable(w)
		}
		for i, w := range weights {
			want := 1 / float64(n)
			if sum > 0 {
				want = usable(w) / sum
			}
			if math.Abs(got[i]-want) > 1e-12 {
				t.Errorf("weights %v: P(%d) = %v, want %v", weights[:min(n, 8)], i, got[i], want)
			}
		}
	}
}

func random(n int) []float64 {
	r := rand.New(rand.NewPCG(1, 2))
	w := make([]float64, n)
	for i := range w {
		w[i] = float64(r.IntN(200))
	}
	return w
}

func draw(columns []Column, random uint64) int {
	i, at := Split(random, len(columns))
	if at >= columns[i].Keep {
		return int(columns[i].Other)
	}
	return i
}

// TestDraw: 400,000 draws of 10:20:50 with a fixed seed, within 0.5 points.
func TestDraw(t *testing.T) {
	columns := New([]float64{10, 20, 50})
	r := rand.New(rand.NewPCG(3, 4))
	const n = 400_000
	var got [3]int
	for range n {
		got[draw(columns, r.Uint64())]++
	}
	for i, want := range []float64{0.125, 0.25, 0.625} {
		if p := float64(got[i]) / n; math.Abs(p-want) > 0.005 {
			t.Errorf("share of %d = %.4f, want %.4f", i, p, want)
		}
	}
}

// TestDrawBounds: the extreme random numbers stay within the columns, and no
// weight of 0 is drawn by them.
func TestDrawBounds(t *testing.T) {
	for n := 1; n < 50; n++ {
		weights := random(n)
		columns := New(weights)
		for _, r := range []uint64{0, math.MaxUint32, 1 << 32, math.MaxUint64} {
			i := draw(columns, r)
			if i < 0 || i >= n {
				t.Fatalf("n=%d: draw of %x = %d", n, r, i)
			}
			if n > 1 && weights[i] == 0 {
				t.Errorf("n=%d: draw of %x = %d, whose weight is 0", n, r, i)
			}
		}
	}
}

func BenchmarkNew(b *testing.B) {
	weights := random(10_000)
	b.ReportAllocs()
	for b.Loop() {
		New(weights)
	}
}

func BenchmarkDraw(b *testing.B) {
	columns := New(random(10_000))
	r := uint64(1)
	for b.Loop() {
		r = r*6364136223846793005 + 1
		draw(columns, r)
	}
}
