// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"context"
	"sync"

	"dubbo.apache.org/dubbo-go/v3/common/constant"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/ack"
	"github.com/graylane/graylane/internal/conf"
)

// farewells bounds those under way at once.
const farewells = 64

// Farewell tells each provider that this process has called that it ends. Without it a
// provider that leaves in the next five minutes would wait its whole notice for a caller
// that is no more. It returns when all have been told or could not be, which is logged and
// counted (see [ReadWords]), or when ctx ends. Over Triple it is a health Check
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
			defer func() { <-room }()
			ctx, cancel := context.WithTimeout(ctx, saidTimeout)
			defer cancel()
			say(ctx, e, "this caller ends", func(ctx context.Context) error { return farewell(ctx, e, caller) })
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
	_, err := echo(ctx, e, tag.StateGone+";"+e.Incarnation)
	return err
}

// acquaintances returns an endpoint of each provider process that knows this one as a
// caller, by that name: it has answered, and has not said that it leaves. An outlier may
// be one for its connections alone, and waits like any.
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
			if p.endpoint == nil || p.instance.Over() {
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
