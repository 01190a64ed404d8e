// SPDX-License-Identifier: Apache-2.0

package tagrouter

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/invocation"

	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/conf"
)

func address(n int) string { return fmt.Sprintf("10.0.0.%d:20000", n) }

func call(wanted string, force bool) base.Invocation {
	a := map[string]any{}
	if wanted != "" {
		a[tag.KeyTag] = wanted
	}
	if force {
		a[tag.KeyForce] = "true"
	}
	return invocation.NewRPCInvocation("Get", nil, a)
}

func invokers(tags []string) []base.Invoker {
	var list []base.Invoker
	for n, tg := range tags {
		u := common.NewURLWithOptions(common.WithIp(fmt.Sprintf("10.0.0.%d", n)), common.WithPort("20000"), common.WithProtocol(constant.TriProtocol))
		if tg != "" {
			u.SetParam(constant.Tagkey, tg)
		}
		list = append(list, base.NewBaseInvoker(u))
	}
	return list
}

// routers answer with the addresses that may serve a call, in the order of the
// fleet; "" is an error.
var routers = []struct {
	name  string
	route func(tags []string, wanted string, force bool) string
}{
	{"snapshot", func(tags []string, wanted string, force bool) string {
		list := fleet(strings.Join(tags, ":u ") + ":u")
		if len(tags) == 0 {
			list = nil
		}
		d, err := Build(list, Options{Ramp: ramp}).Route(wanted, force)
		if err != nil {
			return ""
		}
		var out []string
		for _, e := range d.Pool.All() {
			out = append(out, e.Address)
		}
		return strings.Join(out, " ")
	}},
	{"dubbo-go", func(tags []string, wanted string, force bool) string {
		r, err := factory{}.NewPriorityRouter(new(common.URL))
		if err != nil {
			return err.Error()
		}
		list := invokers(tags)
		r.Notify(list)
		var out []string
		for _, i := range r.Route(list, nil, call(wanted, force)) {
			out = append(out, i.GetURL().Location)
		}
		return strings.Join(out, " ")
	}},
}

// TestContract: both routers, all endpoints usable.
func TestContract(t *testing.T) {
	for _, r := range routers {
		for _, tc := range []struct {
			tags   string // comma separated, "-" is the baseline
			wanted string
			force  bool
			want   []int
		}{
			{"", "", false, nil},
			{"", "gray", false, nil},
			{"-", "", false, []int{0}},
			{"-,gray", "", false, []int{0}},
			{"-,gray,gray", "gray", false, []int{1, 2}},
			{"-,gray", "gray", true, []int{1}},
			{"-,blue", "gray", false, []int{0}},
			{"-,blue", "gray", true, nil},
			{"blue", "gray", false, nil},
			{"-,a,a|b", "a|b|c", false, []int{2}},
			{"-,a", "a|b|c", false, []int{1}},
			{"-,b", "a|b|c", false, []int{0}},
			{"-,a,a|b", "a|b|c", true, nil},
			{"prod,blue", "", false, []int{0, 1}}, // tagged throughout
		} {
			var tags []string
			if tc.tags != "" {
				for w := range strings.SplitSeq(tc.tags, ",") {
					tags = append(tags, strings.TrimPrefix(w, "-"))
				}
			}
			var want []string
			for _, n := range tc.want {
				want = append(want, address(n))
			}
			if got := r.route(tags, tc.wanted, tc.force); got != strings.Join(want, " ") {
				t.Errorf("%s: fleet %q, wanted %q, force %t: %q, want %q", r.name, tc.tags, tc.wanted, tc.force, got, want)
			}
		}
	}
}

// TestRoutersAgree: on random fleets of usable endpoints all give the same answer.
func TestRoutersAgree(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	all := []string{"", "", "gray", "a", "a|b", "a|b|c", "b"}
	for range 1000 {
		tags := make([]string, r.IntN(6))
		for n := range tags {
			tags[n] = all[r.IntN(len(all))]
		}
		wanted, force := all[r.IntN(len(all))], r.IntN(3) == 0
		first := routers[0].route(tags, wanted, force)
		for _, other := range routers[1:] {
			if got := other.route(tags, wanted, force); got != first {
				t.Fatalf("seed %d: fleet %q, wanted %q, force %t: %s says %q, %s %q", seed, tags, wanted, force, routers[0].name, first, other.name, got)
			}
		}
	}
}

// TestBaselineSeen: a router that has seen a baseline does not serve calls
// without tag by tagged instances when it is gone, unless the settings say so.
func TestBaselineSeen(t *testing.T) {
	r := &Router{}
	r.Notify(invokers([]string{"", "prod"}))
	tagged := invokers([]string{"prod"})
	r.Notify(tagged)
	if got := r.Route(tagged, nil, call("", false)); len(got) != 0 {
		t.Errorf("%d invokers after the baseline has gone, want none", len(got))
	}
	old := *conf.Current()
	t.Cleanup(func() { conf.Set(old) })
	c := conf.Default()
	c.Routing.UntaggedFallback = "any"
	conf.Set(c)
	if got := r.Route(tagged, nil, call("", false)); len(got) != 1 {
		t.Errorf("%d invokers with untagged-fallback any, want 1", len(got))
	}
}

func TestWanted(t *testing.T) {
	ref := common.NewURLWithOptions(common.WithParamsValue(tag.KeyTag, "gray"), common.WithParamsValue(tag.KeyForce, "true"))
	for _, tc := range []struct {
		name        string
		ref         *common.URL
		attachments map[string]any
		wanted      string
		force       bool
	}{
		{"nothing", nil, nil, "", false},
		{"attachment", nil, map[string]any{tag.KeyTag: "blue", tag.KeyForce: "TRUE"}, "blue", true},
		{"as Triple has it", nil, map[string]any{tag.KeyTag: []string{"blue"}}, "blue", false},
		{"the reference's own", ref, nil, "gray", true},
		{"the call's before the reference's", ref, map[string]any{tag.KeyTag: "blue", tag.KeyForce: "false"}, "blue", false},
		{"empty is absent", ref, map[string]any{tag.KeyTag: ""}, "gray", true},
		{"force is true or not", nil, map[string]any{tag.KeyTag: "blue", tag.KeyForce: "1"}, "blue", false},
	} {
		wanted, force := Wanted(tc.ref, invocation.NewRPCInvocation("Get", nil, tc.attachments))
		if wanted != tc.wanted || force != tc.force {
			t.Errorf("%s: %q, %t; want %q, %t", tc.name, wanted, force, tc.wanted, tc.force)
		}
	}
}

// TestRegistered: the name `tag` is ours in enforce, dubbo-go's own otherwise.
func TestRegistered(t *testing.T) {
	f, ok := extension.GetRouterFactories()[Name]
	if !ok {
		t.Fatalf("no router is registered under %q", Name)
	}
	old := *conf.Current()
	t.Cleanup(func() { conf.Set(old) })
	u := common.NewURLWithOptions(common.WithProtocol("consumer"))
	for mode, ours := range map[conf.Mode]bool{conf.Enforce: true, conf.Observe: false, conf.Off: false} {
		c := conf.Default()
		c.Mode = mode
		conf.Set(c)
		r, err := f().NewPriorityRouter(u)
		if err != nil {
			t.Errorf("%s: %v", mode, err)
			continue
		}
		if _, is := r.(*Router); is != ours {
			t.Errorf("%s: the router is %T", mode, r)
		}
	}
}
