// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/internal/connect"
)

// redraw sends a call over the dubbo protocol once more to the same endpoint, for as long
// as dubbo-go's client draws connections that are closed, see [connect.Stale]. The endpoint
// is well and has others: it is no reason to put it out, nor to call one that leaves.
func (c *call) redraw(e *endpoint.Endpoint, res result.Result) (result.Result, error) {
	for range connect.Redraws {
		if err := res.Error(); err == nil || err.Error() != gettyClosed || c.base.Err() != nil || c.late() {
			return res, err
		}
		c.attach(constant.TimeoutKey, c.timeout())
		res = e.Invoker.Invoke(c.ctx, c.inv)
		if r, ok := res.(*result.RPCResult); res == nil || ok && r == nil {
			return &result.RPCResult{Err: ErrNoResult}, ErrNoResult
		}
	}
	return res, res.Error()
}
