// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"context"
	"testing"

	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"

	"github.com/graylane/graylane/cluster/endpoint"
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
