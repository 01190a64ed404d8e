// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"context"
	"errors"
	"testing"

	"dubbo.apache.org/dubbo-go/v3/common/constant"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/cluster/tagrouter"
	"github.com/graylane/graylane/filter/tag"
)

// TestLastOne: the only instance, closing, serves until it refuses; then the
// caller sees ErrNoEndpoint with the refusal. With nothing to serve it sees dubbo-go's words.
func TestLastOne(t *testing.T) {
	for _, protocol := range protocols {
		r := newRig(t, protocol, "")
		r.nodes[0].e.MarkClosing()
		if err := r.call(nil); err != nil {
			t.Errorf("%s: a closing instance did not serve: %v", protocol, err)
		}
		r.nodes[0].refuses(protocol, tag.RefusedClosing)
		err := r.call(nil)
		if !errors.Is(err, endpoint.ErrNoEndpoint) || !contains(err, tag.RefusedClosing) {
			t.Errorf("%s: %v, want ErrNoEndpoint and the refusal", protocol, err)
		}
		before := ReadStats().NoEndpoint
		r.set()
		if err = r.call(wanting("gray")); !errors.Is(err, endpoint.ErrNoEndpoint) || !contains(err, "No provider available") || !contains(err, service) || !contains(err, `"gray"`) {
			t.Errorf("%s: %v, want No provider available, the service, the tag, ErrNoEndpoint", protocol, err)
		}
		if got := ReadStats().NoEndpoint - before; got != 1 {
			t.Errorf("%s: counted %d calls without endpoint, want 1", protocol, got)
		}
		if r.IsAvailable(); r.Invoker.IsAvailable() {
			t.Errorf("%s: available without endpoint", protocol)
		}
	}
}

// TestFallbacks are counted by reason, once a call, also when only a reroute
// falls back.
func TestFallbacks(t *testing.T) {
	for _, tc := range []struct {
		name   string
		tags   []string
		wanted string
		change func(*rig)
		reason tagrouter.Reason
	}{
		{"lane", []string{"gray", ""}, "gray", func(*rig) {}, ""},
		{"no instance", []string{""}, "gray", func(*rig) {}, tagrouter.NoInstance},
		{"closing", []string{"gray", ""}, "gray", func(r *rig) { r.nodes[0].e.MarkClosing() }, tagrouter.Closing},
		{"outlier", []string{"gray", ""}, "gray", func(r *rig) { r.nodes[0].e.SetOutlier(true) }, tagrouter.Outlier},
		{"refused, then baseline", []string{"gray", ""}, "gray", func(r *rig) { r.nodes[0].refuses(constant.TriProtocol, tag.RefusedClosing) }, tagrouter.Closing},
		{"two refused, then baseline", []string{"gray", "gray", ""}, "gray", func(r *rig) {
			r.nodes[0].refuses(constant.TriProtocol, tag.RefusedClosing)
			r.nodes[1].refuses(constant.TriProtocol, tag.RefusedClosing)
		}, tagrouter.Closing},
		{"untagged", []string{"prod"}, "", func(*rig) {}, tagrouter.Untagged},
		{"none wanted", []string{"", "gray"}, "", func(*rig) {}, ""},
	} {
		r := newRig(t, constant.TriProtocol, tc.tags...)
		tc.change(r)
		r.view.refresh()
		before := ReadStats().Fallbacks
		ctx, _ := tag.WithPath(context.Background())
		if err := r.Invoke(ctx, call1("Place", wanting(tc.wanted))).Error(); err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		for reason, n := range ReadStats().Fallbacks {
			want := int64(0)
			if reason == tc.reason {
				want = 1
			}
			if n-before[reason] != want {
				t.Errorf("%s: fallback %q counted %d times, want %d", tc.name, reason, n-before[reason], want)
			}
		}
		want := "1"
		if tc.reason != "" {
			want += ";" + string(tc.reason)
		}
		served := r.nodes[len(r.nodes)-1]
		if tc.name == "lane" || tc.name == "none wanted" {
			served = r.nodes[0]
		}
		if got := served.lastTold(t)[tag.KeyPath]; got != want {
			t.Errorf("%s: graylane-path %v, want %s", tc.name, got, want)
		}
	}
}

// TestReferenceTag: the reference's own tag is what calls want that name none.
func TestReferenceTag(t *testing.T) {
	r := newRig(t, constant.TriProtocol, "", "gray")
	r.url.SubURL.SetParam(tag.KeyTag, "gray")
	r.view.close()
	r.Invoker = New(r, r)
	t.Cleanup(r.view.close)
	for range 10 {
		if err := r.call(nil); err != nil {
			t.Fatal(err)
		}
	}
	if a, b := r.nodes[0].calls.Load(), r.nodes[1].calls.Load(); a != 0 || b != 10 {
		t.Errorf("baseline %d, gray %d; want 0 and 10", a, b)
	}
}
