// SPDX-License-Identifier: Apache-2.0

//nolint:thelper // the functions run in a bubble are the tests themselves
package discovery

import (
	"testing"
	"testing/synctest"

	"dubbo.apache.org/dubbo-go/v3/cluster/router"
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/invocation"
	_ "dubbo.apache.org/dubbo-go/v3/protocol/protocolwrapper"
)

var hearing func([]base.Invoker)

type hearingRouter struct{}

func (hearingRouter) URL() *common.URL           { return nil }
func (hearingRouter) Priority() int64            { return 10 }
func (hearingRouter) Notify(list []base.Invoker) { hearing(list) }
func (hearingRouter) Route(list []base.Invoker, _ *common.URL, _ base.Invocation) []base.Invoker {
	return list
}

func (hearingRouter) NewPriorityRouter(*common.URL) (router.PriorityRouter, error) {
	if hearing == nil {
		return nil, nil //nolint:nilnil // how dubbo-go's factories decline
	}
	return hearingRouter{}, nil
}

func init() {
	extension.SetRouterFactory("hearing", func() router.PriorityRouterFactory { return hearingRouter{} })
}

// TestRouterHears: a router beside a cluster of dubbo-go's hears of a list that is
// published while it hears of the first.
func TestRouterHears(t *testing.T) {
	bubble(t, func(t *testing.T, d *Directory) {
		heard := 0
		hearing = func(list []base.Invoker) {
			if heard = len(list); heard == 1 {
				d.all(providerURL(1, "a", 100), providerURL(2, "b", 100))
			}
		}
		t.Cleanup(func() { hearing = nil })
		d.all(providerURL(1, "a", 100))
		d.List(invocation.NewRPCInvocationWithOptions())
		synctest.Wait()
		if heard != 2 {
			t.Errorf("the router knows of %d providers, want 2", heard)
		}
	})
}
