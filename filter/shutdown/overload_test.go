// SPDX-License-Identifier: Apache-2.0

package shutdown

import (
	"testing"

	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"

	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/refusal"
)

// TestLimited: a call that a limit behind this filter refuses was not accepted, before
// the mark or after it.
func TestLimited(t *testing.T) {
	for _, protocol := range []string{constant.TriProtocol, constant.DubboProtocol} {
		g := NewGate(thisProcess)
		limited := newService(protocol, func(base.Invocation) result.Result { return refusal.Overloaded(protocol == constant.TriProtocol) })
		ask := func() {
			res := New(g).Invoke(t.Context(), limited, request(map[string]any{tag.KeyCaller: "web-1;" + thisProcess}))
			if res.Error() == nil {
				t.Errorf("%s: no refusal", protocol)
			}
		}
		ask()
		g.Close()
		ask()
		s := g.Snapshot()
		c := s.Callers[0]
		if c.Refused != 2 || c.Accepted != 0 || c.Completed != 0 || c.Aborted != 0 || c.AfterMark != 0 || s.InFlight != 0 || len(s.Running) != 0 {
			t.Errorf("%s: %+v, in flight %d; want 2 refused and nothing else", protocol, c, s.InFlight)
		}
	}
}

// TestNoAnswer: a handler that returns nothing at all does not end the process.
func TestNoAnswer(t *testing.T) {
	g := NewGate(thisProcess)
	g.Close()
	res := New(g).Invoke(t.Context(), newService(constant.TriProtocol, func(base.Invocation) result.Result { return nil }), request(nil))
	if c := g.Snapshot().Callers[0]; res != nil || c.Completed != 1 {
		t.Errorf("got %v, %+v", res, c)
	}
}
