// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/conf"
)

// TestRepeatsPay: with `unknown: dubbo` and retries a call that times out everywhere is
// repeated, and each repeat takes one of the budget, the first as well.
func TestRepeatsPay(t *testing.T) {
	for _, tc := range []struct {
		tokens                      float64
		attempts, forbidden, repeat int64
	}{
		{0, 1, 1, 0},
		{1, 2, 1, 1},
		{2, 3, 1, 2},
		{50, 4, 0, 3},
	} {
		for _, protocol := range protocols {
			synctest.Test(t, func(t *testing.T) { // the clock stands still: no income
				settings(t, func(c *conf.Config) { c.Retry.BudgetPercent, c.Retry.Unknown = 0, "dubbo" })
				r := newRig(t, protocol, make([]string, 6)...)
				defer r.view.close()
				r.url.SubURL.SetParam(constant.RetriesKey, "3")
				r.terms.Store(newTerms(r.url.SubURL))
				r.budget.tokens, r.budget.at = tc.tokens, time.Now()
				for _, n := range r.nodes {
					n.answer = timesOut
				}
				before := ReadStats()
				if r.call(nil) == nil {
					t.Fatalf("%s, %v in the budget: no error", protocol, tc.tokens)
				}
				after := ReadStats()
				if got := r.total(); got != tc.attempts {
					t.Errorf("%s, %v in the budget: %d attempts, want %d", protocol, tc.tokens, got, tc.attempts)
				}
				if got := after.BudgetExhausted - before.BudgetExhausted; got != tc.forbidden {
					t.Errorf("%s, %v in the budget: %d repeats counted as forbidden, want %d", protocol, tc.tokens, got, tc.forbidden)
				}
				if got := after.Retried - before.Retried; got != tc.repeat {
					t.Errorf("%s, %v in the budget: %d counted as repeated, want %d", protocol, tc.tokens, got, tc.repeat)
				}
				if got := after.Unknown - before.Unknown; got != 1 {
					t.Errorf("%s, %v in the budget: %d calls counted as returned with an unknown outcome, want 1", protocol, tc.tokens, got)
				}
				if want := tc.tokens - float64(tc.repeat); r.budget.tokens != want {
					t.Errorf("%s, %v in the budget: %v left, want %v", protocol, tc.tokens, r.budget.tokens, want)
				}
			})
		}
	}
}

// TestUnknownIsBooked: a call that may have been executed is counted as unknown and ends
// with what was heard of that attempt, also where nobody is left to repeat it, for which
// nothing is paid, or where the repeat was not executed.
func TestUnknownIsBooked(t *testing.T) {
	for _, protocol := range protocols {
		for _, nodes := range []int{1, 2} {
			synctest.Test(t, func(t *testing.T) {
				settings(t, func(c *conf.Config) { c.Retry.BudgetPercent, c.Retry.Unknown = 0, "dubbo" })
				r := newRig(t, protocol, make([]string, nodes)...)
				defer r.view.close()
				r.url.SubURL.SetParam(constant.RetriesKey, "3")
				r.terms.Store(newTerms(r.url.SubURL))
				r.budget.tokens, r.budget.at = 10, time.Now()
				asked := 0 // whoever is asked first gives no answer, the next one refuses
				for _, n := range r.nodes {
					n.answer = func(ctx context.Context, inv base.Invocation) result.Result {
						if asked++; asked == 1 {
							return timesOut(ctx, inv)
						}
						return fails(refusalOf(protocol, tag.RefusedClosing, n.e.Incarnation))(ctx, inv)
					}
				}
				before := ReadStats()
				err := r.call(nil)
				after := ReadStats()
				if v := judge(err); v.outcome != endpoint.Unknown {
					t.Errorf("%s, %d endpoints: the call ends with %v", protocol, nodes, err)
				}
				repeats := int64(nodes - 1)
				if unknown, retried := after.Unknown-before.Unknown, after.Retried-before.Retried; unknown != 1 || retried != repeats {
					t.Errorf("%s, %d endpoints: %d unknown, %d repeats, want 1 and %d", protocol, nodes, unknown, retried, repeats)
				}
				if want := 10 - float64(repeats); r.budget.tokens != want {
					t.Errorf("%s, %d endpoints: %v left of the budget, want %v", protocol, nodes, r.budget.tokens, want)
				}
			})
		}
	}
}
