// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"context"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"github.com/dubbogo/gost/log/logger"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/ack"
)

// ackTimeout bounds the word to a provider that we know of its leave. Without it the
// provider waits for its notice.
const ackTimeout = 3 * time.Second

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
		ctx, cancel := context.WithTimeout(context.Background(), ackTimeout)
		defer cancel()
		if err := ack.Send(ctx, l.url, caller, tag.StateClosing, l.instance.Incarnation); err != nil {
			logger.Infof("[graylane] %s leaves, and could not be told that this is known: %v", l.instance.Address, err)
		}
	}()
}
