// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/internal/self"
)

// provider is a node that tells its age in its answers while it warms up, as
// filter/shutdown does.
type provider struct {
	*node
	ready  time.Time
	window time.Duration
}

// newProvider makes one that became ready at a moment; its clock is off by skew.
func newProvider(t *testing.T, address string, ready time.Time, window, skew time.Duration, appeared bool) *provider {
	t.Helper()
	n := newNode(t, "", address)
	inc := incarnationOf(addresses.Add(1))
	i := endpoint.Shared.Acquire(n.e.Address, inc, "order", endpoint.Birth{Start: ready.Add(skew), Window: window, Appeared: appeared})
	t.Cleanup(func() { endpoint.Shared.Release(i) })
	n.e = &endpoint.Endpoint{Instance: i, Invoker: n, Weight: 100, Caller: self.CallerTo("gateway", inc)}
	p := &provider{node: n, ready: ready, window: window}
	n.answer = func(_ context.Context, inv base.Invocation) result.Result {
		if age := time.Since(ready); age < window {
			v, _ := inv.GetAttribute(constant.ResponseTrailerKey)
			*v.(*http.Header) = http.Header{"Graylane-State": {fmt.Sprintf("warming;%d", age.Milliseconds())}}
		}
		return &result.RPCResult{Rest: "ok"}
	}
	return p
}

// TestWeightsInForce: a whole reference on a virtual clock. A consumer that starts
// when one of ten providers is at half of its window, with clocks an hour apart,
// has the true weights after each provider's first answer, in its snapshot (1 %)
// and in what the providers receive (20,000 calls, 5 sigma and 1 %). Then one
// provider restarts on its address, and begins anew.
func TestWeightsInForce(t *testing.T) {
	const (
		window = 120 * time.Second
		calls  = 20_000
	)
	for _, skew := range []time.Duration{-time.Hour, 0, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(24 * time.Hour)
			r := newRig(t, constant.TriProtocol, "x")
			var fleet []*provider
			for n := range 10 {
				age := 3 * time.Hour
				if n == 9 {
					age = window / 2
				}
				fleet = append(fleet, newProvider(t, "", time.Now().Add(-age), window, skew, false))
			}
			push := func() {
				var nodes []*node
				for _, p := range fleet {
					nodes = append(nodes, p.node)
				}
				r.set(nodes...)
				synctest.Wait()
			}
			answered := func() {
				t.Helper()
				for range 10_000 {
					missing := false
					for _, p := range fleet {
						missing = missing || p.calls.Load() == 0
					}
					if !missing {
						synctest.Wait()
						return
					}
					if err := r.call(nil); err != nil {
						t.Fatal(err)
					}
				}
				t.Fatalf("skew %v: a provider was not called 10,000 times", skew)
			}
			check := func(what string, young *provider, f float64) {
				t.Helper()
				d, err := r.view.cur.Load().Route("", false)
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range fleet {
					want := 1.0
					if p == young {
						want = f
					}
					if got := d.Pool.Factor(p.e); math.Abs(got-want) > 0.01*want {
						t.Errorf("skew %v, %s: factor of %s is %.4f, in truth %.4f", skew, what, p.e.Address, got, want)
					}
				}
				before := young.calls.Load()
				for range calls {
					if err := r.call(nil); err != nil {
						t.Fatal(err)
					}
				}
				want := f / (9 + f)
				if got := float64(young.calls.Load()-before) / calls; math.Abs(got-want) > 0.01*want+5*math.Sqrt(want*(1-want)/calls) {
					t.Errorf("skew %v, %s: it received %.4f of the calls, want %.4f", skew, what, got, want)
				}
			}
			push()
			answered()
			young := fleet[9]
			check("at half of the window", young, 0.5)
			time.Sleep(window / 4)
			synctest.Wait()
			check("at three quarters", young, 0.75)
			time.Sleep(window/4 - 1)
			synctest.Wait()
			check("one nanosecond before its end", young, 1)
			if young.e.Warm() {
				t.Errorf("skew %v: warm before its end", skew)
			}
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			check("at its end", young, 1)
			if next := r.view.cur.Load().Pools()[0].NextWarm(); next != 0 || !young.e.Warm() {
				t.Errorf("skew %v: at its end the snapshot waits for one to turn warm in %v", skew, next)
			}

			old := fleet[3]
			fleet[3] = newProvider(t, old.e.Address, time.Now(), window, skew, true)
			old.e.MarkClosing()
			push()
			answered()
			check("restarted on its address", fleet[3], 0.1)
			time.Sleep(window / 2)
			synctest.Wait()
			check("restarted, at half of its window", fleet[3], 0.5)
		})
	}
}
