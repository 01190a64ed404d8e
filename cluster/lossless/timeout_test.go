// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"

	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/conf"
)

// TestDubboTimeout: what the attachment says, at the first endpoint and after a reroute
// a second later: the call's option wins, its context's end is never exceeded, and only
// where both are silent the method's or the reference's timeout holds.
func TestDubboTimeout(t *testing.T) {
	u := common.NewURLWithOptions(common.WithParamsValue(constant.TimeoutKey, "3s"), common.WithParamsValue("methods.Pay.timeout", "7s"))
	l := newLimits(u)
	for _, tc := range []struct {
		name, method, option string
		deadline             time.Duration
		first, second        string
	}{
		{"reference", "Get", "", 0, "3s", "2s"},
		{"method", "Pay", "", 0, "7s", "6s"},
		{"context, shorter", "Get", "", 2 * time.Second, "2s", "1s"},
		{"context, longer", "Get", "", 10 * time.Second, "10s", "9s"},
		{"context before the method", "Pay", "", 2 * time.Second, "2s", "1s"},
		{"option, shorter", "Get", "1500ms", 0, "1500ms", "500ms"},
		{"option, longer", "Get", "5s", 0, "5s", "4s"},
		{"option before the method", "Pay", "5s", 0, "5s", "4s"},
		{"option before the context's end", "Get", "5s", 10 * time.Second, "5s", "4s"},
		{"option after the context's end", "Get", "5s", 2 * time.Second, "2s", "1s"},
		{"a number, as dubbo-go leaves it", "Get", "5000", 0, "3s", "2s"},
		{"almost over", "Get", "1s", 0, "1s", "1ms"},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx := t.Context()
			if tc.deadline > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, tc.deadline)
				defer cancel()
			}
			c := call{base: ctx, ctx: ctx, inv: call1(tc.method, nil), attempts: 1}
			c.limit(&l, tc.option)
			if got := c.timeout(); got != tc.first {
				t.Errorf("%s: timeout %v, want %s", tc.name, got, tc.first)
			}
			time.Sleep(time.Second)
			c.attempts++
			if got := c.timeout(); got != tc.second {
				t.Errorf("%s, rerouted: timeout %v, want %s", tc.name, got, tc.second)
			}
		})
	}
}

// TestDubboTimeoutSent: the first endpoint refuses after a second of three; the second
// one is told what is left, not the timeout anew.
func TestDubboTimeoutSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, constant.DubboProtocol, "", "")
		defer r.view.close()
		var order []*node
		for _, n := range r.nodes {
			n.answer = func(ctx context.Context, inv base.Invocation) result.Result {
				if order = append(order, n); len(order) == 2 {
					return ok(ctx, inv)
				}
				time.Sleep(time.Second)
				inv.SetAttachment(constant.TimeoutKey, int64(3000)) // as dubbo-go's client leaves it
				return &result.RPCResult{Err: refusalOf(constant.DubboProtocol, tag.RefusedNotReady, "")}
			}
		}
		if err := r.call(nil); err != nil {
			t.Fatal(err)
		}
		for n, want := range []string{"3s", "2s"} {
			if got := order[n].lastTold(t)[constant.TimeoutKey]; got != want {
				t.Errorf("endpoint %d of the call was told the timeout %v, want %s", n+1, got, want)
			}
		}
	})
}

// TestTripleTimeout: the context that a call over Triple gets, at the first endpoint
// and after a reroute a second later. No end of its own at the first one means that
// the client holds the reference's.
func TestTripleTimeout(t *testing.T) {
	for _, tc := range []struct {
		name, method, option string
		deadline             time.Duration
		first, second        time.Duration // 0: no end
	}{
		{"reference", "Get", "", 0, 0, 2 * time.Second},
		{"method", "Pay", "", 0, 7 * time.Second, 6 * time.Second},
		{"context", "Pay", "", 10 * time.Second, 10 * time.Second, 9 * time.Second},
		{"option", "Get", "5s", 0, 5 * time.Second, 4 * time.Second},
		{"option before the context's end", "Pay", "5s", 10 * time.Second, 5 * time.Second, 4 * time.Second},
		{"option after the context's end", "Get", "5s", 2 * time.Second, 2 * time.Second, time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, constant.TriProtocol, "", "")
			r.url.SubURL.SetParam("methods.Pay.timeout", "7s")
			r.view.close()
			r.Invoker = New(r, r)
			defer r.view.close()
			var left []time.Duration
			for _, n := range r.nodes {
				n.answer = func(ctx context.Context, _ base.Invocation) result.Result {
					until := time.Duration(0)
					if end, ok := ctx.Deadline(); ok {
						until = time.Until(end)
					}
					if left = append(left, until); len(left) == 2 {
						return &result.RPCResult{Rest: "ok"}
					}
					time.Sleep(time.Second)
					return &result.RPCResult{Err: refusalOf(constant.TriProtocol, tag.RefusedNotReady, "")}
				}
			}
			ctx := t.Context()
			if tc.deadline > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, tc.deadline)
				defer cancel()
			}
			if err := r.Invoke(ctx, call1(tc.method, map[string]any{constant.TimeoutKey: tc.option})).Error(); err != nil {
				t.Fatalf("%s: %v", tc.name, err)
			}
			if want := []time.Duration{tc.first, tc.second}; !slices.Equal(left, want) {
				t.Errorf("%s: left %v, want %v", tc.name, left, want)
			}
		})
	}
}

// TestLate: a call whose time is over is not rerouted; a repeat that somebody asked
// for gets the reference's timeout again, but never more than the call's option.
func TestLate(t *testing.T) {
	settings(t, func(c *conf.Config) { c.Retry.Idempotent = []string{service + "/Get"} })
	for _, tc := range []struct {
		name, option string
		err          error
		attempts     int64
	}{
		{"refused, but late", "", refusalOf(constant.TriProtocol, tag.RefusedNotReady, ""), 1},
		{"repeated", "", timeout(), 2},
		{"no time of the option left", "3s", timeout(), 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, constant.TriProtocol, "", "")
			defer r.view.close()
			for _, n := range r.nodes {
				n.answer = func(context.Context, base.Invocation) result.Result {
					if r.total() > 1 {
						return &result.RPCResult{Rest: "ok"}
					}
					time.Sleep(3 * time.Second)
					return &result.RPCResult{Err: tc.err}
				}
			}
			_ = r.Invoke(t.Context(), call1("Get", map[string]any{constant.TimeoutKey: tc.option}))
			if got := r.total(); got != tc.attempts {
				t.Errorf("%s: %d attempts, want %d", tc.name, got, tc.attempts)
			}
		})
	}
}

// TestCancelled: a context that ends while an endpoint refuses ends the call.
func TestCancelled(t *testing.T) {
	for _, protocol := range protocols {
		r := newRig(t, protocol, "", "", "")
		ctx, cancel := context.WithCancel(t.Context())
		t.Cleanup(cancel)
		for _, n := range r.nodes {
			n.answer = func(context.Context, base.Invocation) result.Result {
				cancel()
				return &result.RPCResult{Err: refusalOf(protocol, tag.RefusedNotReady, "")}
			}
		}
		_ = r.Invoke(ctx, call1("Place", nil))
		if got := r.total(); got != 1 {
			t.Errorf("%s: %d attempts after the context's end, want 1", protocol, got)
		}
	}
}
