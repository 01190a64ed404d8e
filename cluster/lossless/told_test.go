// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"testing"

	"dubbo.apache.org/dubbo-go/v3/common/constant"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/self"
)

// TestTold: graylane-caller names caller and incarnation, anew for each endpoint;
// graylane-path only when asked for.
func TestTold(t *testing.T) {
	for _, protocol := range protocols {
		r := newRig(t, protocol, "", "")
		for _, n := range r.nodes {
			n.refuses(protocol, tag.RefusedNotReady)
		}
		_ = r.call(nil)
		for _, n := range r.nodes {
			told := n.lastTold(t)
			if want := self.CallerTo("gateway", n.e.Incarnation); told[tag.KeyCaller] != want {
				t.Errorf("%s: graylane-caller %v, want %v", protocol, told[tag.KeyCaller], want)
			}
			if told[tag.KeyPath] != nil {
				t.Errorf("%s: graylane-path %v without being asked", protocol, told[tag.KeyPath])
			}
		}
	}
	// A peer that publishes no incarnation after one that does is told nothing.
	r := newRig(t, constant.TriProtocol, "", "")
	r.nodes[0].refuses(constant.TriProtocol, tag.RefusedClosing)
	plain := r.nodes[1]
	plain.e = &endpoint.Endpoint{Instance: plain.e.Instance, Invoker: plain, Weight: 100}
	r.set(r.nodes[0], plain)
	for r.nodes[0].calls.Load() == 0 {
		if err := r.call(nil); err != nil {
			t.Fatal(err)
		}
	}
	if got := plain.lastTold(t)[tag.KeyCaller]; got != nil && got != "" {
		t.Errorf("a plain peer was told %v", got)
	}
}
