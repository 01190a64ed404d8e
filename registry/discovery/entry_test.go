// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"fmt"
	"testing"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/registry"
	"dubbo.apache.org/dubbo-go/v3/remoting"

	"github.com/graylane/graylane/internal/meta"
)

// TestReadAll: however long a list, and so however many read it, each provider is read
// once and in the list's order, the drained apart.
func TestReadAll(t *testing.T) {
	registryURL := common.NewURLWithOptions(common.WithProtocol("registry"))
	registryURL.SubURL = common.NewURLWithOptions(common.WithPath("a.Order"))
	d := newDirectory(registryURL)
	s := d.newSource(registryURL, registryURL.SubURL)
	for _, size := range []int{0, 1, readAtOnce, readAtOnce + 1, 5*readAtOnce + 7} {
		events := make([]*registry.ServiceEvent, size)
		var present, out []string
		for n := range events {
			address := fmt.Sprintf("10.0.%d.%d:20000", n/250, n%250)
			u := common.NewURLWithOptions(common.WithProtocol("tri"), common.WithPath("a.Order"))
			u.Location = address
			e := &registry.ServiceEvent{Action: remoting.EventTypeUpdate, Service: u}
			switch n % 5 {
			case 1:
				u.SetParam(meta.RegistryWeight, "0")
				out = append(out, address)
			case 2:
				e.Action = remoting.EventTypeDel
			case 3:
				e.Service = nil
			case 4:
				e = nil
			default:
				present = append(present, address)
			}
			events[n] = e
		}
		got := s.readAll(events)
		if got.offered != len(present) || got.still != 0 {
			t.Fatalf("%d events: %d offered, %d as they were, want %d and none", size, got.offered, got.still, len(present))
		}
		for name, c := range map[string]struct {
			got  []entry
			want []string
		}{"present": {got.present, present}, "drained": {got.drained, out}} {
			if len(c.got) != len(c.want) {
				t.Fatalf("%d events: %d %s, want %d", size, len(c.got), name, len(c.want))
			}
			for n, e := range c.got {
				if e.url.Location != c.want[n] || e.kind == nil || e.kind.protocol != "tri" {
					t.Fatalf("%d events: %s %d is %s of %v, want %s of tri", size, name, n, e.url.Location, e.kind, c.want[n])
				}
			}
		}
	}
}
