// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/cluster/tagrouter"
	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/conf"
)

// fleet is references of this process to one list of nodes, with rules that come
// and go. Applications have names of their own, as the store is the process's.
type fleet struct {
	t     *testing.T
	rig   *rig
	asked chan struct{} // somebody has read the list since
}

// Endpoints tells that a snapshot is being made.
func (f *fleet) Endpoints() []*endpoint.Endpoint {
	select {
	case f.asked <- struct{}{}:
	default:
	}
	return f.rig.Endpoints()
}

func (f *fleet) Watch(fn func()) (cancel func()) { return f.rig.Watch(fn) }

// newFleet makes a node for each word "app/tag", at 192.0.2.n:20000.
func newFleet(t *testing.T, words ...string) *fleet {
	t.Helper()
	f := &fleet{t: t, rig: &rig{}, asked: make(chan struct{}, 1)}
	for n, word := range words {
		app, tg, _ := strings.Cut(word, "/")
		node := newNode(t, tg, fmt.Sprintf("192.0.2.%d:20000", n))
		i := endpoint.Shared.Acquire(node.e.Address, node.e.Incarnation+"@", f.app(app), endpoint.Birth{})
		t.Cleanup(func() { endpoint.Shared.Release(i) })
		node.e.Instance = i
		f.rig.nodes = append(f.rig.nodes, node)
	}
	f.rig.set(f.rig.nodes...)
	return f
}

func (f *fleet) app(name string) string { return f.t.Name() + "." + name }

// refer makes one more reference, which wants a tag of its own.
func (f *fleet) refer(wanted string) *Invoker {
	f.t.Helper()
	u := common.NewURLWithOptions(common.WithProtocol(constant.TriProtocol), common.WithPath(service), common.WithInterface(service))
	if wanted != "" {
		u.SetParam(tag.KeyTag, wanted)
	}
	r := &rig{url: common.NewURLWithOptions(common.WithProtocol("registry"))}
	r.url.SubURL = u
	i := New(r, f)
	f.t.Cleanup(i.view.close)
	return i
}

// publish does what whoever follows a config centre does: a good text replaces the
// rule, an empty one removes it, a bad one leaves the last good rule in force.
func (f *fleet) publish(app, text string) error {
	r, err := tagrouter.DecodeRule(f.app(app), "the test", text)
	if err != nil {
		return err
	}
	tagrouter.Rules.Put(f.app(app), r)
	f.t.Cleanup(func() { tagrouter.Rules.Put(f.app(app), nil) })
	return nil
}

// serves waits until calls for a tag go to the nodes of these numbers, "" for none.
// Each step of the wait is a snapshot that is made.
func (f *fleet) serves(i *Invoker, wanted, want string) {
	f.t.Helper()
	for {
		i.view.mu.Lock()   // a snapshot that is being made
		i.view.mu.Unlock() //nolint:staticcheck // is there now
		got := f.served(i, wanted)
		if got == want {
			return
		}
		select {
		case <-f.asked: // the next one
		case <-time.After(30 * time.Second): // only a test that fails waits so long
			f.t.Fatalf("calls for %q go to %q, want %q", wanted, got, want)
		}
	}
}

// served names the nodes of the lane, as the snapshot of now has it.
func (f *fleet) served(i *Invoker, wanted string) string {
	want, force := i.own.Wanted(call1("Place", wanting(wanted)))
	d, err := i.view.cur.Load().Route(want, force)
	if err != nil {
		return ""
	}
	var at []string
	for n, node := range f.rig.nodes {
		for _, e := range d.Pool.All() {
			if e == node.e {
				at = append(at, strconv.Itoa(n))
			}
		}
	}
	return strings.Join(at, " ")
}

func grayAt(n int) string {
	return fmt.Sprintf("tags:\n- name: gray\n  addresses: [192.0.2.%d]\n", n)
}

// TestRuleComesAndGoes: published, rewritten, broken, disabled, emptied, published
// again, deleted.
func TestRuleComesAndGoes(t *testing.T) {
	f := newFleet(t, "order", "order", "order")
	i := f.refer("")
	f.serves(i, "gray", "0 1 2") // no rule yet: the baseline
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(f.publish("order", grayAt(0)))
	f.serves(i, "gray", "0")
	f.serves(i, "", "1 2")
	must(f.publish("order", grayAt(1)))
	f.serves(i, "gray", "1")
	f.serves(i, "", "0 2")
	if err := f.publish("order", "tags:\n- name: gray\n  addresses: [192.0.2.0/33]\n"); err == nil {
		t.Error("a broken rule is taken")
	}
	i.view.refresh()
	f.serves(i, "gray", "1") // the last good one stays
	must(f.publish("order", "enabled: false\n"+grayAt(2)))
	f.serves(i, "gray", "0 1 2")
	must(f.publish("order", grayAt(2)))
	f.serves(i, "gray", "2")
	must(f.publish("order", " \n")) // emptied
	f.serves(i, "gray", "0 1 2")
	must(f.publish("order", "force: true\n"+grayAt(9)))
	f.serves(i, "gray", "")
	tagrouter.Rules.Put(f.app("order"), nil) // deleted
	f.serves(i, "gray", "0 1 2")
}

// TestRewrittenOften: of a hundred rules in a row, from several writers, the last
// one is in force at all references at the end.
func TestRewrittenOften(t *testing.T) {
	f := newFleet(t, "order", "order", "order", "order")
	refs := []*Invoker{f.refer(""), f.refer(""), f.refer("gray")}
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for n := range 25 {
				if err := f.publish("order", grayAt((n+w)%3)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	if err := f.publish("order", grayAt(3)); err != nil {
		t.Fatal(err)
	}
	for _, i := range refs {
		f.serves(i, "gray", "3")
	}
	f.serves(refs[0], "", "0 1 2")
}

// TestTwoApplications behind one interface: each rule is for its own instances, and
// each is followed, also of one that joins later.
func TestTwoApplications(t *testing.T) {
	f := newFleet(t, "order", "order", "cart", "cart")
	all := f.rig.nodes
	f.rig.set(all[:2]...)
	i := f.refer("")
	for _, app := range []string{"order", "cart"} {
		if err := f.publish(app, "tags:\n- name: gray\n  addresses: [192.0.2.0, 192.0.2.2]\n"); err != nil {
			t.Fatal(err)
		}
	}
	f.serves(i, "gray", "0")
	f.rig.set(all...)
	f.serves(i, "gray", "0 2")
	f.serves(i, "", "1 3")
	if err := f.publish("cart", ""); err != nil {
		t.Fatal(err)
	}
	f.serves(i, "gray", "0")
	f.serves(i, "", "1 2 3")
}

// TestTwoReferences of one process want different tags of one fleet: real calls.
func TestTwoReferences(t *testing.T) {
	f := newFleet(t, "order", "order", "order")
	gray, blue, plain := f.refer("gray"), f.refer("blue"), f.refer("")
	if err := f.publish("order", "tags:\n- {name: gray, addresses: [192.0.2.0]}\n- {name: blue, addresses: [192.0.2.1]}\n"); err != nil {
		t.Fatal(err)
	}
	f.serves(gray, "", "0")
	f.serves(blue, "", "1")
	f.serves(plain, "", "2")
	for _, i := range []*Invoker{gray, blue, plain} {
		for range 10 {
			if err := i.Invoke(t.Context(), call1("Place", nil)).Error(); err != nil {
				t.Fatal(err)
			}
		}
		if err := i.Invoke(t.Context(), call1("Place", wanting("blue"))).Error(); err != nil { // the call's own wins
			t.Fatal(err)
		}
	}
	for n, want := range []int64{10, 13, 10} {
		if got := f.rig.nodes[n].calls.Load(); got != want {
			t.Errorf("node %d got %d calls, want %d", n, got, want)
		}
	}
}

// TestTaggedThroughout: without any baseline calls without tag are served by all,
// also while a rule takes some into its lanes; once a baseline has been seen, by
// none. A rule that takes the whole baseline is no such fleet.
func TestTaggedThroughout(t *testing.T) {
	f := newFleet(t, "order/prod", "order/prod", "order")
	all := f.rig.nodes
	f.rig.set(all[:2]...)
	i := f.refer("")
	f.serves(i, "", "0 1")
	if err := f.publish("order", grayAt(0)); err != nil {
		t.Fatal(err)
	}
	f.serves(i, "gray", "0")
	f.serves(i, "", "0 1")
	f.serves(i, "prod", "0 1")
	f.rig.set(all...)
	f.serves(i, "", "2")
	f.rig.set(all[:2]...)
	f.serves(i, "", "")

	f = newFleet(t, "cart", "cart")
	i = f.refer("")
	if err := f.publish("cart", "tags:\n- {name: gray, addresses: ['*']}\n"); err != nil {
		t.Fatal(err)
	}
	f.serves(i, "", "")
	err := i.Invoke(t.Context(), call1("Place", nil)).Error()
	if !errors.Is(err, endpoint.ErrNoEndpoint) || !contains(err, "No provider available for "+service) {
		t.Errorf("%v, want dubbo-go's words around ErrNoEndpoint", err)
	}
	f.serves(f.refer(""), "", "") // one that never saw a baseline decides the same
}

// TestRuleForces: the error says whose rule it was; in compat java as in ours.
func TestRuleForces(t *testing.T) {
	for _, c := range []string{"graylane", "java"} {
		t.Run(c, func(t *testing.T) {
			settings(t, func(to *conf.Config) { to.Routing.Compat = c })
			f := newFleet(t, "order", "order")
			i := f.refer("")
			if err := f.publish("order", "force: true\n"+grayAt(0)); err != nil {
				t.Fatal(err)
			}
			f.serves(i, "gray", "0")
			f.rig.set(f.rig.nodes[1:]...)
			f.serves(i, "gray", "")
			err := i.Invoke(t.Context(), call1("Place", wanting("gray"))).Error()
			if !errors.Is(err, endpoint.ErrNoEndpoint) || !contains(err, `"gray"`) {
				t.Errorf("%v", err)
			}
			if c == "graylane" && !contains(err, f.app("order")) {
				t.Errorf("%v does not name the application whose rule forces", err)
			}
		})
	}
}

// TestFollowing: a reference follows each application once, and none when it ends.
func TestFollowing(t *testing.T) {
	f := newFleet(t, "order", "cart", "order")
	var mu sync.Mutex
	running := map[string]int{}
	tagrouter.Rules.SetFollower(func(app string) func() {
		mu.Lock()
		defer mu.Unlock()
		running[app]++
		return func() {
			mu.Lock()
			defer mu.Unlock()
			running[app]--
		}
	})
	t.Cleanup(func() { tagrouter.Rules.SetFollower(nil) })
	check := func(when string, order, cart int) {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		if running[f.app("order")] != order || running[f.app("cart")] != cart {
			t.Errorf("%s: %v, want %d and %d", when, running, order, cart)
		}
	}
	one, two := f.refer(""), f.refer("gray")
	check("two references", 1, 1)
	one.Destroy()
	check("one reference", 1, 1)
	two.Destroy()
	two.view.refresh() // of a call that was under way
	check("none", 0, 0)
}
