// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"slices"
	"sync"

	"dubbo.apache.org/dubbo-go/v3/protocol/base"

	"github.com/graylane/graylane/internal/ring"
)

// Foreign is a pool as balancers other than ours need it: they are handed a list
// and answer with an invoker of it. It is immutable but for its rings.
type Foreign struct {
	// Settled are the invokers of the endpoints that are warm and have a weight.
	Settled []base.Invoker
	// Warming are the endpoints that are not yet warm and have a weight.
	Warming []*Endpoint
	// SettledWeight is the weight of Settled, Weight that of the whole pool.
	SettledWeight, Weight float64

	pool  *Pool
	index map[base.Invoker]*Endpoint // nil for a list so short that a look at all is faster
	rings sync.Map                   // replicas -> func() *ring.Ring
}

// indexFrom is the length from which a map is faster than a look at all.
const indexFrom = 16

// Foreign returns the pool as other balancers need it, made by the first who asks.
// What it calls warm is what was warm then: a pool is built anew when an endpoint
// turns warm.
func (p *Pool) Foreign() *Foreign {
	p.foreignOnce.Do(func() {
		f := &Foreign{pool: p}
		if len(p.list) >= indexFrom {
			f.index = make(map[base.Invoker]*Endpoint, len(p.list))
		}
		for _, e := range p.list {
			if f.index != nil {
				f.index[e.Invoker] = e
			}
			switch {
			case e.Weight <= 0:
				continue
			case e.Warm():
				f.Settled = append(f.Settled, e.Invoker)
				f.SettledWeight += e.Weight
			default:
				f.Warming = append(f.Warming, e)
			}
			f.Weight += e.Weight
		}
		p.foreign.Store(f)
	})
	return p.foreign.Load()
}

// Prepare makes for the pools of a new snapshot what was asked for of those of the
// last one, so that the first call after a push need not: the balancers' view of the
// pool, and the hash rings, which are taken over where the addresses are the same.
func Prepare(pools, last []*Pool) {
	var asked bool
	made := map[int][]*Foreign{} // by replicas
	for _, p := range last {
		f := p.foreign.Load()
		if f == nil {
			continue
		}
		asked = true
		f.rings.Range(func(replicas, _ any) bool {
			n := replicas.(int) //nolint:errcheck // nothing else is stored
			made[n] = append(made[n], f)
			return true
		})
	}
	if !asked {
		return
	}
	for _, p := range pools {
		f := p.Foreign()
		for replicas, before := range made {
			for _, b := range before {
				if slices.EqualFunc(p.list, b.pool.list, func(a, b *Endpoint) bool { return a.Address == b.Address }) {
					old := b.Ring(replicas)
					f.rings.LoadOrStore(replicas, func() *ring.Ring { return old })
					break
				}
			}
			f.Ring(replicas)
		}
	}
}

// Find returns the endpoint of an invoker, nil if the pool has none of it.
func (f *Foreign) Find(i base.Invoker) *Endpoint {
	if f.index != nil {
		return f.index[i]
	}
	for _, e := range f.pool.list {
		if e.Invoker == i {
			return e
		}
	}
	return nil
}

// Ring returns the hash ring over the pool's addresses, in the order of
// [Pool.All]. It is made once; whoever asks meanwhile waits.
func (f *Foreign) Ring(replicas int) *ring.Ring {
	made, ok := f.rings.Load(replicas)
	if !ok {
		made, _ = f.rings.LoadOrStore(replicas, sync.OnceValue(func() *ring.Ring {
			addresses := make([]string, len(f.pool.list))
			for n, e := range f.pool.list {
				addresses[n] = e.Address
			}
			return ring.New(addresses, replicas)
		}))
	}
	return made.(func() *ring.Ring)() //nolint:errcheck // nothing else is stored
}
