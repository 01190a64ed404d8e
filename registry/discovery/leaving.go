// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"context"

	"dubbo.apache.org/dubbo-go/v3/common"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/ack"
)

// leaving is a provider that said over Triple that it leaves.
type leaving struct {
	instance *endpoint.Instance
	endpoint *endpoint.Endpoint // nil: no connection yet
	url      *common.URL
}

// heed takes it out and tells it so. Who learnt it before, by the mark of an answer, has
// nothing to say: the provider knows to whom it wrote that.
func (l leaving) heed() {
	if !l.instance.MarkClosing() || l.endpoint == nil {
		return
	}
	caller, ok := l.endpoint.Caller.(string)
	if !ok { // it knows no callers
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), saidTimeout)
		defer cancel()
		say(ctx, l.endpoint, "its leave is known", func(ctx context.Context) error {
			return ack.Send(ctx, l.url, caller, tag.StateClosing, l.instance.Incarnation)
		})
	}()
}
