// SPDX-License-Identifier: Apache-2.0

package modes

import (
	"context"
	"slices"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/client"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/registry"
)

// TestApplicationJoins: a second application comes to offer the service of a reference
// that runs, at application level and with no application named by the user.
//
//  1. order's instance serves
//  2. shop joins: both serve
//  3. order has one more, which is told to all who listen: shop's is still there
//  4. shop has one more: all four serve
//  5. an instance of each leaves: the other two serve.
func TestApplicationJoins(t *testing.T) {
	const address = "a-joined" // dubbo-go hears of mappings from the first report by name
	t.Cleanup(func() { mapApplications("order") })
	for _, group := range []string{"", constant.AnyValue} {
		order, shop := several(t, constant.TriProtocol, "", 2), []*provider{
			newProvider(t, constant.TriProtocol, "", warm, constant.ApplicationKey, "shop"),
			newProvider(t, constant.TriProtocol, "", warm, constant.ApplicationKey, "shop"),
		}
		everybody := append(order[:2:2], shop...)
		mapApplications("order")
		list(address, order[0])
		call := dial(t, client.WithProtocol(constant.TriProtocol), client.WithGroup(group), at(address, registry.WithRegisterService()))
		// round reports whether these serve 60 calls, and nobody else: one of four that
		// gets none of them is 1 in 10^7.
		round := func(want []*provider) bool {
			for _, p := range everybody {
				p.attempts.Store(0)
			}
			for range 60 {
				if err := call(context.Background(), untagged()); err != nil {
					t.Fatalf("group %q: %v", group, err)
				}
			}
			return !slices.ContainsFunc(everybody, func(p *provider) bool { return (p.attempts.Load() > 0) != slices.Contains(want, p) })
		}
		serve := func(step string, want ...*provider) {
			t.Helper()
			for deadline := time.Now().Add(patience); !round(want); { // what an instance offers is asked for beside the calls
				if time.Now().After(deadline) {
					t.Fatalf("group %q, %s: not served by these %d of %d", group, step, len(want), len(everybody))
				}
			}
			for range 3 { // and it stays so
				if !round(want) {
					t.Errorf("group %q, %s: not served by these %d of %d any more", group, step, len(want), len(everybody))
				}
			}
		}
		// 1
		serve("order alone", order[0])
		// 2
		list(address, order[0], shop[0])
		mapApplications("order", "shop")
		serve("shop joined", order[0], shop[0])
		// 3
		list(address, order[0], order[1], shop[0])
		serve("order grew", order[0], order[1], shop[0])
		// 4
		list(address, order[0], order[1], shop[0], shop[1])
		serve("shop grew", everybody...)
		// 5
		list(address, order[1], shop[1])
		serve("one of each left", order[1], shop[1])
	}
}
