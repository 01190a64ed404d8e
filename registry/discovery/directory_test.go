// SPDX-License-Identifier: Apache-2.0

//nolint:thelper // the functions run in a bubble are the tests themselves
package discovery

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	_ "dubbo.apache.org/dubbo-go/v3/protocol/protocolwrapper"
	"dubbo.apache.org/dubbo-go/v3/remoting"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/meta"
)

func TestEvents(t *testing.T) {
	bubble(t, func(t *testing.T, d *Directory) {
		d.all(providerURL(1, "a", 100), providerURL(2, "b", 100))
		want(t, d, "first list", "a", "b")
		d.say(remoting.EventTypeAdd, providerURL(3, "c", 100))
		want(t, d, "add", "a", "b", "c")
		d.say(remoting.EventTypeDel, providerURL(1, "a", 100))
		want(t, d, "del", "b", "c")
		d.all(providerURL(2, "b", 100))
		want(t, d, "list", "b")
		d.say(remoting.EventTypeAdd, providerURL(1, "a", 100))
		want(t, d, "back while it lingers", "a", "b")
		d.say(remoting.EventTypeDel, providerURL(9, "x", 100))
		d.sources[0].Notify(nil)
		for _, foreign := range []string{
			"override://0.0.0.0/com.shop.Order?category=configurators", "consumer://127.0.0.1/com.shop.Order",
			"empty://127.0.0.1/com.shop.Order", "fakep://127.0.0.1:7/com.shop.Order?category=routers", "other://127.0.0.1:7/com.shop.Order",
		} {
			u, err := common.NewURL(foreign)
			if err != nil {
				t.Fatal(err)
			}
			d.say(remoting.EventTypeAdd, u)
		}
		want(t, d, "what is no provider of ours", "a", "b")
		if n := wire.n["b"]; n != 1 {
			t.Errorf("b was connected to %d times, want once", n)
		}
	})
}

// TestWhatAnEndpointIs: tag, weight, caller header of each, and its tag and
// weight change without a new connection; the reference's tag is not merged in.
func TestWhatAnEndpointIs(t *testing.T) {
	bubble(t, func(t *testing.T, d *Directory) {
		id := "0123456789abcdef"
		d.all(providerURL(1, id, 100, tag.KeyTag, "gray", constant.WeightKey, "250"))
		e := d.Endpoints()[0]
		caller, _ := e.Caller.(string)
		if e.Tag != "gray" || e.Weight != 250 || !strings.HasPrefix(caller, "gateway-") || !strings.HasSuffix(caller, ";"+id) || e.App != "order" {
			t.Errorf("endpoint %+v", e)
		}
		if !e.Begin(false) {
			t.Fatal("does not begin")
		}
		d.all(providerURL(1, id, 100))
		again := d.Endpoints()[0]
		if again.Tag != "" || again.Weight != 100 || again.Instance != e.Instance || wire.n[id] != 1 {
			t.Errorf("after a change of tag and weight: %+v, %d connections", again, wire.n[id])
		}
		// A call that began under the old tag keeps the invoker.
		d.Destroy()
		synctest.Wait()
		if !alive(id) {
			t.Error("destroyed under a call that began before the change")
		}
		e.End(endpoint.Answered)
		synctest.Wait()
		if alive(id) {
			t.Error("not destroyed after its last call")
		}
	})
}

// TestWhatTheProviderSaid: rules see the provider's parameters of now, without
// those that the reference brings. Our cluster reads them of the endpoint, others of
// its invoker.
func TestWhatTheProviderSaid(t *testing.T) {
	for _, foreign := range []bool{false, true} {
		bubble(t, func(t *testing.T, d *Directory) {
			d.foreign = foreign
			said := func() string {
				u := d.Endpoints()[0].Said()
				if foreign {
					v, _ := d.Endpoints()[0].Invoker.GetURL().GetAttribute(meta.Provider)
					u, _ = v.(*common.URL)
				}
				if u == nil {
					return "nothing"
				}
				return u.GetParam("env", "") + "," + u.GetParam("zone", "")
			}
			d.ref.SetParam("zone", "of the reference")
			id := "0123456789abcdef"
			d.all(providerURL(1, id, 100, "env", "gray"))
			if got := said(); got != "gray," {
				t.Errorf("foreign %t: env,zone = %q, want gray and none", foreign, got)
			}
			d.all(providerURL(1, id, 100, "env", "blue", "zone", "b"))
			if got := said(); got != "blue,b" {
				t.Errorf("foreign %t: after a change env,zone = %q, want blue,b", foreign, got)
			}
		})
	}
}

// TestRestart: another incarnation at the same address is used at once, and the
// old one is gone, whether its Del comes first, late or never, and in whatever
// order one list names both.
func TestRestart(t *testing.T) {
	old, next := providerURL(1, "old", 100), providerURL(1, "new", 200)
	for _, tc := range []struct {
		name string
		f    func(d *Directory)
	}{
		{"Del first", func(d *Directory) { d.say(remoting.EventTypeDel, old); d.say(remoting.EventTypeAdd, next) }},
		{"Del late", func(d *Directory) { d.say(remoting.EventTypeAdd, next); d.say(remoting.EventTypeDel, old) }},
		{"Del never", func(d *Directory) { d.say(remoting.EventTypeAdd, next) }},
		{"list of the new", func(d *Directory) { d.all(next) }},
		{"list of both, old first", func(d *Directory) { d.all(old, next) }},
		{"list of both, new first", func(d *Directory) { d.all(next, old) }},
		{"an old list late", func(d *Directory) { d.say(remoting.EventTypeAdd, next); d.say(remoting.EventTypeUpdate, old) }},
	} {
		bubble(t, func(t *testing.T, d *Directory) {
			d.all(old)
			e := d.Endpoints()[0]
			e.Begin(false)
			tc.f(d)
			want(t, d, tc.name, "new")
			time.Sleep(10 * time.Second)
			if !alive("old") {
				t.Errorf("%s: destroyed under a call", tc.name)
			}
			e.End(endpoint.Answered)
			time.Sleep(lingerTime + 2*sweepEvery)
			synctest.Wait()
			if alive("old") {
				t.Errorf("%s: the old one's connection stays", tc.name)
			}
			want(t, d, tc.name+", later", "new")
		})
	}
	// A pod's address used again on a machine whose clock is behind: the list
	// names the newcomer only.
	bubble(t, func(t *testing.T, d *Directory) {
		d.all(providerURL(1, "old", 200))
		d.all(providerURL(1, "new", 100))
		want(t, d, "clock behind", "new")
	})
}

// TestLeaver: one that the registry no longer lists serves what has nothing else,
// and its invoker goes only with its last call.
func TestLeaver(t *testing.T) {
	bubble(t, func(t *testing.T, d *Directory) {
		d.all(providerURL(1, "a", 100), providerURL(2, "b", 100))
		d.say(remoting.EventTypeDel, providerURL(1, "a", 100))
		var a *endpoint.Endpoint
		for _, e := range d.Endpoints() {
			if e.Incarnation == "a" {
				a = e
			}
		}
		if a == nil || a.Begin(false) || !a.Begin(true) {
			t.Fatalf("%v: must serve only what has nothing else", a)
		}
		time.Sleep(lingerTime + 2*sweepEvery)
		synctest.Wait()
		if !alive("a") || len(d.Endpoints()) != 1 {
			t.Errorf("after %v: alive %t, %d endpoints listed; want it alive for its call and not listed", lingerTime, alive("a"), len(d.Endpoints()))
		}
		a.End(endpoint.Answered)
		synctest.Wait()
		if alive("a") {
			t.Error("not destroyed after its last call")
		}
	})
}

// TestRemoveClosingInstance: dubbo-go's Watch names an instance by its own key.
func TestRemoveClosingInstance(t *testing.T) {
	bubble(t, func(t *testing.T, d *Directory) {
		d.all(providerURL(1, "a", 100), providerURL(2, "b", 100))
		key := wire.made["a"].GetURL().GetCacheInvokerMapKey()
		if !d.RemoveClosingInstance(key) {
			t.Errorf("%q is not known", key)
		}
		want(t, d, "NOT_SERVING of a", "b")
		if d.RemoveClosingInstance("tri://127.0.0.1:99/?interface=x") {
			t.Error("an unknown key is known")
		}
		d.say(remoting.EventTypeAdd, providerURL(1, "a2", 200))
		want(t, d, "restarted on its address", "a2", "b")
	})
}

// TestRedial: a Refer that returns nil is tried again after 1, 2, 4 seconds, and
// not when the provider has left.
func TestRedial(t *testing.T) {
	bubble(t, func(t *testing.T, d *Directory) {
		wire.bad["a"], wire.bad["b"] = 3, 1000
		d.all(providerURL(1, "a", 100), providerURL(2, "b", 100))
		want(t, d, "at once")
		time.Sleep(7*time.Second - 1)
		synctest.Wait()
		want(t, d, "after two of its pauses")
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		want(t, d, "after 1 + 2 + 4 s", "a")
		d.say(remoting.EventTypeDel, providerURL(2, "b", 100))
		time.Sleep(time.Hour)
		synctest.Wait()
		before := wire.n["b"]
		time.Sleep(time.Hour)
		if wire.n["b"] != before {
			t.Error("a provider that left is still being dialled")
		}
	})
}

// TestAppeared: only what comes after the first list was seen to appear, and so is as
// old as it is known. The first list may come one by one.
func TestAppeared(t *testing.T) {
	bubble(t, func(t *testing.T, d *Directory) {
		now := int(time.Now().Unix())
		d.all(providerURL(1, "a", now-30))
		d.say(remoting.EventTypeAdd, providerURL(2, "b", now-40))
		d.sources[0].settle()
		d.say(remoting.EventTypeAdd, providerURL(3, "c", now-30)) // 30 s by a clock that is behind
		want := map[string]time.Duration{"a": 30 * time.Second, "b": 40 * time.Second, "c": 0}
		for _, e := range d.Endpoints() {
			if age := e.Age(); age != want[e.Incarnation] {
				t.Errorf("%s: age %v, want %v", e.Incarnation, age, want[e.Incarnation])
			}
		}
	})
}

// TestWatch: those who follow the list are told of each change.
func TestWatch(t *testing.T) {
	bubble(t, func(t *testing.T, d *Directory) {
		told, other := 0, 0
		cancel := d.Watch(func() { told++ })
		d.Watch(func() { other++ })()
		d.all(providerURL(1, "a", 100))
		if told == 0 || other != 0 {
			t.Errorf("told %d and %d times", told, other)
		}
		cancel()
		before := told
		d.all(providerURL(1, "a", 100), providerURL(2, "b", 100))
		if told != before {
			t.Error("told after cancel")
		}
	})
}

// hearing is a router of the user's; nil: there is none.
// TestDestroyed: events after the end change nothing.
func TestDestroyed(t *testing.T) {
	bubble(t, func(t *testing.T, d *Directory) {
		d.all(providerURL(1, "a", 100))
		d.Destroy()
		d.Destroy()
		d.say(remoting.EventTypeAdd, providerURL(2, "b", 100))
		d.all(providerURL(3, "c", 100))
		want(t, d, "after Destroy")
		if wire.n["b"]+wire.n["c"] != 0 {
			t.Error("connected after Destroy")
		}
	})
}

// TestAwaitConnections: the start waits for all connections, but for slow ones only a
// while once there are others.
func TestAwaitConnections(t *testing.T) {
	for _, tc := range []struct {
		name string
		slow []time.Duration // of each provider
		want time.Duration
	}{
		{"none is being made", nil, 0},
		{"all at once", []time.Duration{0, 0}, 0},
		{"a little slower", []time.Duration{0, 200 * time.Millisecond}, 200 * time.Millisecond},
		{"one hangs", []time.Duration{100 * time.Millisecond, 3 * time.Second}, 100*time.Millisecond + otherConnections},
		{"all hang", []time.Duration{10 * time.Second, 10 * time.Second}, firstConnections},
	} {
		bubble(t, func(t *testing.T, d *Directory) {
			var urls []*common.URL
			for n, slow := range tc.slow {
				id := fmt.Sprintf("%016x", n+1)
				wire.slow[id] = slow
				urls = append(urls, providerURL(20000+n, id, 1))
			}
			begin := time.Now()
			if len(urls) > 0 {
				d.all(urls...)
			}
			d.awaitConnections()
			const soon = 50 * time.Millisecond // more than connections wait to be published together
			if got := time.Since(begin); got < tc.want || got > tc.want+soon {
				t.Errorf("%s: waits %v, want %v", tc.name, got, tc.want)
			}
		})
	}
}
