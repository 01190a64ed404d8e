// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"time"

	"dubbo.apache.org/dubbo-go/v3/protocol/base"

	"github.com/graylane/graylane/internal/alias"
	"github.com/graylane/graylane/internal/curve"
)

// Ramp is how a pool treats endpoints that warm up.
type Ramp struct {
	Exponent float64 // of the curve, above 0: 1 is linear
	Floor    float64 // share at age 0, 0 to 1
	Boost    float64 // bound of a warm endpoint's load in fair shares, at least 1
}

// Pool is an immutable list of endpoints with its alias table.
type Pool struct {
	list  []*Endpoint
	plain []base.Invoker
	table alias.Table
	ramp  Ramp
	guard float64
	next  time.Duration
}

// NewPool builds a pool. The guard of ramp.Boost holds for the endpoints that
// are warm now: build anew when one joins, leaves or turns warm.
func NewPool(list []*Endpoint, ramp Ramp) *Pool {
	p := &Pool{list: list, plain: make([]base.Invoker, len(list)), ramp: ramp}
	weights := make([]float64, len(list))
	var warmSum, warmingSum float64
	for n, e := range list {
		weights[n] = e.Weight
		p.plain[n] = e.Invoker
		if e.Factor(ramp.Exponent, ramp.Floor) >= 1 {
			warmSum += e.Weight
			continue
		}
		warmingSum += e.Weight
		if left := e.window - e.Age(); p.next == 0 || left < p.next {
			p.next = max(left, 1)
		}
	}
	p.table = alias.New(weights)
	p.guard = curve.Guard(ramp.Boost, warmSum, warmingSum)
	return p
}

// Len returns the number of endpoints.
func (p *Pool) Len() int {
	if p == nil {
		return 0
	}
	return len(p.list)
}

// All returns the endpoints, which the caller must not change.
func (p *Pool) All() []*Endpoint {
	if p == nil {
		return nil
	}
	return p.list
}

// Invokers returns the endpoints' invokers in the order of [Pool.All], for
// dubbo-go's balancers. The caller must not change them.
func (p *Pool) Invokers() []base.Invoker { return p.plain }

// NextWarm returns after what time the first endpoint turns warm, 0 if none warms.
func (p *Pool) NextWarm() time.Duration {
	if p == nil {
		return 0
	}
	return p.next
}

// Draw maps 64 random bits to an endpoint, by weight alone. The pool must not be empty.
func (p *Pool) Draw(random uint64) *Endpoint { return p.list[p.table.Draw(random)] }

// Factor returns the share of its weight that e gets in this pool now, 0 to 1.
func (p *Pool) Factor(e *Endpoint) float64 {
	if e.Warm() {
		return 1
	}
	return max(e.Instance.Factor(p.ramp.Exponent, p.ramp.Floor), p.guard)
}
