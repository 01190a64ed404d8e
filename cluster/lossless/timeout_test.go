// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"

	"github.com/graylane/graylane/filter/tag"
)

// TestDeadline: on dubbo the attachment carries what is left, at most the
// reference's timeout; a dead context ends the reroutes.
func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tc := range []struct {
			own      string
			deadline time.Duration
			want     string
		}{{"", 0, "3s"}, {"", time.Second, "1s"}, {"", 10 * time.Second, "3s"}, {"500ms", 10 * time.Second, "500ms"}, {"500ms", 100 * time.Millisecond, "100ms"}} {
			c := call{ctx: context.Background(), timeout: tc.own}
			if tc.deadline > 0 {
				var cancel context.CancelFunc
				c.ctx, cancel = context.WithTimeout(c.ctx, tc.deadline)
				defer cancel()
			}
			if got := c.remaining("3s"); got != tc.want {
				t.Errorf("own %q, deadline %v: timeout %q, want %q", tc.own, tc.deadline, got, tc.want)
			}
		}
	})
	for _, protocol := range protocols {
		r := newRig(t, protocol, "", "", "")
		ctx, cancel := context.WithCancel(t.Context())
		t.Cleanup(cancel)
		for _, n := range r.nodes {
			n.answer = func(context.Context, base.Invocation) result.Result {
				cancel()
				return &result.RPCResult{Err: refusalOf(protocol, tag.RefusedNotReady, "")}
			}
		}
		_ = r.Invoke(ctx, call1("Place", nil))
		if got := r.total(); got != 1 {
			t.Errorf("%s: %d attempts after the context's end, want 1", protocol, got)
		}
	}
}
