// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"context"
	"fmt"
	"testing"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/self"
)

func TestInvokeAllocs(t *testing.T) {
	r := newRig(t, constant.TriProtocol, "", "", "gray")
	inv := call1("Place", wanting("gray"))
	ctx := context.Background()
	good := &result.RPCResult{Rest: "ok"}
	direct := r.nodes[2]
	direct.e.Calibrate(false, 0)
	fixedNode := &still{res: good}
	e := &endpoint.Endpoint{Instance: direct.e.Instance, Invoker: fixedNode, Tag: "gray", Weight: 100, Caller: direct.e.Caller}
	r.mu.Lock()
	r.list = []*endpoint.Endpoint{e}
	r.mu.Unlock()
	r.view.refresh()
	r.Invoke(ctx, inv)
	if n := testing.AllocsPerRun(200, func() { r.Invoke(ctx, inv) }); n > 0 {
		t.Errorf("%v allocations a call beside the endpoint's own, want 0", n)
	}
}

// still answers without allocating.
type still struct {
	base.BaseInvoker
	res result.Result
}

func (s *still) Invoke(context.Context, base.Invocation) result.Result { return s.res }

// BenchmarkInvoke is the hot path: an answer at the first endpoint, beside which
// nothing is measured. The invocation is used again and again.
func BenchmarkInvoke(b *testing.B) {
	for _, protocol := range protocols {
		b.Run(protocol, func(b *testing.B) {
			r := &rig{}
			ref := common.NewURLWithOptions(common.WithProtocol(protocol), common.WithPath(service), common.WithInterface(service),
				common.WithParamsValue(constant.ApplicationKey, "gateway"), common.WithParamsValue(constant.TimeoutKey, "3s"))
			r.url = common.NewURLWithOptions(common.WithProtocol("registry"))
			r.url.SubURL = ref
			for n := range 10 {
				id := incarnationOf(addresses.Add(1))
				i := endpoint.Shared.Acquire(fmt.Sprintf("192.0.2.1:%d", n+1), id, "order", endpoint.Birth{})
				b.Cleanup(func() { endpoint.Shared.Release(i) })
				r.list = append(r.list, &endpoint.Endpoint{
					Instance: i, Invoker: &still{res: &result.RPCResult{Rest: "ok", Attrs: map[string]any{}}},
					Tag: []string{"", "gray"}[n%2], Weight: 100, Caller: self.CallerTo("gateway", id),
				})
			}
			r.Invoker = New(r, r)
			b.Cleanup(r.view.close)
			inv := call1("Place", map[string]any{tag.KeyTag: "gray", constant.TimeoutKey: "", constant.RetriesKey: ""})
			inv.SetAttribute(constant.CallTypeKey, constant.CallUnary)
			ctx := b.Context()
			b.ReportAllocs()
			for b.Loop() {
				if r.Invoke(ctx, inv).Error() != nil {
					b.Fatal("no answer")
				}
			}
		})
	}
}
