// SPDX-License-Identifier: Apache-2.0

// Package alias draws an index with fixed probabilities in constant time.
//
// It is Walker's alias method in Vose's form (M. D. Vose, "A linear algorithm
// for generating random numbers with a given distribution", IEEE TSE 17(9),
// 1991). [New] makes the columns; whoever draws keeps them beside what is drawn,
// so that a draw touches one place in memory:
//
//	i, at := alias.Split(rand.Uint64(), len(columns))
//	if at >= columns[i].Keep {
//		i = int(columns[i].Other)
//	}
package alias

import (
	"math"
	"math/bits"
)

// Column yields its own index where the fraction is below Keep, in units of
// 2^-64, and Other from there on. One that is always kept has Other = its own.
type Column struct {
	Keep  uint64
	Other uint32
}

// New returns columns that yield i with probability weights[i] / sum. Weights
// that are not positive and finite count as 0; if all do, every index is alike.
func New(weights []float64) []Column {
	n := len(weights)
	columns := make([]Column, n)
	sum := 0.0
	for _, w := range weights {
		sum += usable(w)
	}
	scaled := make([]float64, n)
	todo := make([]uint32, n) // small ones from the left, large ones from the right
	small, large := 0, n
	for i, w := range weights {
		scaled[i] = 1
		if sum > 0 {
			scaled[i] = usable(w) * float64(n) / sum
		}
		if scaled[i] < 1 {
			todo[small] = uint32(i)
			small++
		} else {
			large--
			todo[large] = uint32(i)
		}
		columns[i] = Column{Keep: math.MaxUint64, Other: uint32(i)}
	}
	for small > 0 && large < n {
		small--
		s, l := todo[small], todo[large]
		columns[s] = Column{Keep: uint64(scaled[s] * (1 << 64)), Other: l}
		scaled[l] -= 1 - scaled[s]
		if scaled[l] < 1 {
			large++
			todo[small] = l
			small++
		}
	}
	return columns // what is left in either list is 1 but for rounding
}

func usable(w float64) float64 {
	if w > 0 && !math.IsInf(w, 1) {
		return w
	}
	return 0
}

// Split maps 64 random bits to one of n indices and a fraction in units of 2^-64,
// which is as good as independent of the index while n is far below 2^32.
func Split(random uint64, n int) (index int, fraction uint64) {
	hi, lo := bits.Mul64(random, uint64(n))
	return int(hi), lo
}
