// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"context"
	"math"
	"testing"

	"dubbo.apache.org/dubbo-go/v3/cluster/loadbalance"
	_ "dubbo.apache.org/dubbo-go/v3/cluster/loadbalance/random"
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"

	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/conf"
)

func TestPolicies(t *testing.T) {
	u := common.NewURLWithOptions(
		common.WithParamsValue(constant.LoadbalanceKey, "roundrobin"),
		common.WithParamsValue("methods.Get.loadbalance", "random"),
		common.WithParamsValue("methods.Put.loadbalance", "warmup"),
		common.WithParamsValue("methods.List.loadbalance", ""), // as dubbo-go writes it for a method without one
		common.WithParamsValue("methods.Find.retries", "3"),
	)
	p := newPolicies(u)
	for method, want := range map[string]string{"Get": "random", "Put": "", "List": "roundrobin", "Find": "roundrobin", "Any": "roundrobin"} {
		if got := p.of(method); got != want {
			t.Errorf("%s: %q, want %q", method, got, want)
		}
	}
	if p := newPolicies(common.NewURLWithOptions()); p.policy != "" || p.byMethod != nil {
		t.Errorf("none named: %+v", p)
	}
}

// always is a user's balancer.
type always int

func (n always) Select(l []base.Invoker, _ base.Invocation) base.Invoker { return l[int(n)%len(l)] }

// TestNamedPolicy: the balancer that a reference names serves its calls, the one
// that a method names serves the method's.
func TestNamedPolicy(t *testing.T) {
	extension.SetLoadbalance("test-first", func() loadbalance.LoadBalance { return always(0) })
	extension.SetLoadbalance("test-second", func() loadbalance.LoadBalance { return always(1) })
	r := newRig(t, constant.TriProtocol, "", "", "")
	r.url.SubURL.SetParam(constant.LoadbalanceKey, "test-first")
	r.url.SubURL.SetParam("methods.List.loadbalance", "test-second")
	r.terms.Store(newTerms(r.url.SubURL))
	for range 30 {
		for _, method := range []string{"Get", "List"} {
			if err := r.Invoke(context.Background(), call1(method, nil)).Error(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for n, want := range []int64{30, 30, 0} {
		if got := r.nodes[n].calls.Load(); got != want {
			t.Errorf("node %d got %d calls, want %d", n, got, want)
		}
	}
}

// TestStubbornPolicy: calls that the only choice of a policy refuses are spread
// over the others: 600 calls, a third each, 5 sigma.
func TestStubbornPolicy(t *testing.T) {
	extension.SetLoadbalance("test-third", func() loadbalance.LoadBalance { return always(2) })
	r := newRig(t, constant.TriProtocol, "", "", "", "")
	r.url.SubURL.SetParam(constant.LoadbalanceKey, "test-third")
	r.terms.Store(newTerms(r.url.SubURL))
	r.nodes[2].refuses(constant.TriProtocol, tag.RefusedOverloaded)
	settings(t, func(c *conf.Config) { c.Retry.BudgetPercent = 100 })
	const calls = 600
	for range calls {
		if err := r.call(nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []int{0, 1, 3} {
		if got := float64(r.nodes[n].calls.Load()) / calls; math.Abs(got-1.0/3) > 5*math.Sqrt(2.0/9/calls) {
			t.Errorf("node %d got %.3f of the calls, want 1/3", n, got)
		}
	}
}
