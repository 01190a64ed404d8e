// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
)

// TestThird: a call may wait for a connection for a third of what is left of its time:
// at the first endpoint, and at the next one after a reroute that cost what is given.
func TestThird(t *testing.T) {
	l := newLimits(common.NewURLWithOptions(common.WithParamsValue(constant.TimeoutKey, "3s"), common.WithParamsValue("methods.Pay.timeout", "0s")))
	for _, tc := range []struct {
		name, method, option string
		deadline             time.Duration
		cost                 time.Duration
		first, second        time.Duration
	}{
		{"reference", "Get", "", 0, time.Second, time.Second, 2 * time.Second / 3},
		{"option", "Get", "9s", 0, 3 * time.Second, 3 * time.Second, 2 * time.Second},
		{"context", "Get", "", 6 * time.Second, 2 * time.Second, 2 * time.Second, 4 * time.Second / 3},
		{"option, but the context ends before it", "Get", "9s", 6 * time.Second, 2 * time.Second, 2 * time.Second, 4 * time.Second / 3},
		{"almost over", "Get", "", 0, 3*time.Second - time.Nanosecond, time.Second, time.Millisecond},
		{"over", "Get", "", 0, 4 * time.Second, time.Second, time.Millisecond},
		{"no end: a third of dubbo-go's default", "Pay", "", 0, time.Minute, time.Second, time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx := t.Context()
			if tc.deadline > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, tc.deadline)
				defer cancel()
			}
			c := call{base: ctx, ctx: ctx, inv: call1(tc.method, nil)}
			c.limit(&l, tc.option)
			if got := c.third(); got != tc.first {
				t.Errorf("%s: %v, want %v", tc.name, got, tc.first)
			}
			time.Sleep(tc.cost)
			if got := c.third(); got != tc.second {
				t.Errorf("%s, rerouted: %v, want %v", tc.name, got, tc.second)
			}
		})
	}
}
