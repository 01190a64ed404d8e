// SPDX-License-Identifier: Apache-2.0

package warmup

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"dubbo.apache.org/dubbo-go/v3/cluster/loadbalance"
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/internal/conf"
	"github.com/graylane/graylane/internal/curve"
	"github.com/graylane/graylane/internal/meta"
)

// Name is what `loadbalance:` in dubbogo.yml calls the balancer.
const Name = "warmup"

func init() {
	b := New() // dubbo-go asks for a balancer on every call
	extension.SetLoadbalance(Name, func() loadbalance.LoadBalance { return b })
}

// Balancer is the ramp for clusters and directories other than Graylane's own:
// dubbo-go hands it a list per call, so that a choice takes time proportional to
// the list. Inside the cluster `lossless` the same choice is [Pick].
type Balancer struct {
	known sync.Map // base.Invoker -> *endpoint.Endpoint
	size  atomic.Int64
}

var _ loadbalance.LoadBalance = (*Balancer)(nil)

// New returns a balancer that knows no invoker yet.
func New() *Balancer { return &Balancer{} }

// Select implements dubbo-go's LoadBalance. It returns nil for an empty list.
func (b *Balancer) Select(invokers []base.Invoker, _ base.Invocation) base.Invoker {
	switch len(invokers) {
	case 0:
		return nil
	case 1:
		return invokers[0]
	}
	c := conf.Current().Warmup
	p, err := c.Exponent()
	if err != nil {
		p = 1
	}
	floor, n := c.MinPercent/100, len(invokers)
	var warm, warming float64
	for _, i := range invokers {
		if e := b.endpoint(i, n); e.Instance.Factor(p, floor) >= 1 {
			warm += e.Weight
		} else {
			warming += e.Weight
		}
	}
	guard := curve.Guard(c.MaxBoost, warm, warming)
	total := 0.0
	for _, i := range invokers {
		e := b.endpoint(i, n)
		total += e.Weight * max(e.Instance.Factor(p, floor), guard)
	}
	if total <= 0 {
		return invokers[rand.IntN(n)]
	}
	rest := rand.Float64() * total
	for _, i := range invokers {
		e := b.endpoint(i, n)
		if rest -= e.Weight * max(e.Instance.Factor(p, floor), guard); rest < 0 {
			return i
		}
	}
	return invokers[n-1]
}

// endpoint parses an invoker's URL once. Invokers that left are forgotten
// together with all others when they outnumber the living.
func (b *Balancer) endpoint(i base.Invoker, n int) *endpoint.Endpoint {
	if e, ok := b.known.Load(i); ok {
		return e.(*endpoint.Endpoint) //nolint:errcheck // nothing else is stored
	}
	if b.size.Add(1) > int64(4*n+1024) {
		b.known.Clear()
		b.size.Store(1)
	}
	u := i.GetURL()
	start, window := meta.Birth(func(k string) string { return u.GetParam(k, "") })
	e := &endpoint.Endpoint{
		Instance: new(endpoint.Table).Acquire(u.Location, "", "", endpoint.Birth{Start: start, Window: window}),
		Invoker:  i,
		Weight:   Weight(u),
	}
	b.known.Store(i, e)
	return e
}

// Weight returns the weight that a provider URL carries, else the default of 100.
func Weight(u *common.URL) float64 {
	return meta.Weight(func(key string) string { return u.GetParam(key, "") })
}
