// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/cluster/loadbalance/random"
	"dubbo.apache.org/dubbo-go/v3/cluster/router/chain"
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/invocation"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/cluster/tagrouter"
	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/conf"
	"github.com/graylane/graylane/internal/meta"
	"github.com/graylane/graylane/loadbalance/warmup"
)

var ramp = endpoint.Ramp{Exponent: 1, Floor: 0.1, Boost: 1.5}

// fleet returns n endpoints that started at the given time.
func fleet(tb testing.TB, n int, started time.Time) []*endpoint.Endpoint {
	tb.Helper()
	var table endpoint.Table
	list := make([]*endpoint.Endpoint, n)
	for i := range list {
		u := providerURL(tb, i, started)
		start, window := meta.Birth(func(k string) string { return u.GetParam(k, "") })
		list[i] = &endpoint.Endpoint{
			Instance: table.Acquire(u.Location, u.GetParam(tag.MetaIncarnation, ""), "order", endpoint.Birth{Start: start, Window: window}),
			Invoker:  newInvoker(u),
			Tag:      u.GetParam(constant.Tagkey, ""),
			Weight:   warmup.Weight(u),
		}
	}
	return list
}

func invokersOf(list []*endpoint.Endpoint) []base.Invoker {
	out := make([]base.Invoker, len(list))
	for i, e := range list {
		out[i] = e.Invoker
	}
	return out
}

func call() base.Invocation {
	return invocation.NewRPCInvocationWithOptions(invocation.WithMethodName("get"), invocation.WithAttachments(map[string]any{tag.KeyTag: gray}))
}

// BenchmarkPickPlain is the choice of an endpoint out of n: warm ones, ones that
// are in the middle of their warm-up, and dubbo-go's random balancer.
func BenchmarkPickPlain(b *testing.B) {
	for _, n := range sizes[1:] {
		for _, state := range []string{"warm", "warming"} {
			started := time.Now().Add(-time.Hour)
			if state == "warming" {
				started = time.Now().Add(-5 * time.Minute)
			}
			b.Run(fmt.Sprintf("side=graylane/state=%s/n=%d", state, n), func(b *testing.B) {
				pool := endpoint.NewPool(fleet(b, n, started), ramp)
				b.ReportAllocs()
				for b.Loop() {
					warmup.Pick(pool)
				}
			})
			b.Run(fmt.Sprintf("side=dubbo/state=%s/n=%d", state, n), func(b *testing.B) {
				list, lb, inv := invokersOf(fleet(b, n, started)), random.NewRandomLoadBalance(), call()
				b.ReportAllocs()
				for b.Loop() {
					lb.Select(list, inv)
				}
			})
		}
	}
}

// BenchmarkRoutePickPlain is the choice of an endpoint out of n for a call with a tag,
// of which one in ten has it. dubbo-go's side is its router chain, with all the
// routers that its imports bring, and its random balancer.
func BenchmarkRoutePickPlain(b *testing.B) {
	started := time.Now().Add(-time.Hour)
	ref := common.NewURLWithOptions(common.WithProtocol(constant.TriProtocol), common.WithInterface(service), common.WithPath(service))
	for _, n := range sizes[1:] {
		b.Run(fmt.Sprintf("side=graylane/n=%d", n), func(b *testing.B) {
			snapshot, inv, own := tagrouter.Build(fleet(b, n, started), tagrouter.Options{Ramp: ramp}), call(), tagrouter.OwnOf(ref)
			b.ReportAllocs()
			for b.Loop() {
				attachments := inv.Attachments()
				wanted := own.TagOf(attachments)
				d := snapshot.Sure(wanted)
				if d == nil {
					if d = snapshot.First(wanted, own.Insists(attachments)); d == nil {
						b.Fatal("nowhere to go")
					}
				}
				warmup.Pick(d.Pool)
			}
		})
		b.Run(fmt.Sprintf("side=dubbo/n=%d", n), func(b *testing.B) {
			routers := dubboChain(b, ref)
			routers.SetInvokers(invokersOf(fleet(b, n, started)))
			lb, inv := random.NewRandomLoadBalance(), call()
			b.ReportAllocs()
			for b.Loop() {
				if lb.Select(routers.Route(ref, inv), inv) == nil {
					b.Fatal("no invoker")
				}
			}
		})
	}
}

// dubboChain returns dubbo-go's own router chain: in mode off the name `tag`
// stands for its own router.
func dubboChain(tb testing.TB, ref *common.URL) *chain.RouterChain {
	tb.Helper()
	before := *conf.Current()
	off := before
	off.Mode = conf.Off
	conf.Set(off)
	defer conf.Set(before)
	u := common.NewURLWithOptions(common.WithProtocol(constant.RegistryProtocol))
	u.SubURL = ref
	c, err := chain.NewRouterChain(u)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// BenchmarkBuild is what a push costs once its endpoints are known: a new
// snapshot of n endpoints, alias tables included.
func BenchmarkBuild(b *testing.B) {
	for _, n := range sizes[1:] {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			list := fleet(b, n, time.Now().Add(-time.Hour))
			b.ReportAllocs()
			for b.Loop() {
				tagrouter.Build(list, tagrouter.Options{Ramp: ramp})
			}
		})
	}
}
