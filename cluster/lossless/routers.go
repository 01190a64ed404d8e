// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"slices"
	"sync"
	"sync/atomic"

	"dubbo.apache.org/dubbo-go/v3/cluster/directory"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/cluster/routers"
)

// narrower applies the routers that are registered beside the ladder to what the
// ladder left: what they leave of the level is all there is for the call, as in
// dubbo-go's chain.
type narrower struct {
	chain  *routers.Chain
	cancel func()
	pools  func() []*endpoint.Pool // of the snapshot in force

	mu    sync.Mutex                  // serialises those who add
	known atomic.Pointer[[]*narrowed] // newest first
}

// narrowedMax bounds what is kept: routers leave the same few lists again and again,
// one for each lane and condition; pools are dear to build.
const narrowedMax = 32

// narrowed is a result that is likely to be asked for again.
type narrowed struct {
	of   *endpoint.Pool
	left []base.Invoker
	pool *endpoint.Pool
}

// newNarrower returns nil where no such routers are registered.
func newNarrower(d directory.Directory, src endpoint.Source) *narrower {
	u := d.GetURL()
	if u == nil {
		return nil
	}
	c := routers.New(u, constant.TagRouterFactoryKey)
	if c == nil {
		return nil
	}
	list := func() []base.Invoker {
		known := src.Endpoints()
		invokers := make([]base.Invoker, len(known))
		for n, e := range known {
			invokers[n] = e.Invoker
		}
		return invokers
	}
	return &narrower{chain: c, cancel: c.Follow(list, src.Watch)}
}

func (n *narrower) close() {
	n.cancel()
	n.chain.Close()
}

// narrow returns the part of the pool that the routers leave: the pool itself
// where none has anything to say.
func (n *narrower) narrow(p *endpoint.Pool, inv base.Invocation) *endpoint.Pool {
	if !n.chain.Active() {
		return p
	}
	left := n.chain.Route(p.Invokers(), inv)
	if slices.Equal(left, p.Invokers()) {
		return p
	}
	if known := n.known.Load(); known != nil {
		for _, k := range *known {
			if k.of == p && slices.Equal(k.left, left) {
				return k.pool
			}
		}
	}
	stays := make(map[base.Invoker]bool, len(left))
	for _, i := range left {
		stays[i] = true
	}
	var list []*endpoint.Endpoint
	for _, e := range p.All() {
		if stays[e.Invoker] {
			list = append(list, e)
		}
	}
	sub := p.Sub(list)
	n.keep(&narrowed{p, left, sub})
	return sub
}

// keep adds a result, and drops those of snapshots that are gone.
func (n *narrower) keep(result *narrowed) {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := []*narrowed{result}
	if known := n.known.Load(); known != nil {
		pools := n.pools()
		for _, k := range *known {
			if len(list) < narrowedMax && slices.Contains(pools, k.of) {
				list = append(list, k)
			}
		}
	}
	n.known.Store(&list)
}
