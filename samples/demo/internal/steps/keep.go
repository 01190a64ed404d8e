// SPDX-License-Identifier: Apache-2.0

package steps

import (
	"context"
	"fmt"
	"strings"

	"github.com/graylane/graylane/internal/testkit/child"
)

// Keep starts the first fleet, without load, and returns how to use it.
func (r *Run) Keep(ctx context.Context) (string, error) {
	r.cfg.Say("starting the fleet once more")
	if err := r.startFleet(ctx); err != nil {
		return "", err
	}
	var b strings.Builder
	url := r.gateway.Slot.URL()
	fmt.Fprintf(&b, "gateway  %s\n", url)
	for _, i := range r.fleet.All() {
		if i != r.gateway {
			fmt.Fprintf(&b, "%-11s tri://%s  log %s/%s\n", i.Slot.Name, i.Slot.Address(), i.Dir, child.LogName)
		}
	}
	fmt.Fprintf(&b, `try: curl -s -H 'x-lane: gray' -d '{"user_id":"demo-1","items":[{"sku":"tea","quantity":1}]}' %s/api/orders`, url)
	return b.String(), nil
}
