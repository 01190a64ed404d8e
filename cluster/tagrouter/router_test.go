// SPDX-License-Identifier: Apache-2.0

package tagrouter

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	dubbotag "dubbo.apache.org/dubbo-go/v3/cluster/router/tag"
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/invocation"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/conf"
)

// address is that of the n-th instance of a fleet.
func address(n int) string { return fmt.Sprintf("10.0.%d.%d:20000", n/250, n%250) }

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

// listed makes the invokers of a fleet, as dubbo-go lists them.
func listed(text string) []base.Invoker {
	var list []base.Invoker
	for n, word := range strings.Fields(text) {
		list = append(list, base.NewBaseInvoker(read(word).url(n)))
	}
	return list
}

// routed names the invokers that a router leaves, by their positions.
func routed(t *testing.T, list []base.Invoker, wanted string, force, baselineSeen bool) string {
	t.Helper()
	p, err := factory{}.NewPriorityRouter(new(common.URL))
	if err != nil {
		t.Fatal(err)
	}
	r := p.(*Router)
	r.baseline.Store(baselineSeen)
	r.Notify(list)
	var at []int
	for _, i := range r.Route(list, nil, call(wanted, force)) {
		at = append(at, slices.Index(list, i))
	}
	if at == nil {
		return none
	}
	slices.Sort(at)
	return strings.Trim(fmt.Sprint(at), "[]")
}

// inForce puts rules into the process's store until the test ends.
func inForce(t *testing.T, rules func(string) *Rule) {
	t.Helper()
	for _, app := range []string{provider, "cart", "user"} {
		Rules.Put(app, rules(app))
	}
	t.Cleanup(func() {
		for _, app := range []string{provider, "cart", "user"} {
			Rules.Put(app, nil)
		}
	})
}

func compat(t *testing.T, c string, untaggedAny bool) {
	t.Helper()
	old := *conf.Current()
	t.Cleanup(func() { conf.Set(old) })
	n := conf.Default()
	n.Routing.Compat = c
	if untaggedAny {
		n.Routing.UntaggedFallback = "any"
	}
	conf.Set(n)
}

// TestRouterTable: the router of foreign clusters gives what the table says, in
// both ways, where every instance is usable: states are unknown to it.
func TestRouterTable(t *testing.T) {
	rows := 0
	for _, tc := range table {
		if slices.ContainsFunc(strings.Fields(tc.fleet), func(word string) bool { return read(word).state != "u" }) {
			continue
		}
		rows++
		inForce(t, rulesOf(t, tc.rules))
		list := listed(tc.fleet)
		for c, want := range map[string]string{"graylane": tc.pool, "java": tc.java} {
			compat(t, c, tc.opt.UntaggedAny)
			if got := routed(t, list, tc.wanted, tc.force, tc.opt.BaselineSeen); got != want {
				t.Errorf("%s, compat %s: %s, want %s", tc.name, c, got, want)
			}
		}
	}
	if rows < 50 {
		t.Errorf("%d rows without states, want at least 50", rows)
	}
}

// TestRouterAgrees: on random fleets of usable instances, with random rules, the
// router and the snapshot give the same answer.
func TestRouterAgrees(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	for range 150 {
		w, rules := randomWorld(t, r)
		inForce(t, rules)
		java := r.IntN(2) == 0
		compat(t, map[bool]string{true: "java", false: "graylane"}[java], false)
		var list []base.Invoker
		for n, m := range w.words {
			list = append(list, base.NewBaseInvoker(m.url(n)))
			w.list[n] = &endpoint.Endpoint{Instance: &endpoint.Instance{Address: address(n), App: m.app}, Invoker: list[n], Tag: m.tag}
		}
		s := Build(w.list, Options{Ramp: ramp, Rules: rules, Java: java})
		for _, wanted := range append(someTags, "", "c", "a|c", "gray|x") {
			for _, force := range []bool{false, true} {
				want := none
				if d, err := s.Route(wanted, force); err == nil {
					want = served(w.list, d)
				}
				if got := routed(t, list, wanted, force, false); got != want {
					t.Fatalf("seed %d: %s, wanted %q, force %t, java %t: router %s, snapshot %s", seed, w.text, wanted, force, java, got, want)
				}
			}
		}
	}
}

// TestBaselineSeen: a router that has seen a baseline does not serve calls
// without tag by tagged instances when it is gone, unless the settings say so.
func TestBaselineSeen(t *testing.T) {
	r := &Router{}
	r.Notify(listed(":u prod:u"))
	tagged := listed("prod:u")
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

// TestRouterFollows: a router asks for the rules of all applications behind its
// list, once in the process.
func TestRouterFollows(t *testing.T) {
	asked := map[string]int{}
	Rules.SetFollower(func(app string) func() {
		asked[app]++
		return nil
	})
	t.Cleanup(func() { Rules.SetFollower(nil) })
	list := listed("followed-1/:u followed-2/:u followed-1/:u /:u")
	for range 2 {
		r := &Router{}
		r.Notify(list)
		r.Notify(list[:1])
	}
	if asked["followed-1"] != 1 || asked["followed-2"] != 1 || asked[""] != 0 {
		t.Errorf("asked for %v, want followed-1 and followed-2 once", asked)
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
		inv := invocation.NewRPCInvocation("Get", nil, tc.attachments)
		wanted, force := Wanted(tc.ref, inv)
		if wanted != tc.wanted || force != tc.force {
			t.Errorf("%s: %q, %t; want %q, %t", tc.name, wanted, force, tc.wanted, tc.force)
		}
		if wanted, force = OwnOf(tc.ref).Wanted(inv); wanted != tc.wanted || force != tc.force {
			t.Errorf("%s, read once: %q, %t; want %q, %t", tc.name, wanted, force, tc.wanted, tc.force)
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
	builtin, err := dubbotag.NewTagRouterFactory().NewPriorityRouter(u)
	if err != nil {
		t.Fatal(err)
	}
	for mode, ours := range map[conf.Mode]bool{conf.Enforce: true, conf.Observe: false, conf.Off: false} {
		c := conf.Default()
		c.Mode = mode
		conf.Set(c)
		r, err := f().NewPriorityRouter(u)
		if err != nil {
			t.Errorf("%s: %v", mode, err)
			continue
		}
		if _, is := r.(*Router); is != ours || r.Priority() != builtin.Priority() {
			t.Errorf("%s: the router is %T with priority %d, the built-in has %d", mode, r, r.Priority(), builtin.Priority())
		}
	}
}
