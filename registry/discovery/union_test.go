// SPDX-License-Identifier: Apache-2.0

//nolint:thelper // the functions run in a bubble are the tests themselves
package discovery

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	_ "dubbo.apache.org/dubbo-go/v3/cluster/cluster/failfast"
	_ "dubbo.apache.org/dubbo-go/v3/cluster/cluster/zoneaware"
	"dubbo.apache.org/dubbo-go/v3/cluster/directory/static"
	_ "dubbo.apache.org/dubbo-go/v3/cluster/loadbalance/random"
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/global"
	"dubbo.apache.org/dubbo-go/v3/graceful_shutdown"
	"dubbo.apache.org/dubbo-go/v3/metadata/info"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/invocation"
	"dubbo.apache.org/dubbo-go/v3/registry"
	"dubbo.apache.org/dubbo-go/v3/remoting"

	"github.com/graylane/graylane/cluster/lossless"
	"github.com/graylane/graylane/cluster/tagrouter"
	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/conf"
)

// two runs f with a directory over two registries.
func two(t *testing.T, f func(t *testing.T, d *Directory, one, other *source)) {
	t.Helper()
	bubble(t, func(t *testing.T, d *Directory) {
		other := d.newSource(registryURL(), d.ref)
		f(t, d, d.sources[0], other)
	})
}

func (s *source) say(action remoting.EventType, urls ...*common.URL) {
	for _, u := range urls {
		s.Notify(&registry.ServiceEvent{Action: action, Service: u})
	}
	synctest.Wait()
}

func (s *source) all(urls ...*common.URL) {
	var events []*registry.ServiceEvent
	for _, u := range urls {
		events = append(events, &registry.ServiceEvent{Action: remoting.EventTypeUpdate, Service: u})
	}
	s.NotifyAll(events, nil)
	synctest.Wait()
}

// TestUnion: what two registries list counts once and leaves with the last of them.
func TestUnion(t *testing.T) {
	a, b, c := providerURL(1, "a", 100), providerURL(2, "b", 100), providerURL(3, "c", 100)
	two(t, func(t *testing.T, d *Directory, one, other *source) {
		one.all(a, b)
		other.all(b, c)
		want(t, d, "both", "a", "b", "c")
		if wire.n["b"] != 1 {
			t.Errorf("b was connected to %d times, want once", wire.n["b"])
		}
		one.say(remoting.EventTypeDel, b)
		want(t, d, "one drops b", "a", "b", "c")
		other.say(remoting.EventTypeDel, b)
		want(t, d, "both dropped b", "a", "c")
		one.say(remoting.EventTypeAdd, b)
		want(t, d, "b is back", "a", "b", "c")
		one.say(remoting.EventTypeDel, c)
		want(t, d, "one says Del of what it never listed", "a", "b", "c")
		other.all(c) // its whole list: says nothing of a and b
		want(t, d, "a list of the other", "a", "b", "c")
		d.Endpoints()[0].MarkClosing() // an explicit word beats both
		if n := usableCount(d); n != 2 {
			t.Errorf("%d usable after a mark, want 2", n)
		}
	})
}

func usableCount(d *Directory) (n int) {
	for _, e := range d.Endpoints() {
		if e.Usable() {
			n++
		}
	}
	return n
}

// TestUnionRestart: a new incarnation that one registry lists ends the old one,
// though the other registry still lists that.
func TestUnionRestart(t *testing.T) {
	old, next := providerURL(1, "old", 100), providerURL(1, "new", 200)
	two(t, func(t *testing.T, d *Directory, one, other *source) {
		one.all(old)
		other.all(old)
		one.all(next)
		want(t, d, "one knows of it", "new")
		other.all(old)
		want(t, d, "the other repeats the old", "new")
		other.all(next)
		want(t, d, "both know", "new")
		one.all(providerURL(2, "x", 1)) // not an empty list
		want(t, d, "one drops it", "new", "x")
	})
}

// TestUnionWhicheverHas: tag and weight come from whichever registry has them;
// peers without incarnation are one though their timestamps differ.
func TestUnionWhicheverHas(t *testing.T) {
	plainURL := func(timestamp string, more ...string) *common.URL {
		u := providerURL(1, "", 0, more...)
		u.DelParam(tag.MetaStartTime)
		u.DelParam(tag.MetaWarmupTime)
		u.SetParam(constant.TimestampKey, timestamp)
		return u
	}
	two(t, func(t *testing.T, d *Directory, one, other *source) {
		one.all(plainURL("1790000000"))
		other.all(plainURL("1790000007000", tag.KeyTag, "gray", constant.WeightKey, "250"))
		if n := len(d.Endpoints()); n != 1 {
			t.Fatalf("%d endpoints of one process, want 1", n)
		}
		if e := d.Endpoints()[0]; e.Tag != "gray" || e.Weight != 250 {
			t.Errorf("tag %q, weight %v; want what the second registry says", e.Tag, e.Weight)
		}
		one.all(providerURL(2, "x", 1))
		if n := usableCount(d); n != 2 {
			t.Errorf("%d usable while the other registry lists it, want 2", n)
		}
		other.all(providerURL(2, "x", 1))
		want(t, d, "both dropped it", "x")
		for _, e := range d.Endpoints() { // it drains in the lane in which it was
			if e.Incarnation != "x" && e.Tag != "gray" {
				t.Errorf("the leaver is in lane %q", e.Tag)
			}
		}
	})
}

// TestUnionTagForOthers: what a second registry says of the tag, and what either
// changes later, reaches the tag router under clusters other than ours, which reads
// the invokers' URLs; in mode observe these stay as dubbo-go makes them.
func TestUnionTagForOthers(t *testing.T) {
	old := *conf.Current()
	t.Cleanup(func() { conf.Set(old) })
	for mode, want := range map[conf.Mode][2]string{conf.Enforce: {"gray", "blue"}, conf.Observe: {"", ""}} {
		c := conf.Default()
		c.Mode = mode
		conf.Set(c)
		two(t, func(t *testing.T, d *Directory, one, other *source) {
			d.foreign = true
			look := func(step, want string) {
				i := d.Endpoints()[0].Invoker
				if got := i.GetURL().GetParam(constant.Tagkey, ""); got != want {
					t.Errorf("mode %v, %s: tag %q in the URL, want %q", mode, step, got, want)
				}
				inv := invocation.NewRPCInvocation("Get", nil, map[string]any{tag.KeyTag: want, tag.KeyForce: "true"})
				if got := (&tagrouter.Router{}).Route([]base.Invoker{i}, nil, inv); mode == conf.Enforce && len(got) != 1 {
					t.Errorf("%s: a call for %q finds nobody", step, want)
				}
			}
			one.all(providerURL(1, "a", 100))
			look("without a tag", "")
			other.all(providerURL(1, "a", 100, constant.Tagkey, "gray"))
			look("the second registry knows it", want[0])
			one.all(providerURL(1, "a", 100, constant.Tagkey, "blue"))
			look("changed at the first", want[1])
			one.all(providerURL(1, "a", 100))
			other.all(providerURL(1, "a", 100))
			look("taken back", "")
		})
	}
}

// TestUnionProtection: an empty list is held for each registry by itself.
func TestUnionProtection(t *testing.T) {
	a, b := providerURL(1, "a", 100), providerURL(2, "b", 100)
	two(t, func(t *testing.T, d *Directory, one, other *source) {
		one.all(a, b)
		other.all(b)
		one.all() // restarts
		time.Sleep(30*time.Second - 1)
		synctest.Wait()
		want(t, d, "held", "a", "b")
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		want(t, d, "believed: the other still lists b", "b")
	})
}

// TestGroups: an endpoint keeps its own group and version, whatever the reference
// asks for, and says them also where it has none; nothing stays registered.
func TestGroups(t *testing.T) {
	bubble(t, func(t *testing.T, d *Directory) {
		d.ref.SetParam(constant.GroupKey, constant.AnyValue)
		d.all(providerURL(1, "a", 100, constant.GroupKey, "g1", constant.VersionKey, "2.0"), providerURL(2, "b", 100))
		want(t, d, "two groups", "a", "b")
		for id, group := range map[string]string{"a": "g1", "b": ""} {
			if got := wire.made[id].GetURL().GetParam(constant.GroupKey, ""); got != group {
				t.Errorf("%s is called as group %q, want %q", id, got, group)
			}
		}
		inv := invocation.NewRPCInvocation("Get", nil, map[string]any{constant.GroupKey: "of the endpoint before"})
		for _, e := range d.Endpoints() {
			e.Invoker.Invoke(context.Background(), inv)
			if got := inv.GetAttachmentWithDefaultValue(constant.GroupKey, ""); got != e.Invoker.GetURL().GetParam(constant.GroupKey, "") {
				t.Errorf("%s: the call says group %q", e.Incarnation, got)
			}
		}
		closing := graceful_shutdown.DefaultClosingDirectoryRegistry()
		keys := []string{"g1/" + service + ":2.0", service}
		for _, key := range keys {
			if !d.watched[key] {
				t.Errorf("health watches of %s do not find the directory: %v", key, d.watched)
			}
		}
		d.Destroy()
		for _, key := range keys {
			if n := len(closing.Find(key)); n != 0 {
				t.Errorf("%d directories registered under %s after the end", n, key)
			}
		}
	})
}

func TestGroupsOf(t *testing.T) {
	for groups, want := range map[string][]string{"": {""}, "g1": {"g1"}, "*": {"*"}, "g1,g2": {"g1", "g2"}, " g1 , g2 ": {"g1", "g2"}} {
		u := registryURL().SubURL
		u.SetParam(constant.GroupKey, groups)
		var got []string
		for _, ref := range groupsOf(u) {
			got = append(got, ref.GetParam(constant.GroupKey, ""))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q asks for %q, want %q", groups, got, want)
		}
	}
}

// TestWildcard: at application level, where dubbo-go finds nobody for group "*",
// the instances of all applications are listed whatever their groups.
func TestWildcard(t *testing.T) {
	bubble(t, func(t *testing.T, d *Directory) {
		d.ref.SetParam(constant.GroupKey, constant.AnyValue)
		d.ref.Protocol = "fakep"
		s := d.sources[0]
		l := s.listener(true)
		l.NotifyAll(nil, func() {})                                                                      // of a group named "*"
		l.Notify(&registry.ServiceEvent{Action: remoting.EventTypeAdd, Service: providerURL(9, "x", 1)}) // likewise
		tell := func(app string, port int, groups ...string) {
			i := plain(func(i *registry.DefaultServiceInstance) {
				i.ServiceName, i.Port = app, port
				i.Metadata[constant.ServiceInstanceEndpoints] = fmt.Sprintf(`[{"port":%d,"protocol":"fakep"}]`, port)
				i.Metadata[tag.MetaIncarnation] = app
			})
			m := info.NewAppMetadataInfo(app)
			for _, g := range groups {
				sv := info.NewServiceInfo(service, g, "", "fakep", service, map[string]string{"methods": "Get"})
				m.Services[sv.GetMatchKey()] = sv
			}
			other := info.NewServiceInfo("com.shop.User", "g1", "", "fakep", "com.shop.User", map[string]string{"methods": "Get"})
			m.Services[other.GetMatchKey()] = other
			list := wrap([]registry.ServiceInstance{i})
			list[0].SetServiceMetadata(m)
			tellWildcards(discoveryKey(s.url), app, list)
			tellWildcards("another registry", app, nil)
			synctest.Wait()
		}
		tell("order", 1, "g1", "g2")
		want(t, d, "two groups of one process", "order", "order")
		tell("shop", 2, "g3")
		want(t, d, "another application", "order", "order", "shop")
		tell("order", 1, "g2")
		want(t, d, "a group less", "order", "shop")
		d.Destroy()
		if n := len(wildcards.m); n != 0 {
			t.Errorf("%d listen after the end", n)
		}
	})
}

// referAll is what dubbo-go does for a reference with several registries.
func referAll(t *testing.T, urls ...*common.URL) base.Invoker {
	t.Helper()
	invokers := make([]base.Invoker, len(urls))
	for n, u := range urls {
		if invokers[n] = Refer(u); invokers[n] == nil {
			t.Fatal("no invoker")
		}
	}
	name := invokers[0].GetURL().GetParam(constant.ClusterKey, constant.ClusterKeyZoneAware)
	cluster, err := extension.GetCluster(name)
	if err != nil {
		t.Fatal(err)
	}
	return cluster.Join(static.NewDirectory(invokers))
}

func severalURLs(cluster string) (urls []*common.URL) {
	ref := registryURL().SubURL
	ref.SetParam(tag.KeyTag, "")
	ref.SetParam(constant.ClusterKey, cluster)
	for _, id := range []string{"one", "two"} {
		u := registryURL()
		u.Location, u.SubURL = "fake", ref
		u.SetParam(constant.RegistryIdKey, id)
		urls = append(urls, u)
	}
	return urls
}

// TestReferSeveral: the registries of one reference share one invoker, and a
// second reference has its own.
func TestReferSeveral(t *testing.T) {
	newWire()
	registries.list = []*common.URL{providerURL(1, "a", 100), providerURL(2, "b", 100)}
	count := func() int {
		references.Lock()
		defer references.Unlock()
		return len(references.m)
	}
	for _, cluster := range []string{lossless.Name, constant.ClusterKeyFailfast} {
		clear(wire.n)
		before := count()
		urls := severalURLs(cluster)
		invoker := referAll(t, urls...)
		if again := Refer(urls[0]); again != invoker {
			t.Errorf("%s: the invoker over two registries is not each registry's", cluster)
		}
		if other := Refer(severalURLs(cluster)[0]); other == invoker {
			t.Errorf("%s: two references share an invoker", cluster)
		} else {
			other.Destroy()
		}
		for range 20 {
			if err := invoker.Invoke(context.Background(), invocation.NewRPCInvocation("Get", nil, nil)).Error(); err != nil {
				t.Fatalf("%s: %v", cluster, err)
			}
		}
		if n := wire.n["a"]; n != 2 { // one a reference
			t.Errorf("%s: a was connected to %d times by two references, want twice", cluster, n)
		}
		references.Lock()
		_, shared := references.m[urls[0].SubURL]
		references.Unlock()
		if !shared {
			t.Errorf("%s: nothing is shared", cluster)
		}
		invoker.Destroy()
		invoker.Destroy()
		if n := count(); n != before {
			t.Errorf("%s: %d references after their end, %d before", cluster, n, before)
		}
	}
}

// TestNested: dubbo-go chooses between registries where the user gave that choice
// a meaning, and in mode observe.
func TestNested(t *testing.T) {
	old := *conf.Current()
	t.Cleanup(func() { conf.Set(old) })
	attribute := func(r *global.RegistryConfig) func(*common.URL) {
		return func(u *common.URL) {
			u.SetAttribute(constant.RegistriesConfigKey, map[string]*global.RegistryConfig{"r": r})
		}
	}
	for name, tc := range map[string]struct {
		mode conf.Mode
		ref  func(*common.URL)
		want bool
	}{
		"several registries":   {conf.Enforce, attribute(&global.RegistryConfig{}), false},
		"a preferred one":      {conf.Enforce, attribute(&global.RegistryConfig{Preferred: true}), true},
		"zones":                {conf.Enforce, attribute(&global.RegistryConfig{Zone: "hangzhou"}), true},
		"cluster zoneAware":    {conf.Enforce, func(u *common.URL) { u.SetParam(constant.ClusterKey, constant.ClusterKeyZoneAware) }, true},
		"mode observe":         {conf.Observe, func(*common.URL) {}, true},
		"no word of registers": {conf.Enforce, func(*common.URL) {}, false},
	} {
		c := conf.Default()
		c.Mode = tc.mode
		conf.Set(c)
		ref := registryURL().SubURL
		tc.ref(ref)
		if got := nested(ref); got != tc.want {
			t.Errorf("%s: nested = %t", name, got)
		}
	}
}
