// SPDX-License-Identifier: Apache-2.0

package rulecenter

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/graylane/graylane/cluster/tagrouter"
)

// What is written is to be in force within a second, on Nacos the first text of a key
// and a delete within 6 s. It takes a tenth of that; this test runs beside others, on few
// processors, under the race detector, so that it judges several times as much. Both
// bounds are below what it takes where a notification is lost: ZooKeeper and etcd tell
// nothing twice, and Nacos is asked again after 10.5 s. The log has the figures.
const (
	live       = 5 * time.Second
	liveNacos1 = 9 * time.Second
)

// within is the bound for a step of TestCentres.
func within(centre, step string) time.Duration {
	switch {
	case step == "100 rewrites": // as long as it takes to write them
		return patience
	case centre == "nacos" && slices.Contains([]string{"first publish", "publish again", "delete", "the own group", "the own group's deleted"}, step):
		return liveNacos1
	}
	return live
}

// TestCentres: every config centre promises the same, in the time that within
// gives it.
//
//  1. the first publish after following
//  2. a change
//  3. a broken text: the last good rule stays, once counted
//  4. an emptied one
//  5. a delete
//  6. rewritten 100 times: the last text
//  7. two groups: the centre's own wins, and gives way when it is deleted
//  8. the centre goes: the rule stays; somebody else starts to follow meanwhile
//  9. it comes back: the rule stays, the other one has it too, changes are told again
//  10. nobody follows any more: nothing is told.
func TestCentres(t *testing.T) {
	for _, tc := range centres {
		t.Run(tc.name, func(t *testing.T) {
			noLeak(t)
			c := tc.start(t)
			store := &tagrouter.Store{}
			f := newFollower(store, c.source(t), tc.name)
			store.SetFollower(f.start)
			order := watch(t, store)
			step := func(what string, do func() error, tag string) {
				t.Helper()
				began := time.Now()
				if err := do(); err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				took := order.expect(tag, began)
				t.Logf("%-28s %v", what, took.Round(time.Millisecond))
				if bound := within(tc.name, what); took > bound {
					t.Errorf("%s: in force after %v, want at most %v", what, took, bound)
				}
			}
			put := func(group, text string) func() error {
				return func() error { return c.put(group, "order.tag-router", text) }
			}
			remove := func(group string) func() error {
				return func() error { return c.remove(group, "order.tag-router") }
			}

			// 1
			step("first publish", put("dubbo", text("gray")), "gray")
			// 2
			step("change", put("dubbo", text("blue")), "blue")
			// 3
			bad := ReadStats().Bad
			step("broken", func() error {
				began := time.Now()
				if err := put("dubbo", text("gray")+"nonsense: 1\n")(); err != nil {
					return err
				}
				for ReadStats().Bad == bad {
					if time.Since(began) > patience {
						return fmt.Errorf("not counted within %v", patience)
					}
					time.Sleep(time.Millisecond)
				}
				return nil
			}, "blue")
			if got := ReadStats().Bad - bad; got != 1 {
				t.Errorf("a broken text was counted %d times, want once", got)
			}
			// 4
			gone := ReadStats().Deleted
			step("emptied", put("dubbo", c.none), "")
			// 5
			step("publish again", put("dubbo", text("gray")), "gray")
			step("delete", remove("dubbo"), "")
			if got := ReadStats().Deleted - gone; got != 2 {
				t.Errorf("emptied and deleted were counted %d times, want 2", got)
			}
			// 6
			step("100 rewrites", func() error {
				for n := range 100 {
					if err := put("dubbo", text(fmt.Sprintf("t%d", n)))(); err != nil {
						return err
					}
				}
				return nil
			}, "t99")
			// 7
			step("the own group", put(c.own, text("own")), "own")
			order.changes()
			step("a change in group dubbo", put("dubbo", text("gray")), "own")
			step("the own group's deleted", remove(c.own), "gray")
			if got := order.changes(); slices.Contains(got, "") {
				t.Errorf("changes while one group gave way to the other: %q, want a rule at all times", got)
			}
			// 8
			if err := c.stop(); err != nil {
				t.Fatal(err)
			}
			late := &tagrouter.Store{}
			g := newFollower(late, c.source(t), tc.name)
			late.SetFollower(g.start)
			other := watch(t, late)
			if other.tag() != "" {
				t.Errorf("rule %q of a centre that is down", other.tag())
			}
			// 9
			began := time.Now()
			if err := c.restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			t.Logf("%-28s %v", "(restart of the centre)", time.Since(began).Round(time.Millisecond))
			t.Logf("%-28s %v", "follower older than centre", other.expect("gray", time.Now()).Round(time.Millisecond))
			step("change after a restart", put("dubbo", text("after")), "after")
			if got := strings.Join(order.changes(), " "); got != "after" {
				t.Errorf("changes over a restart: %q, want after only", got)
			}
			other.expect("after", time.Now())
			g.close()
			// 10
			store.Follow("cart", func() {})()
			f.close()
			if err := put("dubbo", text("unseen"))(); err != nil {
				t.Fatal(err)
			}
			if order.tag() != "after" {
				t.Errorf("rule after close: %q, want the last", order.tag())
			}
		})
	}
}

// noLeak fails the test if it leaves a goroutine behind, after all its cleaning up.
func noLeak(t *testing.T) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		// The embedded etcd leaves a stream of its own behind now and then.
		goleak.VerifyNone(t, before,
			goleak.IgnoreAnyFunction("go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc.(*LeaseServer).LeaseKeepAlive"),
			goleak.IgnoreAnyFunction("go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc.(*LeaseServer).leaseKeepAlive"))
	})
}
