// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"context"
	"errors"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"

	"github.com/graylane/graylane/internal/connect"
	"github.com/graylane/graylane/internal/testkit/ports"
)

// TestRedraw: a call that draws closed connections of an endpoint reaches it all the same,
// and its books and its state know nothing of them. Where all are closed it was never sent.
func TestRedraw(t *testing.T) {
	for _, tc := range []struct {
		name          string
		closed        int // draws
		fails, panics bool
	}{
		{"one", 1, false, false},
		{"as many as there may be", connect.Redraws, false, false},
		{"all", connect.Redraws + 1, true, false},
		{"then the client panics", 3, false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, constant.DubboProtocol)
			n := newNode(t, "", ports.Dead()) // where a look for a sign of life ends at once
			r.set(n)
			drawn := 0
			n.answer = func(_ context.Context, inv base.Invocation) result.Result {
				timeout, _ := inv.GetAttachment(constant.TimeoutKey)
				if d, err := time.ParseDuration(timeout); err != nil || d <= 0 || d > defaultTimeout {
					t.Errorf("draw %d: timeout %q, want what is left of 3s", drawn, timeout)
				}
				inv.SetAttachment(constant.TimeoutKey, "1000") // as dubbo-go's client leaves it
				if drawn++; drawn <= tc.closed {
					return &result.RPCResult{Err: errors.New("session Already Closed")}
				}
				if tc.panics {
					panic("nil pointer")
				}
				return &result.RPCResult{Rest: "ok"}
			}
			var err error
			func() {
				defer func() {
					if p := recover(); (p != nil) != tc.panics {
						t.Errorf("panic %v", p)
					}
				}()
				err = r.call(nil)
			}()
			switch {
			case tc.panics:
				n.checkBooks(t, 1, 0, 0, 1, 0)
			case tc.fails:
				if b := n.books(t); err == nil || b.Sent != 0 || b.Failed != 1 {
					t.Errorf("error %v, books %+v; want it failed", err, b)
				}
			case err != nil:
				t.Errorf("error %v", err)
			default:
				n.checkBooks(t, 1, 1, 0, 0, 0)
				if b := n.books(t); b.Failed != 0 || n.e.Outlier() {
					t.Errorf("books %+v, outlier %t; want nothing of it", b, n.e.Outlier())
				}
			}
			if want := min(tc.closed, connect.Redraws) + 1; drawn != want {
				t.Errorf("drawn %d times, want %d", drawn, want)
			}
		})
	}
}
