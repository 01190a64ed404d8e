// SPDX-License-Identifier: Apache-2.0

//nolint:thelper // the functions run in a bubble are the tests themselves
package discovery

import (
	"context"
	"testing"
	"testing/synctest"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/filter/tag"
)

// leaver answers $echo as a provider does that leaves, or one that only is missing
// from a list.
type leaver struct {
	*base.BaseInvoker
	state string
	asked []base.Invocation
}

func (l *leaver) Invoke(_ context.Context, inv base.Invocation) result.Result {
	l.asked = append(l.asked, inv)
	return &result.RPCResult{Attrs: map[string]any{tag.KeyState: l.state}}
}

// Who hears of a provider's leaving from the registry says so, where nothing else can.
func TestConfirm(t *testing.T) {
	const caller = "gateway-1;aa"
	for _, tc := range []struct {
		name, protocol, state string
		change                func(*Directory, *provider)
		asked, closing        bool
	}{
		{"it leaves", "dubbo", "closing;aa", nil, true, true},
		{"it is only missing from the list", "dubbo", "", nil, true, false},
		{"another process answers", "dubbo", "closing;bb", nil, true, false},
		{"Triple has its health watch", "tri", "closing;aa", nil, false, false},
		{"its answer has told already", "dubbo", "closing;aa", func(_ *Directory, p *provider) { p.instance.MarkClosing() }, false, true},
		{"it would not believe us", "dubbo", "closing;aa", func(_ *Directory, p *provider) { p.endpoint.Caller = nil }, false, false},
		{"its last answer is late, or its connections are not well", "dubbo", "closing;aa", func(_ *Directory, p *provider) {
			p.instance.Strike()
			p.instance.SetOutlier(true)
		}, true, true},
		{"another process has its address", "dubbo", "closing;aa", func(_ *Directory, p *provider) { p.replaced = true }, false, false},
		{"it has never answered", "dubbo", "closing;aa", func(_ *Directory, p *provider) {
			p.instance = &endpoint.Instance{Incarnation: "aa"}
			p.endpoint = &endpoint.Endpoint{Instance: p.instance, Invoker: p.endpoint.Invoker, Caller: p.endpoint.Caller}
		}, false, false},
		{"a generic reference would call $invoke", "dubbo", "closing;aa", func(_ *Directory, p *provider) {
			p.endpoint.Invoker.GetURL().SetParam(constant.GenericKey, "true")
		}, false, false},
		{"a cluster of dubbo-go's cannot reroute", "dubbo", "closing;aa", func(d *Directory, _ *provider) { d.foreign = true }, false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *Directory) {
				u := common.NewURLWithOptions(common.WithProtocol(tc.protocol), common.WithLocation("127.0.0.1:1"))
				l := &leaver{BaseInvoker: base.NewBaseInvoker(u), state: tc.state}
				e := &endpoint.Endpoint{Instance: &endpoint.Instance{Incarnation: "aa"}, Invoker: l, Caller: caller}
				e.Begin(false)
				e.End(endpoint.Answered)
				p := &provider{instance: e.Instance, endpoint: e}
				if tc.change != nil {
					tc.change(d, p)
				}
				d.mu.Lock()
				d.confirm(p)
				d.mu.Unlock()
				synctest.Wait()
				if (len(l.asked) == 1) != tc.asked || p.instance.Closing() != tc.closing {
					t.Fatalf("asked %d times, closing %t; want asked %t, closing %t", len(l.asked), p.instance.Closing(), tc.asked, tc.closing)
				}
				if tc.asked {
					inv := l.asked[0]
					if who, _ := inv.GetAttachment(tag.KeyCaller); inv.MethodName() != constant.Echo || len(inv.Arguments()) != 1 || who != caller {
						t.Errorf("asked %s%v as %q, want $echo with one argument as %q", inv.MethodName(), inv.Arguments(), who, caller)
					}
				}
			})
		})
	}
}
