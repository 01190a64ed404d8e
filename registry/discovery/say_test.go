// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/connect"
	"github.com/graylane/graylane/internal/testkit/ports"
)

// stammerer answers $echo as answers say, one after the other, then well.
type stammerer struct {
	*base.BaseInvoker
	answers []func() result.Result
	asked   []base.Invocation
}

func (s *stammerer) Invoke(_ context.Context, inv base.Invocation) result.Result {
	s.asked = append(s.asked, inv)
	if len(s.answers) > 0 {
		answer := s.answers[0]
		s.answers = s.answers[1:]
		return answer()
	}
	return &result.RPCResult{Attrs: map[string]any{tag.KeyState: "closing;aa"}}
}

// TestSay: what a provider has to hear is said again, once, for whatever reason it was not
// heard, and at once for as long as dubbo-go's client draws closed connections. What is
// not heard is counted, unless nobody is there.
func TestSay(t *testing.T) {
	stale := func() result.Result { return &result.RPCResult{Err: errors.New(connect.Stale)} }
	fails := func() result.Result { return &result.RPCResult{Err: errors.New("reset")} }
	panics := func() result.Result { panic("nil pointer") }
	late := func() result.Result { time.Sleep(sayTimeout); return fails() }
	nothing := func() result.Result { return nil }
	times := func(n int, answer func() result.Result) (list []func() result.Result) {
		for range n {
			list = append(list, answer)
		}
		return list
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	for _, tc := range []struct {
		name    string
		answers []func() result.Result
		dead    bool // nobody listens at its address
		heard   bool
		words   Words
		took    time.Duration
	}{
		{"at once", nil, false, true, Words{}, 0},
		{"closed connections", times(echoRedraws, stale), false, true, Words{}, 0},
		{"nothing but closed connections, for a moment", times(echoRedraws+1, stale), false, true, Words{Again: 1}, sayPause},
		{"an error", times(1, fails), false, true, Words{Again: 1}, sayPause},
		{"a panic of the client", times(1, panics), false, true, Words{Again: 1}, sayPause},
		{"no result", times(1, nothing), false, true, Words{Again: 1}, sayPause},
		{"no answer", times(1, late), false, true, Words{Again: 1}, sayTimeout + sayPause},
		{"two errors", times(2, fails), false, false, Words{Again: 1, Unheard: 1}, sayPause},
		{"twice no answer", times(2, late), false, false, Words{Again: 1, Unheard: 1}, saidTimeout},
		{"its invoker was destroyed", times(1, func() result.Result { return &result.RPCResult{Err: base.ErrDestroyedInvoker} }), false, false, Words{}, 0},
		{"nobody is there", times(1, fails), true, false, Words{}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			address := l.Addr().String()
			if tc.dead {
				address = ports.Dead()
			}
			synctest.Test(t, func(t *testing.T) {
				s := &stammerer{BaseInvoker: base.NewBaseInvoker(common.NewURLWithOptions(common.WithProtocol(constant.DubboProtocol))), answers: tc.answers}
				e := &endpoint.Endpoint{Instance: new(endpoint.Table).Acquire(address, "aa", "order", endpoint.Birth{}), Invoker: s, Caller: "gateway-1;aa"}
				before, began := ReadWords(), time.Now()
				if heard := say(t.Context(), e, "its leave is known", func(ctx context.Context) error { return heedEcho(ctx, e) }); heard != tc.heard {
					t.Errorf("heard %t, want %t", heard, tc.heard)
				}
				if took := time.Since(began); took != tc.took {
					t.Errorf("took %v, want %v", took, tc.took)
				}
				after := ReadWords()
				if got := (Words{after.Again - before.Again, after.Unheard - before.Unheard}); got != tc.words || e.Instance.Closing() != tc.heard {
					t.Errorf("%+v, heard %t; want %+v, %t", got, e.Instance.Closing(), tc.words, tc.heard)
				}
				for _, inv := range s.asked {
					timeout, _ := inv.GetAttachment(constant.TimeoutKey)
					if d, err := time.ParseDuration(timeout); err != nil || d <= 0 || d > sayTimeout {
						t.Errorf("timeout %q, want at most %v", timeout, sayTimeout)
					}
				}
			})
		})
	}
}
