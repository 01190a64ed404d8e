// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/conf"
)

var protocols = []string{constant.TriProtocol, constant.DubboProtocol}

// TestRefusedIsRerouted: with retries 0, a refusal because of closing takes the
// instance out and the call to another of its level; the caller sees no error.
func TestRefusedIsRerouted(t *testing.T) {
	for _, protocol := range protocols {
		r := newRig(t, protocol, "", "", "gray")
		r.nodes[0].refuses(protocol, tag.RefusedClosing)
		for range 50 {
			if err := r.call(nil); err != nil {
				t.Fatalf("%s: %v", protocol, err)
			}
		}
		r.nodes[0].checkBooks(t, 1, 0, 1, 0, 1)
		r.nodes[1].checkBooks(t, 50, 50, 0, 0, 0)
		r.nodes[2].checkBooks(t, 0, 0, 0, 0, 0)
		if !r.nodes[0].e.Closing() {
			t.Errorf("%s: a refusal did not take the instance out", protocol)
		}
	}
}

// TestAttempts: at most three reroutes, each endpoint once, the first free.
func TestAttempts(t *testing.T) {
	for _, tc := range []struct {
		name   string
		why    string // of the refusals
		nodes  int
		tokens float64 // in the budget
		want   int64   // attempts
	}{
		{"first is free", tag.RefusedNotReady, 2, 0, 2},
		{"then the budget pays", tag.RefusedNotReady, 3, 0, 2},
		{"budget for one", tag.RefusedNotReady, 6, 1, 3},
		{"at most three", tag.RefusedNotReady, 6, 50, 4},
		{"each endpoint once", tag.RefusedNotReady, 2, 50, 2},
		{"overloaded pays at once", tag.RefusedOverloaded, 6, 0, 1},
		{"overloaded with budget", tag.RefusedOverloaded, 6, 2, 3},
	} {
		for _, protocol := range protocols {
			settings(t, func(c *conf.Config) { c.Retry.BudgetPercent = 0 })
			r := newRig(t, protocol, make([]string, tc.nodes)...)
			r.budget.tokens, r.budget.at = tc.tokens, time.Now().Add(time.Hour) // no income
			for _, n := range r.nodes {
				n.refuses(protocol, tc.why)
			}
			r.budget.at = time.Now()
			err := r.call(nil)
			if err == nil {
				t.Fatalf("%s: no error", tc.name)
			}
			if v := judge(err); (v.outcome != endpoint.Refused || v.refused != tc.why) && (!errors.Is(err, endpoint.ErrNoEndpoint) || !contains(err, tc.why)) {
				t.Errorf("%s, %s: the caller sees %v, want the refusal", tc.name, protocol, err)
			}
			if got := r.total(); got != tc.want {
				t.Errorf("%s, %s: %d attempts, want %d", tc.name, protocol, got, tc.want)
			}
			for _, n := range r.nodes {
				if n.calls.Load() > 1 {
					t.Errorf("%s, %s: one endpoint was tried %d times", tc.name, protocol, n.calls.Load())
				}
			}
		}
	}
}

// TestLastRefuses: what leaves serves where there is nothing else, until it refuses.
// From then on it is not called, and the error is the typed one, which the first also
// says why.
func TestLastRefuses(t *testing.T) {
	for _, protocol := range protocols {
		r := newRig(t, protocol, "", "gray")
		base, lane := r.nodes[0], r.nodes[1]
		for _, n := range r.nodes {
			n.e.MarkClosing()
		}
		for _, call := range []map[string]any{nil, wanting("gray")} {
			if err := r.call(call); err != nil {
				t.Fatalf("%s: %v, though one that leaves is still there", protocol, err)
			}
		}
		// The lane's own refuses: the baseline's, which leaves too, is next.
		lane.refuses(protocol, tag.RefusedClosing)
		for range 3 {
			if err := r.call(wanting("gray")); err != nil {
				t.Errorf("%s: %v, though the baseline is still there", protocol, err)
			}
		}
		if n := lane.calls.Load(); n != 2 {
			t.Errorf("%s: the lane was called %d times, want 2: once served, once refused", protocol, n)
		}
		base.refuses(protocol, tag.RefusedClosing)
		first := r.call(nil)
		if !errors.Is(first, endpoint.ErrNoEndpoint) || !contains(first, "No provider available") || !contains(first, tag.RefusedClosing) {
			t.Errorf("%s: %v, want ErrNoEndpoint and the refusal", protocol, first)
		}
		// The interceptor of filter/propagate takes a refusal's class off an error.
		if class, _, ok := exception(first); ok {
			t.Errorf("%s: the error is of class %s", protocol, class)
		}
		called := base.calls.Load()
		for _, call := range []map[string]any{nil, wanting("gray")} {
			if err := r.call(call); !errors.Is(err, endpoint.ErrNoEndpoint) || !contains(err, "No provider available") {
				t.Errorf("%s: %v, want ErrNoEndpoint", protocol, err)
			}
		}
		if n := base.calls.Load(); n != called {
			t.Errorf("%s: called %d times after it refused", protocol, n-called)
		}
	}
}

// TestManyAreGone: of many that left the registry none can be reached, or all refuse.
// The first call tries each once, without a budget, and from then on nobody does. If one
// of them still serves, every call finds it.
func TestManyAreGone(t *testing.T) {
	for _, protocol := range protocols {
		for _, refuses := range []bool{false, true} {
			for _, serves := range []int{0, 1} {
				settings(t, func(c *conf.Config) { c.Retry.BudgetPercent = 0 })
				r := newRig(t, protocol, make([]string, 9+serves)...)
				r.budget.tokens, r.budget.at = 0, time.Now().Add(time.Hour) // no income: the one free reroute
				for _, n := range r.nodes {
					n.e.SetRemoved(true)
				}
				gone := r.nodes[:9]
				for _, n := range gone {
					n.answer = fails(&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED})
					if refuses {
						n.refuses(protocol, tag.RefusedClosing)
					}
				}
				for n := range 40 { // so that each was the first choice of one
					err := r.call(nil)
					switch {
					case serves > 0:
						if err != nil {
							t.Fatalf("%s, refuses: %v: call %d: %v, though one still serves", protocol, refuses, n+1, err)
						}
					case !errors.Is(err, endpoint.ErrNoEndpoint) || !contains(err, "No provider available"):
						t.Errorf("%s, refuses: %v: call %d: %v, want ErrNoEndpoint", protocol, refuses, n+1, err)
					case contains(err, "the last that was tried") != (n == 0):
						t.Errorf("%s, refuses: %v: call %d: %v; want the reason in it: %v", protocol, refuses, n+1, err, n == 0)
					}
				}
				for n, node := range gone {
					if got := node.calls.Load(); got > 1 || got == 0 && serves == 0 {
						t.Errorf("%s, refuses: %v: node %d was tried %d times, want once", protocol, refuses, n, got)
					}
				}
			}
		}
	}
}

// TestUnknownIsNotNobody: a call that may have been executed is not said to have found
// nobody, though its endpoint is called no more.
func TestUnknownIsNotNobody(t *testing.T) {
	for _, protocol := range protocols {
		r := newRig(t, protocol, "")
		n := r.nodes[0]
		n.e.SetRemoved(true)
		n.answer = func(context.Context, base.Invocation) result.Result {
			n.e.SetOutlier(true) // by another call, meanwhile
			return &result.RPCResult{Err: io.ErrUnexpectedEOF}
		}
		if err := r.call(nil); !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, endpoint.ErrNoEndpoint) {
			t.Errorf("%s: %v, want what the endpoint said and nothing else", protocol, err)
		}
		if !n.e.Spent() {
			t.Errorf("%s: it is still called", protocol)
		}
	}
}
