// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"context"
	"math"
	"strconv"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/invocation"

	"github.com/graylane/graylane/loadbalance/warmup"
)

// TestNamedPoliciesRamp: whichever balancer a reference names, a newcomer among three
// gets 0.1/2.1 of what is sent, and a fleet that is new throughout is treated alike.
// 4,000 calls, 5 sigma, and what a policy is off by itself, as the tests of package
// warmup have it.
func TestNamedPoliciesRamp(t *testing.T) {
	const calls = 4_000
	for _, p := range []struct {
		name  string
		slack float64
	}{
		{"", 0},
		{warmup.Name, 0},
		{constant.LoadBalanceKeyRandom, 0},
		{constant.LoadBalanceKeyRoundRobin, 0},
		{constant.LoadBalanceKeyAliasMethod, 0},
		{constant.LoadBalanceKeyInterleavedWeightedRoundRobin, 0},
		{constant.LoadBalanceKeyP2C, 0},
		{constant.LoadBalanceKeyLeastActive, 0.005},
		// Of 160 points a node has 1/n with a deviation of 8 % of itself.
		{constant.LoadBalanceKeyConsistentHashing, 0.08},
	} {
		for _, young := range []int{1, 3} {
			r := newRig(t, constant.TriProtocol)
			r.url.SubURL.SetParam(constant.LoadbalanceKey, p.name)
			r.terms.Store(newTerms(r.url.SubURL))
			for n := range 3 {
				age := 2 * time.Hour
				if n < young {
					age = 0
				}
				node := newProvider(t, "", time.Now().Add(-age), time.Hour, 0, age == 0).node
				u, err := common.NewURL(constant.TriProtocol + "://" + node.e.Address + "/" + service)
				if err != nil {
					t.Fatal(err)
				}
				node.BaseInvoker = *base.NewBaseInvoker(u)
				r.nodes = append(r.nodes, node)
			}
			r.set(r.nodes...)
			for n := range calls {
				inv := invocation.NewRPCInvocationWithOptions(invocation.WithMethodName("Get"), invocation.WithArguments([]any{strconv.Itoa(n)}))
				if err := r.Invoke(context.Background(), inv).Error(); err != nil {
					t.Fatalf("%q: %v", p.name, err)
				}
			}
			for n, node := range r.nodes {
				want := 1.0 / 3
				if young == 1 {
					if want = 1 / 2.1; n == 0 {
						want = 0.1 / 2.1
					}
				}
				got := float64(node.calls.Load()) / calls
				if tolerance := 5*math.Sqrt(want*(1-want)/calls) + p.slack; math.Abs(got-want) > tolerance {
					t.Errorf("%q, %d of three new: node %d got %.4f of the calls, want %.4f ± %.4f", p.name, young, n, got, want, tolerance)
				}
				if warm := node.e.Warm(); warm == (n < young) {
					t.Errorf("%q, %d of three new: node %d is warm: %t", p.name, young, n, warm)
				}
			}
		}
	}
}
