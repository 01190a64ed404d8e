// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"context"

	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"

	"github.com/graylane/graylane/cluster/endpoint"
)

// counted counts the calls of a cluster other than ours, so that an endpoint is
// not destroyed under them and the ledger has them. It refuses none: such a
// cluster has nowhere else to go with the call.
type counted struct {
	base.Invoker
	e *endpoint.Endpoint
}

// Invoke counts the call in and out, also on a panic. An error may be the handler's.
func (c *counted) Invoke(ctx context.Context, inv base.Invocation) (res result.Result) {
	if !c.e.BeginAnyway() { // retired: its invoker says so
		return c.Invoker.Invoke(ctx, inv)
	}
	outcome := endpoint.Unknown
	defer func() { c.e.End(outcome) }()
	if res = c.Invoker.Invoke(ctx, inv); res.Error() == nil {
		outcome = endpoint.Answered
	}
	return res
}
