// SPDX-License-Identifier: Apache-2.0

package warmup

import (
	"math/rand/v2"
	"reflect"

	"dubbo.apache.org/dubbo-go/v3/cluster/loadbalance"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"

	"github.com/graylane/graylane/cluster/endpoint"
)

var ours = reflect.TypeFor[*Balancer]() //nolint:gochecknoglobals // a constant

// PickBy lets another balancer choose and ramps its choice. It returns nil only
// for an empty pool.
//
// With B = W / sum(w·f), the room that warming endpoints leave to the others (W:
// all weights, 1 <= B <= max-boost), a choice is taken with probability f·B: what
// it would have and what it may have differ by that factor. What is refused goes
// to those whose f·B is above 1, each by how much it is: to the warm ones, among
// whom the balancer is asked again, and to late newcomers, which are drawn. So a
// balancer that chooses by weight gives exactly P(i) = w·f / sum(w·f), if it keeps no
// account of its choices that the second question would upset, a fleet
// that is new throughout is left to the balancer alone, and one that always names
// the newcomer (least active, for it is idle) gets its way in f·B of the calls.
//
// Two of dubbo-go's are not asked: consistent hashing is ramped by the key, see
// hashed, and p2c has nothing to compare, see twoChoices. Round robin is not asked
// again, see isDubboRobin. An endpoint of
// weight 0 is not taken while others have one, whatever the balancer says. A
// choice that is not of the pool, or none, is replaced by ours.
func PickBy(lb loadbalance.LoadBalance, p *endpoint.Pool, inv base.Invocation) *endpoint.Endpoint {
	return pickBy(lb, p, inv, rand.Uint64)
}

func pickBy(lb loadbalance.LoadBalance, p *endpoint.Pool, inv base.Invocation, random func() uint64) *endpoint.Endpoint {
	if p.Len() == 0 { // several of dubbo-go's panic
		return nil
	}
	switch {
	case isDubboHashing(lb):
		return hashed(p, inv)
	case isDubboChoices(lb):
		return twoChoices(p, random)
	case reflect.TypeOf(lb) == ours: // ramps already
		return pick(p, random)
	}
	f := p.Foreign()
	e := f.Find(lb.Select(p.Invokers(), inv))
	if e == nil {
		return pick(p, random)
	}
	if f.Weight <= 0 || len(f.Warming) == 0 && e.Weight > 0 {
		return e
	}
	room := f.SettledWeight
	for _, w := range f.Warming {
		room += w.Weight * p.Factor(w)
	}
	boost := f.Weight / room
	if e.Weight > 0 {
		if take := p.Factor(e) * boost; take >= 1 || unit(random()) < take {
			return e
		}
	}
	if e = instead(lb, p, inv, boost, random); e != nil {
		return e
	}
	return pick(p, random)
}

// instead chooses among those that have room for more than their weight, nil if
// none has or the balancer names another.
func instead(lb loadbalance.LoadBalance, p *endpoint.Pool, inv base.Invocation, boost float64, random func() uint64) *endpoint.Endpoint {
	f := p.Foreign()
	more := func(e *endpoint.Endpoint) float64 { return e.Weight * max(p.Factor(e)*boost-1, 0) }
	settled := f.SettledWeight * (boost - 1)
	sum := settled
	for _, w := range f.Warming {
		sum += more(w)
	}
	rest := unit(random())*sum - settled
	if rest >= 0 {
		for _, w := range f.Warming {
			if rest -= more(w); rest < 0 {
				return w
			}
		}
	}
	if len(f.Settled) == 0 {
		return nil
	}
	if isDubboRobin(lb) {
		return drawSettled(p, random())
	}
	e := f.Find(lb.Select(f.Settled, inv))
	if e != nil && e.Weight <= 0 {
		return nil
	}
	return e
}

// unit maps 64 random bits to a number from 0 to 1, 1 excluded.
func unit(random uint64) float64 { return float64(random>>11) / (1 << 53) }
