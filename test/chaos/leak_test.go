// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"flag"

	"github.com/graylane/graylane/cluster/endpoint"
)

// leaky makes a soak that must fail: what it looks for is there.
var leaky = flag.Bool("leak", false, "each consumer of TestSoak keeps a goroutine for each process that it ever called: it must fail")

// leak keeps a goroutine for each provider that this process has called, for good.
func leak() {
	changed := make(chan struct{}, 1)
	endpoint.Shared.Watch(func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	go func() {
		known := map[string]bool{}
		for range changed {
			for _, e := range endpoint.Shared.Ledger() {
				if !known[e.Incarnation] {
					known[e.Incarnation] = true
					go func() { select {} }()
				}
			}
		}
	}()
}
