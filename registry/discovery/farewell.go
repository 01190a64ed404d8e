// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"context"
	"sync"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"github.com/dubbogo/gost/log/logger"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/ack"
	"github.com/graylane/graylane/internal/conf"
)

// farewellTimeout bounds one farewell, farewells those under way at once.
const (
	farewellTimeout = time.Second
	farewells       = 64
)

// Farewell tells each provider that this process has called that it ends. Without it a
// provider that leaves in the next five minutes would wait its whole notice for a caller
// that is no more. It returns when all have been told or could not be, or when ctx ends;
// nobody minds who is not told, for that provider waits. Over Triple it is a health Check
// (see [ack.Send]), over dubbo an $echo.
func Farewell(ctx context.Context) {
	if conf.Current().Mode != conf.Enforce {
		return
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	room := make(chan struct{}, farewells)
	for caller, e := range acquaintances() {
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
			return
		}
		wg.Go(func() {
			defer func() {
				_ = recover() // dubbo-go's client, while it loses its connection
				<-room
			}()
			ctx, cancel := context.WithTimeout(ctx, farewellTimeout)
			defer cancel()
			if err := farewell(ctx, e, caller); err != nil {
				logger.Infof("[graylane] %s could not be told that this caller ends: %v", e.Address, err)
			}
		})
	}
}

func farewell(ctx context.Context, e *endpoint.Endpoint, caller string) error {
	u := e.Invoker.GetURL()
	switch {
	case u.Protocol != constant.DubboProtocol:
		return ack.Send(ctx, u, caller, tag.StateGone, e.Incarnation)
	case generic(u): // see confirm
		return nil
	}
	if res := echo(ctx, e, tag.StateGone+";"+e.Incarnation); res != nil {
		return res.Error()
	}
	return nil
}

// acquaintances returns an endpoint of each provider process that knows this one as a
// caller, by that name: it has answered, and it is there as far as is known.
func acquaintances() map[string]*endpoint.Endpoint {
	living.Lock()
	defer living.Unlock()
	all := make(map[string]*endpoint.Endpoint)
	for d := range living.m {
		if d.foreign { // whose calls bear no name
			continue
		}
		d.mu.Lock()
		for _, p := range d.known {
			if p.endpoint == nil || p.instance.Outlier() || p.instance.Over() {
				continue
			}
			caller, ok := p.endpoint.Caller.(string)
			if answered, _ := p.instance.Calls(); ok && answered > 0 {
				all[caller] = p.endpoint
			}
		}
		d.mu.Unlock()
	}
	return all
}
