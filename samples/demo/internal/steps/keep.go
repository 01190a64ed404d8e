// SPDX-License-Identifier: Apache-2.0

package steps

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/graylane/graylane/samples/demo/internal/fleet"
)

// Keep starts the first fleet, without load, and returns how to use it. The caller
// closes the run, also after an error.
func Keep(ctx context.Context, cfg Config) (*Run, string, error) {
	r := &Run{cfg: cfg, times: cfg.times(), start: time.Now(), apps: map[string][]*fleet.Instance{}, loaded: make(chan struct{})}
	cfg.Fleet.Line = r.line
	r.fleet = fleet.New(cfg.Fleet)
	cfg.Say("starting the fleet once more")
	if err := r.startFleet(ctx); err != nil {
		return r, "", err
	}
	var b strings.Builder
	url := r.gateway.Slot.URL()
	fmt.Fprintf(&b, "gateway  %s\n", url)
	for _, i := range r.fleet.All() {
		if i != r.gateway {
			fmt.Fprintf(&b, "%-11s tri://%s  log %s/%s\n", i.Slot.Name, i.Slot.Address(), i.Dir, fleet.LogName)
		}
	}
	fmt.Fprintf(&b, `try: curl -s -H 'x-lane: gray' -d '{"user_id":"demo-1","items":[{"sku":"tea","quantity":1}]}' %s/api/orders`, url)
	return r, b.String(), nil
}
