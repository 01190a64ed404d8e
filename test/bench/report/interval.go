// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"
	"slices"
)

// interval is a mean or a median with its 95 % confidence interval.
type interval struct{ low, mean, high float64 }

// mean95 is Student's interval of the mean. It wants at least 2 values.
func mean95(values []float64) interval {
	n := float64(len(values))
	sum, square := 0.0, 0.0
	for _, v := range values {
		sum += v
	}
	mean := sum / n
	for _, v := range values {
		square += (v - mean) * (v - mean)
	}
	half := student975(len(values)-1) * math.Sqrt(square/(n-1)/n)
	return interval{mean - half, mean, mean + half}
}

// ratio95 is the interval of a ratio, from pairs that were measured next to each
// other: the geometric mean of a[i]/b[i], so that a/b and b/a say the same.
func ratio95(a, b []float64) interval {
	logs := make([]float64, min(len(a), len(b)))
	for i := range logs {
		logs[i] = math.Log(a[i] / b[i])
	}
	m := mean95(logs)
	return interval{math.Exp(m.low), math.Exp(m.mean), math.Exp(m.high)}
}

// difference95 is the median of the differences of such pairs with its interval by
// ranks: a round in which the machine was busy elsewhere moves neither.
func difference95(a, b []float64) interval {
	d := make([]float64, min(len(a), len(b)))
	for i := range d {
		d[i] = a[i] - b[i]
	}
	slices.Sort(d)
	skip := ranks95(len(d))
	return interval{d[skip], median(d), d[len(d)-1-skip]}
}

// ranks95 is how many of n sorted values lie below the 95 % interval of the median,
// and as many above: each side of it holds less than 2.5 % of the chances that n
// throws of a coin have. Below 6 values the interval is as wide as all of them.
func ranks95(n int) int {
	chance := math.Pow(0.5, float64(n)) // of no head
	for below, sum := 0, 0.0; ; below++ {
		if sum += chance; sum > 0.025 {
			return max(below-1, 0)
		}
		chance *= float64(n-below) / float64(below+1)
	}
}

// student975 is the 97.5 % quantile of Student's t with so many degrees of
// freedom: found by halving, as the distribution function is a short sum
// (Abramowitz and Stegun, 26.7.3 and 26.7.4).
func student975(freedom int) float64 {
	if freedom < 1 {
		return math.Inf(1)
	}
	low, high := 0.0, 100.0
	for range 100 {
		if middle := (low + high) / 2; within(middle, freedom) < 0.95 {
			low = middle
		} else {
			high = middle
		}
	}
	return high
}

// within is the probability that |T| is at most t.
func within(t float64, freedom int) float64 {
	angle := math.Atan(t / math.Sqrt(float64(freedom)))
	sin, cos := math.Sincos(angle)
	term, sum := 1.0, 0.0
	if freedom%2 == 1 {
		term = cos
	}
	for k := freedom%2 + 2; k <= freedom; k += 2 {
		sum += term
		term *= cos * cos * float64(k-1) / float64(k)
	}
	if freedom%2 == 1 {
		return 2 / math.Pi * (angle + sin*sum)
	}
	return sin * sum
}

// median of at least one value.
func median(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	n := len(s)
	return (s[(n-1)/2] + s[n/2]) / 2
}
