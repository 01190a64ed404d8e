// SPDX-License-Identifier: Apache-2.0

package warmup

import (
	"math/rand/v2"
	"slices"

	"dubbo.apache.org/dubbo-go/v3/cluster/loadbalance"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"

	"github.com/graylane/graylane/cluster/endpoint"
)

// maxDraws bounds the rejections of one pick. With the guard the mean number of
// draws is at most max-boost, and the chance of 64 rejections in a row with f at
// the lowest default of 0.1 is 0.1 %, so the bias is below any share measured.
const maxDraws = 64

// Pick chooses an endpoint of the pool, which must not be empty.
func Pick(p *endpoint.Pool) *endpoint.Endpoint {
	if e, taken := p.Take(rand.Uint64()); taken { // always, where nothing warms up
		return e
	}
	return pick(p, rand.Uint64)
}

// PickFrom is [Pick] with a random source of the caller's.
func PickFrom(p *endpoint.Pool, r *rand.Rand) *endpoint.Endpoint { return pick(p, r.Uint64) }

func pick(p *endpoint.Pool, random func() uint64) *endpoint.Endpoint {
	for range maxDraws {
		if e, taken := p.Take(random()); taken {
			return e
		}
	}
	return p.Draw(random())
}

// rampDraws bounds the choices that a named policy is asked for: one that always
// names the same endpoint (consistent hashing) gets its way in the end.
const rampDraws = 8

// PickBy lets another balancer choose and ramps its choice: an endpoint that
// warms up is taken with probability f, else the balancer is asked again. It
// returns nil if the pool is empty or the balancer chooses nothing of it.
func PickBy(lb loadbalance.LoadBalance, p *endpoint.Pool, inv base.Invocation) *endpoint.Endpoint {
	var e *endpoint.Endpoint
	if p.Len() == 0 { // several of dubbo-go's panic
		return nil
	}
	for range rampDraws {
		n := slices.Index(p.Invokers(), lb.Select(p.Invokers(), inv))
		if n < 0 {
			return nil
		}
		e = p.All()[n]
		if f := p.Factor(e); f >= 1 || rand.Float64() < f {
			break
		}
	}
	return e
}
