// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestBudget on a virtual clock: 10 at the start, 10 a second, a share of the
// calls, at most 100 saved.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget()
		spend := func(share float64) (n int) {
			for b.spend(share) {
				n++
			}
			return n
		}
		for _, step := range []struct {
			name  string
			wait  time.Duration
			calls int64
			want  int
		}{
			{"start", 0, 0, 10},
			{"at once", 0, 0, 0},
			{"one nanosecond before the next", 100*time.Millisecond - 1, 0, 0},
			{"the next", 1, 0, 1},
			{"a second", time.Second, 0, 10},
			{"20 % of 100 calls", 0, 100, 20},
			{"four calls are less than one", 0, 4, 0},
			{"the fifth", 0, 1, 1},
			{"saved up", time.Hour, 1_000_000, 100},
		} {
			time.Sleep(step.wait)
			b.calls.Add(step.calls)
			if got := spend(0.2); got != step.want {
				t.Errorf("%s: %d, want %d", step.name, got, step.want)
			}
		}
	})
}
