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
//
// Consistent hashing promises that of no one fleet: of 16 and 2 x 160 points that lie
// anywhere on the ring, the 16 have 0.1/2.1 with a deviation of a quarter of itself, by
// the variance p(1-p)/(points+1) of such shares. So it is asked over 40 fleets.
func TestNamedPoliciesRamp(t *testing.T) {
	for _, p := range []struct {
		name   string
		slack  float64
		fleets int // 0: one
	}{
		{name: ""},
		{name: warmup.Name},
		{name: constant.LoadBalanceKeyRandom},
		{name: constant.LoadBalanceKeyRoundRobin},
		{name: constant.LoadBalanceKeyAliasMethod},
		{name: constant.LoadBalanceKeyInterleavedWeightedRoundRobin},
		{name: constant.LoadBalanceKeyP2C},
		{name: constant.LoadBalanceKeyLeastActive, slack: 0.005},
		{name: constant.LoadBalanceKeyConsistentHashing, fleets: 40},
	} {
		for _, young := range []int{1, 3} {
			points, share := 16+2*160.0, [3]float64{0.1 / 2.1, 1 / 2.1, 1 / 2.1}
			if young == 3 { // max-boost lets each have 1/1.5 of its points
				points, share = 3*107, [3]float64{1.0 / 3, 1.0 / 3, 1.0 / 3}
			}
			var served [3]int64
			calls := 4_000.0
			if p.fleets > 0 {
				calls = 1_000
			}
			for range max(p.fleets, 1) {
				for n, node := range threeOf(t, young, p.name, int(calls)) {
					served[n] += node.calls.Load()
				}
			}
			variance := 0.0
			if p.fleets > 0 {
				calls *= float64(p.fleets)
				variance = 1 / (points + 1) / float64(p.fleets)
			}
			for n, want := range share {
				got := float64(served[n]) / calls
				if tolerance := 5*math.Sqrt(want*(1-want)*(1/calls+variance)) + p.slack; math.Abs(got-want) > tolerance {
					t.Errorf("%q, %d of three new: node %d got %.4f of the calls, want %.4f ± %.4f", p.name, young, n, got, want, tolerance)
				}
			}
		}
	}
}

// threeOf sends calls to a fleet of three, of which the first are new.
func threeOf(t *testing.T, young int, policy string, calls int) []*node {
	t.Helper()
	r := newRig(t, constant.TriProtocol)
	defer r.Invoker.Destroy()
	r.url.SubURL.SetParam(constant.LoadbalanceKey, policy)
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
			t.Fatalf("%q: %v", policy, err)
		}
	}
	for n, node := range r.nodes {
		if warm := node.e.Warm(); warm == (n < young) {
			t.Errorf("%q, %d of three new: node %d is warm: %t", policy, young, n, warm)
		}
	}
	return r.nodes
}
