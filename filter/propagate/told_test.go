// SPDX-License-Identifier: Apache-2.0

package propagate_test

import (
	"context"
	"maps"
	"testing"

	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/invocation"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"

	"github.com/graylane/graylane/filter/propagate"
	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/told"
)

// listener is an invoker that can be told.
type listener struct {
	base.BaseInvoker
	told *told.Call
}

func (l *listener) Invoke(context.Context, base.Invocation) result.Result { return &result.RPCResult{} }

func (l *listener) InvokeTold(_ context.Context, _ base.Invocation, c told.Call) result.Result {
	l.told = &c
	return &result.RPCResult{}
}

// TestTold: the cluster is told of calls of which all is known, and what it is told
// is what the attachments say then. Whoever insists, asks for the way or answers a
// call himself makes it look for itself.
func TestTold(t *testing.T) {
	plain := func(more map[string]any) map[string]any {
		m := map[string]any{constant.TimeoutKey: "", constant.RetriesKey: ""}
		maps.Copy(m, more)
		return m
	}
	gray := tag.NewContext(context.Background(), "gray")
	asks, _ := tag.WithPath(context.Background())
	var answers context.Context
	handle(t, map[string]any{tag.KeyTag: "gray"}, func(ctx context.Context) { answers = ctx })
	for _, tc := range []struct {
		name        string
		ctx         context.Context
		attachments map[string]any
		told        bool
		tag         string
		timeout     string
	}{
		{"no tag", context.Background(), plain(nil), true, "", ""},
		{"empty tag", context.Background(), plain(map[string]any{tag.KeyTag: ""}), true, "", ""},
		{"tag", context.Background(), plain(map[string]any{tag.KeyTag: "gray"}), true, "gray", ""},
		{"tag as a list", context.Background(), plain(map[string]any{tag.KeyTag: []string{"gray"}}), true, "gray", ""},
		{"no tag at all", context.Background(), plain(map[string]any{tag.KeyTag: "no tag!"}), true, "", ""},
		{"tag of the context", gray, plain(nil), true, "gray", ""},
		{"timeout", gray, plain(map[string]any{constant.TimeoutKey: "1s"}), true, "gray", "1s"},
		{"no retries", gray, map[string]any{constant.TimeoutKey: "2s"}, true, "gray", "2s"},
		{"nothing", gray, map[string]any{}, true, "gray", ""},
		{"no map", gray, nil, false, "", ""},
		{"force", gray, plain(map[string]any{tag.KeyForce: "true"}), false, "", ""},
		{"force in place of retries", gray, map[string]any{constant.TimeoutKey: "", tag.KeyForce: "true"}, false, "", ""},
		{"another spelling", gray, plain(map[string]any{"Dubbo.Tag": "blue"}), false, "", ""},
		{"asks for its way", asks, plain(nil), false, "", ""},
		{"answers a call", answers, plain(nil), false, "", ""},
	} {
		l := &listener{}
		inv := invocation.NewRPCInvocation("M", nil, tc.attachments)
		propagate.Interceptor{}.Invoke(tc.ctx, l, inv)
		if (l.told != nil) != tc.told {
			t.Errorf("%s: told %t, want %t", tc.name, l.told != nil, tc.told)
			continue
		}
		if !tc.told {
			continue
		}
		if l.told.Tag != tc.tag || l.told.Timeout != tc.timeout {
			t.Errorf("%s: told %q, %q; want %q, %q", tc.name, l.told.Tag, l.told.Timeout, tc.tag, tc.timeout)
		}
		for _, key := range [...]string{tag.KeyTag, tag.KeyShadow} {
			if got, _ := tag.Value(inv.Attachments()[key]); got != l.told.Tag {
				t.Errorf("%s: %s is %q, told %q", tc.name, key, got, l.told.Tag)
			}
		}
		l.told.Attachments["probe"] = 1
		if inv.Attachments()["probe"] != 1 {
			t.Errorf("%s: told of other attachments than the invocation's", tc.name)
		}
	}
}
