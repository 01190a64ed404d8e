// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	clusterpkg "dubbo.apache.org/dubbo-go/v3/cluster/cluster"
	"dubbo.apache.org/dubbo-go/v3/cluster/directory"
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/invocation"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/internal/connect"
	"github.com/graylane/graylane/internal/meta"
	"github.com/graylane/graylane/loadbalance/warmup"
)

// Name is what `cluster:` in dubbogo.yml calls it.
const Name = "lossless"

func init() {
	extension.SetCluster(Name, func() clusterpkg.Cluster { return Cluster{} })
}

// Cluster makes invokers over directories.
type Cluster struct{}

var _ clusterpkg.Cluster = Cluster{}

// Join returns an invoker over the directory, behind dubbo-go's interceptors.
// Graylane's own directory is followed as it changes; any other is read once,
// as the list of a direct URL does not change.
func (Cluster) Join(d directory.Directory) base.Invoker {
	src, ok := d.(endpoint.Source)
	if !ok {
		src = newFixed(d)
	}
	return clusterpkg.BuildInterceptorChain(New(d, src))
}

// fixed is a list that does not change: that of a direct URL.
type fixed []*endpoint.Endpoint

func newFixed(d directory.Directory) fixed {
	var list fixed
	for _, i := range d.List(invocation.NewRPCInvocationWithOptions()) {
		u := i.GetURL()
		if u == nil {
			continue
		}
		start, window := meta.Birth(func(k string) string { return u.GetParam(k, "") })
		list = append(list, &endpoint.Endpoint{
			Instance: endpoint.Shared.Acquire(u.Location, "", "", endpoint.Birth{Start: start, Window: window}),
			Invoker:  connect.New(i),
			Weight:   warmup.Weight(u),
		})
	}
	return list
}

func (f fixed) Endpoints() []*endpoint.Endpoint { return f }

func (f fixed) Watch(func()) (cancel func()) { return func() {} }

// reference returns the consumer's URL of a directory.
func reference(d directory.Directory) *common.URL {
	u := d.GetURL()
	if u != nil && u.SubURL != nil {
		return u.SubURL
	}
	return u
}

func isTriple(u *common.URL) bool {
	return u != nil && (u.Protocol == constant.TriProtocol || u.Protocol == "")
}
