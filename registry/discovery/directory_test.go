// SPDX-License-Identifier: Apache-2.0

//nolint:thelper // the functions run in a bubble are the tests themselves
package discovery

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dubbo.apache.org/dubbo-go/v3/cluster/router"
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/invocation"
	_ "dubbo.apache.org/dubbo-go/v3/protocol/protocolwrapper"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"
	"dubbo.apache.org/dubbo-go/v3/registry"
	"dubbo.apache.org/dubbo-go/v3/remoting"
	"github.com/dubbogo/gost/log/logger"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/meta"
)

const service = "com.shop.Order"

// fakeProtocol makes an invoker an address; wire is what the tests see of them.
type fakeProtocol struct{ base.BaseProtocol }

type fakeInvoker struct{ *base.BaseInvoker }

func (f *fakeInvoker) Invoke(context.Context, base.Invocation) result.Result {
	return &result.RPCResult{}
}

var wire struct {
	sync.Mutex
	made map[string]*fakeInvoker  // by incarnation, the last
	bad  map[string]int           // by incarnation: so many Refers give nil
	slow map[string]time.Duration // by incarnation: how long a Refer takes
	n    map[string]int           // Refers
}

func (*fakeProtocol) Refer(u *common.URL) base.Invoker {
	id := u.GetParam(tag.MetaIncarnation, "")
	wire.Lock()
	slow := wire.slow[id]
	wire.Unlock()
	time.Sleep(slow)
	wire.Lock()
	defer wire.Unlock()
	wire.n[id]++
	if wire.bad[id] > 0 {
		wire.bad[id]--
		return nil
	}
	wire.made[id] = &fakeInvoker{base.NewBaseInvoker(u)}
	return wire.made[id]
}

func init() {
	logger.SetLoggerLevel("error")
	extension.SetProtocol("fakep", func() base.Protocol { return &fakeProtocol{base.NewBaseProtocol()} })
}

func alive(incarnation string) bool {
	wire.Lock()
	defer wire.Unlock()
	i := wire.made[incarnation]
	return i != nil && !i.IsDestroyed()
}

// bubble runs f with a directory on a virtual clock. Nothing may be left behind.
func bubble(t *testing.T, f func(*testing.T, *Directory)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		wire.made, wire.bad, wire.n, wire.slow = map[string]*fakeInvoker{}, map[string]int{}, map[string]int{}, map[string]time.Duration{}
		u := registryURL()
		d := newDirectory(u)
		d.newSource(u, u.SubURL)
		f(t, d)
		d.Destroy()
		time.Sleep(time.Minute) // timers of what was known
		synctest.Wait()
		for id, i := range wire.made {
			if !i.IsDestroyed() {
				t.Errorf("%s lives after Destroy", id)
			}
		}
	})
}

func registryURL() *common.URL {
	ref := common.NewURLWithOptions(common.WithProtocol("fakep"), common.WithPath(service), common.WithInterface(service),
		common.WithParamsValue(constant.ApplicationKey, "gateway"), common.WithParamsValue(tag.KeyTag, "blue"))
	u := common.NewURLWithOptions(common.WithProtocol("fakereg"), common.WithIp("registry"), common.WithPort("1"),
		common.WithParamsValue(constant.RegistryKey, "fakereg"))
	u.SubURL = ref
	return u
}

// provider makes a provider's URL; born is its StartTime in seconds, more are
// parameters in pairs.
func providerURL(port int, incarnation string, born int, more ...string) *common.URL {
	text := fmt.Sprintf("fakep://127.0.0.1:%d/%s?interface=%s&application=order&methods=Get&%s=%d&%s=60000&%s=%s",
		port, service, service, tag.MetaStartTime, born*1000, tag.MetaWarmupTime, tag.MetaIncarnation, incarnation)
	var textSb105 strings.Builder
	for n := 0; n < len(more); n += 2 {
		textSb105.WriteString("&" + more[n] + "=" + more[n+1])
	}
	text += textSb105.String()
	u, err := common.NewURL(text)
	if err != nil {
		panic(err)
	}
	return u
}

func (d *Directory) say(action remoting.EventType, u *common.URL) {
	d.sources[0].Notify(&registry.ServiceEvent{Action: action, Service: u})
	synctest.Wait()
}

func (d *Directory) all(urls ...*common.URL) {
	var events []*registry.ServiceEvent
	for _, u := range urls {
		events = append(events, &registry.ServiceEvent{Action: remoting.EventTypeUpdate, Service: u})
	}
	told := false
	d.sources[0].NotifyAll(events, func() { told = true })
	if !told {
		panic("NotifyAll did not call back")
	}
	synctest.Wait()
}

// want compares the usable endpoints: incarnations, sorted.
func want(t *testing.T, d *Directory, step string, incarnations ...string) {
	t.Helper()
	var got []string
	for _, e := range d.Endpoints() {
		if e.Usable() {
			got = append(got, e.Incarnation)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, incarnations) {
		t.Errorf("%s: usable %v, want %v", step, got, incarnations)
	}
	if d.IsAvailable() != (len(got) > 0) {
		t.Errorf("%s: IsAvailable = %t", step, d.IsAvailable())
	}
}

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

// TestEmptyProtection: an empty list is held for 30 s, to the nanosecond, then
// believed; what was heard in between stays.
func TestEmptyProtection(t *testing.T) {
	a, b := providerURL(1, "a", 100), providerURL(2, "b", 100)
	for _, tc := range []struct {
		name    string
		f       func(d *Directory)
		until   []string // usable one nanosecond before 30 s
		believe []string // and at 30 s
	}{
		{"nothing more", func(*Directory) {}, []string{"a", "b"}, nil},
		{"empty again", func(d *Directory) { d.all() }, []string{"a", "b"}, nil},
		{"a full list", func(d *Directory) { d.all(a, b) }, []string{"a", "b"}, []string{"a", "b"}},
		{"a list of one", func(d *Directory) { d.all(b) }, []string{"a", "b"}, []string{"b"}},
		{"one comes back", func(d *Directory) { d.say(remoting.EventTypeAdd, a) }, []string{"a", "b"}, []string{"a"}},
		{"a newcomer", func(d *Directory) { d.say(remoting.EventTypeAdd, providerURL(3, "c", 1)) }, []string{"a", "b", "c"}, []string{"c"}},
		{"a Del is believed", func(d *Directory) { d.say(remoting.EventTypeDel, a) }, []string{"b"}, nil},
	} {
		bubble(t, func(t *testing.T, d *Directory) {
			d.all(a, b)
			d.all()
			tc.f(d)
			time.Sleep(30*time.Second - 1)
			synctest.Wait()
			want(t, d, tc.name+", held", tc.until...)
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			want(t, d, tc.name+", believed", tc.believe...)
		})
	}
	bubble(t, func(t *testing.T, d *Directory) { // all said that they leave: nothing to hold
		d.all(a)
		d.Endpoints()[0].MarkClosing()
		d.all()
		time.Sleep(lingerTime + 2*sweepEvery)
		synctest.Wait()
		if n := len(d.Endpoints()); n != 0 {
			t.Errorf("%d closing endpoints were held", n)
		}
	})
}

// TestEmptyProtectionOfTheLiving: who has answered while the empty list was held is
// kept for as long again, each time; an explicit word beats that.
func TestEmptyProtectionOfTheLiving(t *testing.T) {
	a, b := providerURL(1, "a", 100), providerURL(2, "b", 100)
	end := func(e *endpoint.Endpoint, outcomes ...endpoint.Outcome) {
		for _, o := range outcomes {
			e.Begin(true)
			e.End(o)
		}
	}
	period := func() {
		time.Sleep(30 * time.Second)
		synctest.Wait()
	}
	for _, tc := range []struct {
		name string
		f    func(d *Directory, e *endpoint.Endpoint) // a's, while the list is held
		want []string                                 // when it is no longer
	}{
		{"it answered", func(_ *Directory, e *endpoint.Endpoint) { end(e, endpoint.Answered) }, []string{"a"}},
		{"it answered and once took too long", func(_ *Directory, e *endpoint.Endpoint) { end(e, endpoint.Unknown, endpoint.Answered) }, []string{"a"}},
		{"it answered, with an empty list after it", func(d *Directory, e *endpoint.Endpoint) { end(e, endpoint.Answered); d.all() }, []string{"a"}},
		{"it refused", func(_ *Directory, e *endpoint.Endpoint) { end(e, endpoint.Refused) }, nil},
		{"it was not there for a while", func(_ *Directory, e *endpoint.Endpoint) { end(e, endpoint.Failed, endpoint.Answered) }, nil},
		{"it answered and marked itself", func(_ *Directory, e *endpoint.Endpoint) { end(e, endpoint.Answered); e.MarkClosing() }, nil},
		{"it answered and was put out", func(_ *Directory, e *endpoint.Endpoint) { end(e, endpoint.Answered); e.SetOutlier(true) }, nil},
		{"it answered before its Del", func(d *Directory, e *endpoint.Endpoint) { end(e, endpoint.Answered); d.say(remoting.EventTypeDel, a) }, nil},
		{"it answered before the operator's 0", func(d *Directory, e *endpoint.Endpoint) {
			end(e, endpoint.Answered)
			d.say(remoting.EventTypeUpdate, providerURL(1, "a", 100, constant.WeightKey, "0", meta.RegistryWeight, "0"))
		}, nil},
		{"it answered before a list without it", func(d *Directory, e *endpoint.Endpoint) { end(e, endpoint.Answered); d.all(b) }, []string{"a", "b"}},
	} {
		bubble(t, func(t *testing.T, d *Directory) {
			d.all(a, b)
			for _, e := range d.Endpoints() {
				end(e, endpoint.Answered) // before: says nothing of now
			}
			d.all()
			for _, e := range d.Endpoints() {
				if e.Incarnation == "a" {
					tc.f(d, e)
				}
			}
			period()
			want(t, d, tc.name, tc.want...)
		})
	}
	bubble(t, func(t *testing.T, d *Directory) {
		d.all(a, b)
		d.all()
		both := d.Endpoints()
		for _, e := range both {
			end(e, endpoint.Answered)
		}
		period()
		want(t, d, "both answered", "a", "b")
		for _, e := range both {
			if e.Incarnation == "b" {
				end(e, endpoint.Answered)
			}
		}
		d.all()
		time.Sleep(30*time.Second - 1)
		synctest.Wait()
		want(t, d, "one nanosecond before the second look", "a", "b")
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		want(t, d, "one of them answered again", "b")
		d.say(remoting.EventTypeAdd, b)
		period()
		want(t, d, "listed again it need not answer", "b")
		period()
		want(t, d, "nor later", "b")
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

// TestAppeared: only what comes after the first list was seen to appear, and so
// is as old as it is known.
func TestAppeared(t *testing.T) {
	bubble(t, func(t *testing.T, d *Directory) {
		now := int(time.Now().Unix())
		d.all(providerURL(1, "a", now-30))
		d.say(remoting.EventTypeAdd, providerURL(2, "b", now-30)) // 30 s by a clock that is behind
		for _, e := range d.Endpoints() {
			age := e.Age()
			if e.Incarnation == "a" && age != 30*time.Second || e.Incarnation == "b" && age != 0 {
				t.Errorf("%s: age %v", e.Incarnation, age)
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
var hearing func([]base.Invoker)

type hearingRouter struct{}

func (hearingRouter) URL() *common.URL           { return nil }
func (hearingRouter) Priority() int64            { return 10 }
func (hearingRouter) Notify(list []base.Invoker) { hearing(list) }
func (hearingRouter) Route(list []base.Invoker, _ *common.URL, _ base.Invocation) []base.Invoker {
	return list
}

func (hearingRouter) NewPriorityRouter(*common.URL) (router.PriorityRouter, error) {
	if hearing == nil {
		return nil, nil //nolint:nilnil // how dubbo-go's factories decline
	}
	return hearingRouter{}, nil
}

func init() {
	extension.SetRouterFactory("hearing", func() router.PriorityRouterFactory { return hearingRouter{} })
}

// TestRouterHears: a router beside a cluster of dubbo-go's hears of a list that is
// published while it hears of the first.
func TestRouterHears(t *testing.T) {
	bubble(t, func(t *testing.T, d *Directory) {
		heard := 0
		hearing = func(list []base.Invoker) {
			if heard = len(list); heard == 1 {
				d.all(providerURL(1, "a", 100), providerURL(2, "b", 100))
			}
		}
		t.Cleanup(func() { hearing = nil })
		d.all(providerURL(1, "a", 100))
		d.List(invocation.NewRPCInvocationWithOptions())
		synctest.Wait()
		if heard != 2 {
			t.Errorf("the router knows of %d providers, want 2", heard)
		}
	})
}

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
