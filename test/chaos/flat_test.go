// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"fmt"
	"slices"
	"testing"
)

// series is one figure of one process, sampled after each event.
type series struct {
	name   string
	unit   string // of what is counted
	leak   int64  // what the smallest leak worth its name adds with each event
	noise  int64  // what comes and goes by itself
	values []int64
}

// judge compares the least of the last fifth with that of the first: what swings comes
// back down, what leaks does not. Half of the smallest leak over the events between
// these two is too much, and so is no less than the noise: what grows with time alone
// and stays below that is not seen.
func (s series) judge() (text string, faulty bool) {
	n := len(s.values)
	if n < 5 {
		return fmt.Sprintf("%s: %d samples, want 5 or more", s.name, n), true
	}
	fifth := n / 5
	first, last := slices.Min(s.values[:fifth]), slices.Min(s.values[n-fifth:])
	allowed := max(s.noise, s.leak*int64(n-fifth)/2)
	text = fmt.Sprintf("%s: %d -> %d %s, at most %d more allowed", s.name, first, last, s.unit, allowed)
	return text, last-first > allowed
}

func TestFlat(t *testing.T) {
	const events = 50
	grow := func(by float64) series {
		s := series{name: "x", leak: 1, noise: 3}
		for n := range events {
			s.values = append(s.values, 100+int64(by*float64(n))+int64(n%3))
		}
		return s
	}
	for _, tc := range []struct {
		name   string
		s      series
		faulty bool
	}{
		{"flat", grow(0), false},
		{"shrinks", grow(-2), false},
		{"one with each event", grow(1), true},
		{"a third with each event", grow(1. / 3), false}, // half of the leak is the bound
		{"too few", series{values: []int64{1, 1, 1, 1}}, true},
		{"a spike in the middle", series{leak: 1, values: []int64{1, 1, 1, 99, 99, 99, 99, 1, 1, 1}}, false},
		{"swings", series{leak: 1, noise: 1, values: []int64{1, 1, 9, 1, 9, 1, 9, 1, 9, 1}}, false},
		{"swings and leaks", series{leak: 1, noise: 1, values: []int64{1, 9, 2, 10, 3, 11, 6, 12, 14, 7}}, true},
		{"noise", series{leak: 1, noise: 10, values: []int64{1, 1, 1, 1, 1, 11}}, false},
		{"more than noise", series{leak: 1, noise: 10, values: []int64{1, 1, 1, 1, 1, 12}}, true},
	} {
		if text, faulty := tc.s.judge(); faulty != tc.faulty {
			t.Errorf("%s: faulty is %v: %s", tc.name, faulty, text)
		}
	}
}
