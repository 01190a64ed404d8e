// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"math/rand/v2"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"

	"github.com/graylane/graylane/filter/tag"
)

// floorProtocol is the least that a client can call through: a lane is looked up
// by the tag, one of its invokers is drawn. No directory, cluster, interceptor or
// filter. What is left is dubbo-go's making of the invocation.
type floorProtocol struct{ base.BaseProtocol }

// Refer makes all invokers at once.
func (*floorProtocol) Refer(u *common.URL) base.Invoker {
	f := &floorInvoker{u: u, lanes: map[string][]base.Invoker{}}
	for _, p := range providers {
		lane := p.GetParam(constant.Tagkey, "")
		f.lanes[lane] = append(f.lanes[lane], newInvoker(p.MergeURL(u.SubURL)))
	}
	return f
}

type floorInvoker struct {
	u     *common.URL
	lanes map[string][]base.Invoker
}

func (f *floorInvoker) GetURL() *common.URL { return f.u }
func (*floorInvoker) IsAvailable() bool     { return true }
func (*floorInvoker) Destroy()              {}

func (f *floorInvoker) Invoke(ctx context.Context, inv base.Invocation) result.Result {
	wanted, _ := inv.GetAttachment(tag.KeyTag)
	list := f.lanes[wanted]
	return list[rand.IntN(len(list))].Invoke(ctx, inv)
}
