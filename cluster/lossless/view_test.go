// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"errors"
	"testing"

	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/filter/tag"
)

// TestInVain: calls that find nobody do not build the snapshot again, however many.
func TestInVain(t *testing.T) {
	keep := true
	own = &keeping{keeps: func(base.Invoker) bool { return keep }}
	t.Cleanup(func() { own = nil })
	r := newRig(t, constant.TriProtocol, "", "")
	t.Cleanup(r.Invoker.Destroy)
	for _, tc := range []struct {
		name string
		call map[string]any
		keep bool
	}{
		{"a tag without instances", map[string]any{tag.KeyTag: "nope", tag.KeyForce: "true"}, true},
		{"the routers leave nothing", map[string]any{}, false},
	} {
		keep = tc.keep
		for try := 1; ; try++ {
			known := r.view.news.Load()
			before := r.view.fresh(false)
			for range 10 {
				if err := r.call(tc.call); !errors.Is(err, endpoint.ErrNoEndpoint) {
					t.Fatalf("%s: %v", tc.name, err)
				}
			}
			after := r.view.cur.Load()
			if r.view.news.Load() != known && try < 10 {
				continue // an instance of another test's
			}
			if after != before {
				t.Errorf("%s: the snapshot was built again", tc.name)
			}
			break
		}
	}
}

// TestBehind: a call that an endpoint refuses, which has changed and has not told
// yet, finds what is now, and those after it find it at once.
func TestBehind(t *testing.T) {
	r := newRig(t, constant.TriProtocol, "")
	for _, removed := range []bool{true, false, true} {
		r.nodes[0].e.SetRemoved(removed)
		if err := r.call(nil); err != nil { // it serves until there is another
			t.Fatalf("removed %t: %v", removed, err)
		}
	}
	d, err := r.view.cur.Load().Route("", false)
	if err != nil || !d.Last {
		t.Errorf("in force after the calls: %+v, %v; want the level of those that leave", d, err)
	}
}
