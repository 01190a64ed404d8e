// SPDX-License-Identifier: Apache-2.0

package routers

import (
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	_ "dubbo.apache.org/dubbo-go/v3/cluster/router/affinity"
	_ "dubbo.apache.org/dubbo-go/v3/cluster/router/condition"
	_ "dubbo.apache.org/dubbo-go/v3/cluster/router/script"
	_ "dubbo.apache.org/dubbo-go/v3/cluster/router/tag"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/global"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
)

// TestPassive: dubbo-go's routers without a rule do not run, whether or not there
// is a config centre; and with none of their own the list itself comes back.
func TestPassive(t *testing.T) {
	for _, centre := range []bool{false, true} {
		if centre {
			useCenter(t)
		}
		list := invokers("a", "b")
		chain(t, reference(), func(c *Chain) {
			c.Set(list)
			if c.Active() {
				t.Errorf("centre %t: routers without a rule run", centre)
			}
			if got := c.Route(list, call()); &got[0] != &list[0] {
				t.Errorf("centre %t: the list was copied", centre)
			}
			if n := testing.AllocsPerRun(100, func() { c.Route(list, nil) }); n != 0 {
				t.Errorf("%v allocations a call without rules", n)
			}
		})
	}
}

const (
	onlyA = "configVersion: v3.0\nscope: service\nforce: true\nenabled: true\nruntime: true\nkey: com.shop.Order\nconditions:\n  - ' => region=a'\n"
	onlyB = "configVersion: v3.0\nscope: service\nforce: true\nenabled: true\nruntime: true\nkey: com.shop.Order\nconditions:\n  - ' => region=b'\n"
)

// TestRules: rules of the config centre take effect when they come, change and go,
// for each of dubbo-go's routers.
func TestRules(t *testing.T) {
	affinity := func(region string) string {
		return "configVersion: v3.1\nscope: service\nkey: x\nruntime: true\nenabled: true\naffinityAware:\n  key: " + region + "\n  ratio: 0\n"
	}
	script := func(region string) string {
		return "configVersion: v3.0\nkey: order\ntype: javascript\nenabled: true\nscript: |\n" +
			"  (function (invokers,invocation,context) {\n    var out = [];\n    for (var i = 0; i < invokers.length; i++) {\n" +
			"      if (invokers[i].GetURL().GetParam('region','') === '" + region + "') { out.push(invokers[i]); }\n    }\n    return out;\n" +
			"  }(invokers,invocation,context));\n"
	}
	for _, tc := range []struct {
		key    string
		a, b   string
		region bool // the reference says region=a: affinity compares with it
	}{
		{service + "::" + constant.ConditionRouterRuleSuffix, onlyA, onlyB, false},
		{"gateway" + constant.ConditionRouterRuleSuffix, onlyA, onlyB, false},
		{service + "::" + constant.AffinityRuleSuffix, affinity("region"), affinity("zone"), true},
		{"order" + constant.AffinityRuleSuffix, affinity("region"), affinity("zone"), true},
		{"order" + constant.ScriptRouterRuleSuffix, script("a"), script("b"), false},
	} {
		synctest.Test(t, func(t *testing.T) {
			center := useCenter(t)
			u := reference()
			afterB := []string{"b"}
			if tc.region {
				u.SubURL.SetParam("region", "a")
				u.SubURL.SetParam("zone", "z")
				afterB = nil
			}
			list := invokers("a", "b")
			chain(t, u, func(c *Chain) {
				c.Set(list)
				step := func(name, text string, want ...string) {
					if text != "?" {
						center.put(tc.key, text)
					}
					synctest.Wait()
					if got := regions(c.Route(list, call())); !slices.Equal(got, want) {
						t.Errorf("%s, %s: %v, want %v", tc.key, name, got, want)
					}
					if c.Active() != (text != "" && text != "?") {
						t.Errorf("%s, %s: active %t", tc.key, name, c.Active())
					}
				}
				step("no rule", "?", "a", "b")
				step("only a", tc.a, "a")
				step("another", tc.b, afterB...)
				step("deleted", "", "a", "b")
				step("again", tc.a, "a")
			})
			synctest.Wait()
			if left := len(center.listeners[tc.key]); left > 1 { // the one that dubbo-go's constructor leaves
				t.Errorf("%s: %d listeners after the end", tc.key, left)
			}
		})
	}
}

// TestDeletedAndPublished: a rule that is deleted and published again before the
// chain's goroutine looks, which a router of the user's holds up, is in force.
func TestDeletedAndPublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		center := useCenter(t)
		slow := &own{route: func(l []base.Invoker) []base.Invoker { return l }, notified: make(chan []base.Invoker)}
		with(t, "slow", slow)
		key := service + "::" + constant.ConditionRouterRuleSuffix
		center.put(key, onlyA)
		list := invokers("a", "b")
		chain(t, reference(), func(c *Chain) {
			go c.Set(list)
			<-slow.notified
			synctest.Wait()
			if got := regions(c.Route(list, call())); !slices.Equal(got, []string{"a"}) {
				t.Fatalf("at first %v, want a", got)
			}
			c.Set(list)
			synctest.Wait() // the goroutine is held up
			center.put(key, "")
			center.put(key, onlyB)
			for range 2 {
				<-slow.notified
			}
			synctest.Wait()
			if got := regions(c.Route(list, call())); !slices.Equal(got, []string{"b"}) {
				t.Errorf("deleted and published again: %v, want b", got)
			}
		})
		synctest.Wait()
	})
}

// TestDeletedUnreadable: a rule that the centre says is deleted is gone, though the
// centre cannot be asked for it any more.
func TestDeletedUnreadable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		center := useCenter(t)
		key := service + "::" + constant.ConditionRouterRuleSuffix
		center.put(key, onlyA)
		list := invokers("a", "b")
		chain(t, reference(), func(c *Chain) {
			c.Set(list)
			if got := regions(c.Route(list, call())); !slices.Equal(got, []string{"a"}) {
				t.Fatalf("at first %v, want a", got)
			}
			center.mu.Lock()
			center.down = true
			center.mu.Unlock()
			center.put(key, "")
			synctest.Wait()
			if got := regions(c.Route(list, call())); len(got) != 2 || c.Active() {
				t.Errorf("after the delete %v, active %t; want both, nothing active", got, c.Active())
			}
		})
		synctest.Wait()
	})
}

// TestFirstCall: a rule that is there at the start holds for the first call.
func TestFirstCall(t *testing.T) {
	center := useCenter(t)
	center.put(service+"::"+constant.ConditionRouterRuleSuffix, onlyB)
	list := invokers("a", "b")
	chain(t, reference(), func(c *Chain) {
		c.Set(list)
		if got := regions(c.Route(list, call())); !slices.Equal(got, []string{"b"}) {
			t.Errorf("first call goes to %v, want b", got)
		}
	})
}

// TestNobodyWaits: neither a call nor a list waits for a config centre that does
// not answer, nor for a router of the user's that takes its time; what was asked
// is known when the answer comes, and a centre that was down is asked again.
func TestNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		center := useCenter(t)
		slow := &own{route: func(l []base.Invoker) []base.Invoker { return l }, notified: make(chan []base.Invoker)}
		with(t, "slow", slow)
		gate := make(chan struct{})
		center.gate = gate
		center.texts[service+"::"+constant.ConditionRouterRuleSuffix] = onlyB
		list := invokers("a", "b")
		chain(t, reference(), func(c *Chain) {
			start := time.Now()
			c.Set(list)
			if took := time.Since(start); took != firstRules {
				t.Errorf("the first list waited %v, want %v", took, firstRules)
			}
			start = time.Now()
			for range 10 {
				c.Set(list)
				if n := len(c.Route(list, call())); n != 2 {
					t.Errorf("%d left without an answer of the centre", n)
				}
			}
			if took := time.Since(start); took != 0 {
				t.Errorf("lists and calls waited %v", took)
			}
			center.mu.Lock()
			center.down, center.gate = true, nil
			center.mu.Unlock()
			close(gate)
			<-slow.notified
			synctest.Wait()
			center.mu.Lock()
			center.down = false
			center.mu.Unlock()
			go func() {
				for range slow.notified { //nolint:revive // the router is quick from now on
				}
			}()
			time.Sleep(2 * askAgain)
			synctest.Wait()
			if got := regions(c.Route(list, call())); !slices.Equal(got, []string{"b"}) {
				t.Errorf("after the centre came: %v, want b", got)
			}
			reads := center.reads
			time.Sleep(time.Hour)
			synctest.Wait()
			if center.reads != reads {
				t.Errorf("%d reads in an hour without news", center.reads-reads)
			}
			c.Close()
			synctest.Wait()
			close(slow.notified)
		})
	})
}

// TestOwn: a router of the user's always runs and hears of each list; all run in
// the order of their priority, and the list that they get is theirs.
func TestOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		useCenter(t)
		var order []string
		mark := func(name string, keep int) func([]base.Invoker) []base.Invoker {
			return func(l []base.Invoker) []base.Invoker {
				order = append(order, name)
				l[0] = l[len(l)-1] // in place
				return l[:keep]
			}
		}
		first := &own{priority: -5, route: mark("first", 2), notified: make(chan []base.Invoker, 9)}
		with(t, "z-first", first)
		with(t, "a-second", &own{priority: 7, route: mark("second", 1)})
		list := invokers("a", "b", "c")
		chain(t, reference(), func(c *Chain) {
			if !c.Active() {
				t.Error("an own router does not run")
			}
			c.Set(list)
			c.Set(list[:2])
			synctest.Wait()
			inv := call()
			left := c.Route(list, inv)
			if off, _ := inv.GetAttribute(constant.RouterCacheDisable); off != true {
				t.Error("routers may look into a cache of dubbo-go's, which is not there")
			}
			if !slices.Equal(order, []string{"first", "second"}) || !slices.Equal(regions(left), []string{"b"}) {
				t.Errorf("ran %v, left %v", order, regions(left))
			}
			if !slices.Equal(regions(list), []string{"a", "b", "c"}) {
				t.Errorf("the caller's list became %v", regions(list))
			}
			last := 0
			for len(first.notified) > 0 {
				last = len(<-first.notified)
			}
			if last != 2 {
				t.Errorf("the last list that it heard of has %d, want 2", last)
			}
		})
	})
}

// TestStatic: the condition rules of dubbogo.yml hold, those of a service for the
// service that they name; a rule in the config centre replaces them.
func TestStatic(t *testing.T) {
	yes, no := true, false
	rule := func(scope, key, condition string) *global.RouterConfig {
		return &global.RouterConfig{Scope: scope, Key: key, Force: &yes, Enabled: &yes, Conditions: []string{condition}}
	}
	off := rule("service", service, " => region=a")
	off.Enabled = &no
	invalid := rule("service", service, " => region=a")
	invalid.Valid = &no
	for name, tc := range map[string]struct {
		rule *global.RouterConfig
		want []string
		runs bool // one router does, for the rule is meant for it
	}{
		"service":              {rule("service", service, " => region=a"), []string{"a"}, true},
		"service, no key":      {rule("service", "", " => region=a"), []string{"a"}, true},
		"another service":      {rule("service", "com.shop.User", " => region=a"), []string{"a", "b"}, false},
		"application":          {rule("application", "gateway", " => region=b"), []string{"b"}, true},
		"not enabled":          {off, []string{"a", "b"}, false},
		"not valid":            {invalid, []string{"a", "b"}, false},
		"a tag rule":           {&global.RouterConfig{Scope: "application", Key: "order", Tags: []global.Tag{{Name: "gray"}}}, []string{"a", "b"}, false},
		"nothing":              {nil, []string{"a", "b"}, false},
		"a condition on who":   {rule("service", service, "application=gateway => region=b"), []string{"b"}, true},
		"a condition on other": {rule("service", service, "application=cart => region=b"), []string{"a", "b"}, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			center := useCenter(t)
			list := invokers("a", "b")
			chain(t, reference(tc.rule), func(c *Chain) {
				c.Set(list)
				if got := regions(c.Route(list, call())); !slices.Equal(got, tc.want) {
					t.Errorf("%s: %v, want %v", name, got, tc.want)
				}
				running := 0
				if p := c.running.Load(); p != nil {
					running = len(*p)
				}
				if want := map[bool]int{true: 1}[tc.runs]; running != want {
					t.Errorf("%s: %d routers run, want %d", name, running, want)
				}
				if name != "service" {
					return
				}
				center.put(service+"::"+constant.ConditionRouterRuleSuffix, onlyB)
				synctest.Wait()
				if got := regions(c.Route(list, call())); !slices.Equal(got, []string{"b"}) {
					t.Errorf("a rule of the centre: %v, want b", got)
				}
			})
		})
	}
}

// TestProviderChanges: rules are named by the provider's application; another
// application behind the interface brings its own.
func TestProviderChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		center := useCenter(t)
		list, other := invokers("a", "b"), invokers("a", "b")
		for _, i := range other {
			i.GetURL().SetParam(constant.ApplicationKey, "shop")
		}
		chain(t, reference(), func(c *Chain) {
			c.Set(list)
			c.Set(other)
			synctest.Wait()
			center.mu.Lock()
			keys := slices.Sorted(maps.Keys(center.listeners))
			center.mu.Unlock()
			for key, want := range map[string]bool{"shop" + constant.ScriptRouterRuleSuffix: true, "order" + constant.ScriptRouterRuleSuffix: false} {
				if slices.Contains(keys, key) != want {
					t.Errorf("%s is followed: %t; all: %v", key, !want, keys)
				}
			}
		})
		synctest.Wait()
	})
}

// TestNone: without routers there is no chain, and a router that says of itself
// that it does nothing does not run.
func TestNone(t *testing.T) {
	always := &own{route: func(l []base.Invoker) []base.Invoker { return l }}
	with(t, "vendor", always)
	passive := true
	Passive("vendor", func() bool { return passive })
	for _, passive = range []bool{true, false} {
		chain(t, reference(), func(c *Chain) {
			if c.Active() == passive {
				t.Errorf("passive %t: active %t", passive, c.Active())
			}
		})
	}
}

// TestBadRule: dubbo-go's parsers panic on some texts; the chain goes on.
func TestBadRule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		center := useCenter(t)
		list := invokers("a", "b")
		key := service + "::" + constant.ConditionRouterRuleSuffix
		chain(t, reference(), func(c *Chain) {
			c.Set(list)
			for _, text := range []string{"configVersion: v3.0\nconditions: ['=> region=a']\n", "{", "configVersion: 3\n", "- x\n"} {
				center.put(key, text)
				synctest.Wait()
				if n := len(c.Route(list, call())); n != 2 {
					t.Errorf("%q leaves %d", text, n)
				}
			}
			center.put(key, onlyA)
			synctest.Wait()
			if got := regions(c.Route(list, call())); !slices.Equal(got, []string{"a"}) {
				t.Errorf("a good rule after bad ones: %v", got)
			}
		})
	})
}
