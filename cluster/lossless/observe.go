// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"context"
	"sync/atomic"

	clusterpkg "dubbo.apache.org/dubbo-go/v3/cluster/cluster"
	"dubbo.apache.org/dubbo-go/v3/cluster/directory"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/cluster/tagrouter"
	"github.com/graylane/graylane/filter/tag"
)

// ObserverName is the cluster of mode observe; the reference's own cluster stands
// in the URL parameter ObservedCluster.
const (
	ObserverName    = "graylane-observer"
	ObservedCluster = "graylane-observed-cluster"
)

// servedBy is discovery.ServedBy: the arrows forbid to import it.
const servedBy = "graylane-served-by"

func init() {
	extension.SetCluster(ObserverName, func() clusterpkg.Cluster { return observer{} })
}

type observer struct{}

// Join returns the invoker of the reference's own cluster, watched.
func (observer) Join(d directory.Directory) base.Invoker {
	name := constant.DefaultCluster
	if u := reference(d); u != nil {
		name = u.GetParam(ObservedCluster, name)
	}
	c, err := extension.GetCluster(name)
	if err != nil {
		panic(err) // as dubbo-go does for a cluster that nobody imported
	}
	inner := c.Join(d)
	src, ok := d.(endpoint.Source)
	if !ok {
		return inner
	}
	return &observed{Invoker: inner, decide: newDecider(d, src)}
}

// observed lets dubbo-go call and compares afterwards.
type observed struct {
	base.Invoker
	decide *Invoker
	index  atomic.Pointer[index]
}

// index finds the endpoints of one list by invoker.
type index struct {
	list []*endpoint.Endpoint
	by   map[any]*endpoint.Endpoint
}

// find returns the endpoint of an invoker, nil if the source lists none. It looks
// through a list once, not with each call.
func (o *observed) find(by any) *endpoint.Endpoint {
	list := o.decide.view.src.Endpoints()
	x := o.index.Load()
	if x == nil || len(x.list) != len(list) || len(list) > 0 && &x.list[0] != &list[0] {
		x = &index{list, make(map[any]*endpoint.Endpoint, len(list))}
		for _, e := range list {
			x.by[e.Invoker] = e
		}
		o.index.Store(x)
	}
	return x.by[by]
}

// differences counts by kind the calls that Graylane would have sent elsewhere.
var differences struct{ lane, state, none, only atomic.Int64 } //nolint:gochecknoglobals // counters of the process

// Differences are the calls of mode observe that Graylane would have sent
// elsewhere, since the start of the process.
type Differences struct {
	Lane  int64 `json:"lane"`  // to another lane
	State int64 `json:"state"` // not to an endpoint that was closing or an outlier
	None  int64 `json:"none"`  // nowhere
	Only  int64 `json:"only"`  // somewhere, where dubbo-go had nobody
}

// ReadDifferences returns the counters of mode observe.
func ReadDifferences() Differences {
	return Differences{differences.lane.Load(), differences.state.Load(), differences.none.Load(), differences.only.Load()}
}

// Invoke leaves the call as it is.
func (o *observed) Invoke(ctx context.Context, inv base.Invocation) result.Result {
	want, force := o.decide.own.Wanted(inv)
	if want == "" { // in this mode only graylane-tag travels
		want = tag.FromContext(ctx).String()
	}
	d, err := o.decide.view.cur.Load().Route(want, force)
	res := o.Invoker.Invoke(ctx, inv)
	if by, ok := inv.GetAttribute(servedBy); ok {
		compare(d, err, o.find(by))
	} else if err == nil && res.Error() != nil && ctx.Err() == nil {
		differences.only.Add(1)
	}
	return res
}

// compare counts a call that e served, nil: somebody whom nobody lists any more.
func compare(d tagrouter.Decision, err error, e *endpoint.Endpoint) {
	switch {
	case e == nil || err == nil && d.Pool.Foreign().Find(e.Invoker) != nil:
	case err != nil:
		differences.none.Add(1)
	case !d.Holds(e): // a rule may have put it there, whatever tag it carries
		differences.lane.Add(1)
	default:
		differences.state.Add(1)
	}
}

// Destroy ends both.
func (o *observed) Destroy() {
	o.decide.view.close()
	o.Invoker.Destroy()
}
