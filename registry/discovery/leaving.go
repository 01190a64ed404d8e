// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"context"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/ack"
	"github.com/graylane/graylane/internal/conf"
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
	go l.acknowledge(caller)
}

// acknowledge tells it that this caller, by the name that it has here, sends nothing more.
func (l leaving) acknowledge(caller string) {
	ctx, cancel := context.WithTimeout(context.Background(), saidTimeout)
	defer cancel()
	say(ctx, l.endpoint, "its leave is known", func(ctx context.Context) error {
		return ack.Send(ctx, l.url, caller, tag.StateClosing, l.instance.Incarnation)
	})
}

// watchTime is how long the health watch of a provider that the registry has taken out
// may take to say that it leaves.
const watchTime = 200 * time.Millisecond

// avow tells a provider over Triple that left the registry that this caller knows, where
// the health watch does not say it: dubbo-go opens one when it connects and never again, so
// that it is gone with the first connection. A provider that is only missing from a list
// does not mind. d.mu is held.
func (d *Directory) avow(p *provider) {
	caller, ok := p.endpoint.Caller.(string)
	if !ok || d.foreign || d.gone || p.replaced || conf.Current().Mode != conf.Enforce {
		return
	}
	l := leaving{p.instance, p.endpoint, p.merged}
	time.AfterFunc(watchTime, func() {
		if !l.instance.Closing() {
			l.acknowledge(caller)
		}
	})
}
