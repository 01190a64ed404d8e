// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"context"
	"testing"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"

	"github.com/graylane/graylane/cluster/endpoint"
)

// retirer retires its endpoint under the call, and tells whether it was freed at once.
type retirer struct {
	*base.BaseInvoker
	e     *endpoint.Endpoint
	freed bool
	under bool // freed under the call
}

func (r *retirer) Invoke(context.Context, base.Invocation) result.Result {
	r.e.Retire(func() { r.freed = true })
	r.under = r.freed
	return &result.RPCResult{}
}

// TestCountedKeepsTheConnection: a call of a foreign cluster is counted whatever the
// endpoint has said, so that it is not freed under it.
func TestCountedKeepsTheConnection(t *testing.T) {
	for name, say := range map[string]func(*endpoint.Endpoint){
		"usable":   func(*endpoint.Endpoint) {},
		"closing":  func(e *endpoint.Endpoint) { e.MarkClosing() },
		"refusing": func(e *endpoint.Endpoint) { e.MarkRefusing() },
		"gone":     func(e *endpoint.Endpoint) { e.SetRemoved(true); e.SetOutlier(true) },
	} {
		e := &endpoint.Endpoint{Instance: &endpoint.Instance{Incarnation: "aa"}}
		say(e)
		r := &retirer{BaseInvoker: base.NewBaseInvoker(common.NewURLWithOptions()), e: e}
		(&counted{r, e}).Invoke(context.Background(), nil)
		if r.under || !r.freed {
			t.Errorf("%s: freed under its call %t, after it %t", name, r.under, r.freed)
		}
	}
}
