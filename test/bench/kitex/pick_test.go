// SPDX-License-Identifier: Apache-2.0

package kitex

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/invocation"
	"github.com/cloudwego/kitex/pkg/discovery"
	"github.com/cloudwego/kitex/pkg/loadbalance"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/cluster/tagrouter"
	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/loadbalance/warmup"
)

var (
	sizes = []int{10, 100, 1000, 10_000}
	ramp  = endpoint.Ramp{Exponent: 1, Floor: 0.1, Boost: 1.5} // the defaults
)

// weight is that of the n-th endpoint: not all alike, for Kitex has a short cut then.
func weight(n int) int { return 50 + 10*(n%16) }

func address(n int) string { return fmt.Sprintf("10.%d.%d.%d:20000", n/62500, n/250%250, n%250) }

// theirs are n instances as Kitex's resolver would list them.
func theirs(n int) discovery.Result {
	list := make([]discovery.Instance, n)
	for i := range list {
		list[i] = discovery.NewInstance("tcp", address(i), weight(i), nil)
	}
	return discovery.Result{Instances: list}
}

// ours are n endpoints of which those in a lane have the tag; the first of every
// ten warm up if warming is set.
func ours(n int, lane string, warming bool) []*endpoint.Endpoint {
	var table endpoint.Table
	list := make([]*endpoint.Endpoint, n)
	for i := range list {
		birth := endpoint.Birth{Start: time.Now().Add(-time.Hour), Window: time.Minute}
		if warming && i%10 == 0 {
			birth = endpoint.Birth{Start: time.Now().Add(-time.Hour), Window: 2 * time.Hour}
		}
		u := common.NewURLWithOptions(common.WithLocation(address(i)))
		list[i] = &endpoint.Endpoint{
			Instance: table.Acquire(address(i), fmt.Sprintf("%016x", i+1), "order", birth),
			Invoker:  base.NewBaseInvoker(u),
			Weight:   float64(weight(i)),
			Tag:      lane,
		}
	}
	return list
}

var picked atomic.Pointer[endpoint.Endpoint] // a way out for results

// BenchmarkPick is the choice of one of n, all of them known beforehand. state=ramp
// has one in ten at half of its warm-up, which Kitex does not know.
func BenchmarkPick(b *testing.B) {
	ctx := context.Background()
	for _, n := range sizes {
		for _, lb := range []struct {
			side string
			loadbalance.Loadbalancer
		}{
			{"kitex-alias", loadbalance.NewWeightedRandomWithAliasMethodBalancer()},
			{"kitex-random", loadbalance.NewWeightedRandomBalancer()},
		} {
			b.Run(fmt.Sprintf("side=%s/state=warm/n=%d", lb.side, n), func(b *testing.B) {
				picker := lb.GetPicker(theirs(n))
				var i discovery.Instance
				b.ReportAllocs()
				for b.Loop() {
					i = picker.Next(ctx, nil)
				}
				if i == nil {
					b.Fatal("nothing was picked")
				}
			})
		}
		for _, state := range []string{"warm", "ramp"} {
			b.Run(fmt.Sprintf("side=graylane/state=%s/n=%d", state, n), func(b *testing.B) {
				pool := endpoint.NewPool(ours(n, "", state == "ramp"), ramp)
				var e *endpoint.Endpoint
				b.ReportAllocs()
				for b.Loop() {
					e = warmup.Pick(pool)
				}
				picked.Store(e)
			})
		}
	}
}

// BenchmarkRoutePick is what Graylane's cluster does for each call with a tag:
// what the invocation and the reference want, the snapshot of the ladder, its
// decision, and the choice of one of the n endpoints of that lane; beside them
// stand as many of the baseline. Kitex's side is its choice alone: it has no lanes.
func BenchmarkRoutePick(b *testing.B) {
	ctx := context.Background()
	for _, n := range sizes {
		b.Run(fmt.Sprintf("side=kitex-alias/n=%d", n), func(b *testing.B) {
			picker := loadbalance.NewWeightedRandomWithAliasMethodBalancer().GetPicker(theirs(n))
			b.ReportAllocs()
			for b.Loop() {
				picker.Next(ctx, nil)
			}
		})
		b.Run(fmt.Sprintf("side=graylane/n=%d", n), func(b *testing.B) {
			list := append(ours(n, "gray", false), ours(n, "", false)...)
			var current atomic.Pointer[tagrouter.Snapshot]
			current.Store(tagrouter.Build(list, tagrouter.Options{Ramp: ramp}))
			own := tagrouter.OwnOf(common.NewURLWithOptions(common.WithInterface("com.shop.Order")))
			inv := base.Invocation(invocation.NewRPCInvocationWithOptions(invocation.WithMethodName("get"), invocation.WithAttachments(map[string]any{
				"timeout": "", "retries": "", tag.KeyTag: "gray", tag.KeyShadow: "gray", // as it is when the cluster gets it
			})))
			var e *endpoint.Endpoint
			b.ReportAllocs()
			for b.Loop() {
				attachments := inv.Attachments()
				snapshot, wanted := current.Load(), own.TagOf(attachments)
				d := snapshot.Sure(wanted)
				if d == nil {
					if d = snapshot.First(wanted, own.Insists(attachments)); d == nil {
						b.Fatal("nowhere to go")
					}
				}
				e = warmup.Pick(d.Pool)
			}
			if e.Tag != "gray" {
				b.Fatalf("a call with tag gray went to %q", e.Tag)
			}
		})
	}
}
