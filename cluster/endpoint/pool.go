// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"sync"
	"sync/atomic"
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
	columns []column
	warm    bool    // none warmed up when the pool was built: no endpoint is looked at
	sure    float64 // the factor that each has at least: up to it no clock is read

	list      []*Endpoint
	ramp      Ramp
	guard     float64
	next      time.Duration
	plain     []base.Invoker // made when first asked for
	plainOnce sync.Once

	foreign     atomic.Pointer[Foreign] // see Pool.Foreign
	foreignOnce sync.Once
}

// column holds the two endpoints of an alias column themselves: a draw touches
// one place in memory, and none of the endpoint's own.
type column struct {
	keep uint64       // of 2^64
	who  [2]*Endpoint // below keep, and from there on
}

// NewPool builds a pool. The guard of ramp.Boost holds for the endpoints that
// are warm now, and if all are, they are taken as warm from then on: build anew
// when one joins, leaves, turns warm or learns that it is not.
func NewPool(list []*Endpoint, ramp Ramp) *Pool {
	p := &Pool{list: list, ramp: ramp, warm: true}
	if len(list) == 0 {
		return p
	}
	weights := make([]float64, len(list))
	var warmSum, warmingSum float64
	for n, e := range list {
		weights[n] = e.Weight
		if e.Factor(ramp.Exponent, ramp.Floor) >= 1 {
			warmSum += e.Weight
			continue
		}
		p.warm = false
		warmingSum += e.Weight
		if left := e.window - e.Age(); p.next == 0 || left < p.next {
			p.next = max(left, 1)
		}
	}
	p.columns = make([]column, len(list))
	for n, c := range alias.New(weights) {
		p.columns[n] = column{c.Keep, [2]*Endpoint{list[n], list[c.Other]}}
	}
	p.guard = curve.Guard(ramp.Boost, warmSum, warmingSum)
	p.sure = max(p.guard, ramp.Floor)
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
func (p *Pool) Invokers() []base.Invoker {
	p.plainOnce.Do(func() {
		p.plain = make([]base.Invoker, len(p.list))
		for n, e := range p.list {
			p.plain[n] = e.Invoker
		}
	})
	return p.plain
}

// NextWarm returns after what time the first endpoint turns warm, 0 if none warms.
func (p *Pool) NextWarm() time.Duration {
	if p == nil {
		return 0
	}
	return p.next
}

// Draw maps 64 random bits to an endpoint, by weight alone. The pool must not be empty.
func (p *Pool) Draw(random uint64) *Endpoint {
	c, second, _ := p.draw(random)
	return c.who[second]
}

// Take is [Pool.Draw], and reports whether the endpoint is taken: with the
// probability of [Pool.Factor], for which the same bits serve.
func (p *Pool) Take(random uint64) (e *Endpoint, taken bool) {
	c, second, at := p.draw(random)
	return c.who[second], p.warm || p.takes(c, second, at)
}

func (p *Pool) draw(random uint64) (c *column, second int, at uint64) {
	n, at := alias.Split(random, len(p.columns))
	c = &p.columns[n]
	if at >= c.keep {
		second = 1 // an index instead of a branch that cannot be foretold
	}
	return c, second, at
}

// takes decides by where in its part of the column the endpoint was drawn: given
// that it was, every place is as likely.
func (p *Pool) takes(c *column, second int, at uint64) bool {
	place, part := float64(at), float64(c.keep)
	if second == 1 {
		place, part = float64(at-c.keep), (1<<64)-part
	}
	if place < p.sure*part {
		return true
	}
	f := p.Factor(c.who[second])
	return f >= 1 || place < f*part
}

// Factor returns the share of its weight that e gets in this pool now, 0 to 1.
func (p *Pool) Factor(e *Endpoint) float64 {
	if e.Warm() {
		return 1
	}
	return max(e.Instance.Factor(p.ramp.Exponent, p.ramp.Floor), p.guard)
}
