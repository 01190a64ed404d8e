// SPDX-License-Identifier: Apache-2.0

// Package alias draws an index with fixed probabilities in constant time.
//
// It is Walker's alias method in Vose's form (M. D. Vose, "A linear algorithm
// for generating random numbers with a given distribution", IEEE TSE 17(9),
// 1991). A Table is immutable and safe for concurrent use; Draw takes no lock
// and does not allocate.
package alias

import "math"

// Table is the zero or more columns of an alias table.
type Table struct {
	columns []column
}

// column keeps its own index when the low half of the random number is below
// keep, and yields other if not. keep is in units of 2^-32; 2^32-1 means always.
type column struct {
	keep  uint32
	other uint32
}

// New builds a table that yields i with probability weights[i] / sum. Weights
// that are not positive and finite count as 0; if all do, every index is alike.
func New(weights []float64) Table {
	n := len(weights)
	t := Table{columns: make([]column, n)}
	sum := 0.0
	for _, w := range weights {
		sum += usable(w)
	}
	scaled := make([]float64, n)
	var small, large []int
	for i, w := range weights {
		scaled[i] = 1
		if sum > 0 {
			scaled[i] = usable(w) * float64(n) / sum
		}
		if scaled[i] < 1 {
			small = append(small, i)
		} else {
			large = append(large, i)
		}
		t.columns[i] = column{keep: math.MaxUint32, other: uint32(i)}
	}
	for len(small) > 0 && len(large) > 0 {
		s, l := small[len(small)-1], large[len(large)-1]
		small = small[:len(small)-1]
		t.columns[s] = column{keep: uint32(scaled[s] * (1 << 32)), other: uint32(l)}
		scaled[l] -= 1 - scaled[s]
		if scaled[l] < 1 {
			large = large[:len(large)-1]
			small = append(small, l)
		}
	}
	return t // what is left in either list is 1 but for rounding
}

func usable(w float64) float64 {
	if w > 0 && !math.IsInf(w, 1) {
		return w
	}
	return 0
}

// Len returns the number of columns.
func (t *Table) Len() int { return len(t.columns) }

// Draw maps 64 random bits to an index. The table must not be empty.
func (t *Table) Draw(random uint64) int {
	i := random >> 32 * uint64(len(t.columns)) >> 32
	if c := t.columns[i]; uint32(random) >= c.keep && c.keep != math.MaxUint32 {
		return int(c.other)
	}
	return int(i)
}
