// SPDX-License-Identifier: Apache-2.0

//nolint:thelper // the functions that TestNacos lists are the tests themselves
package nacos

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/registry"
	gxset "github.com/dubbogo/gost/container/set"
	"github.com/dubbogo/gost/gof/observer"

	"github.com/graylane/graylane/internal/meta"
	rig "github.com/graylane/graylane/test/rig/nacos"
)

// TestNacos runs everything on one real server, for one takes ten seconds to start.
func TestNacos(t *testing.T) {
	need(t)
	dir := t.TempDir()
	s := start(t, dir)
	// Before dubbo-go's clients are there: the SDK's reconnecting is a data race with itself.
	outer := t
	t.Run("outage", func(t *testing.T) { s = testOutage(t, s, dir, func() *rig.Server { return start(outer, dir) }) })
	for _, tc := range []struct {
		name string
		f    func(*testing.T, *rig.Server)
	}{
		{"interface level: what is written", testInterfaceWire},
		{"interface level: dubbo-go on either side", testInterfacePeers},
		{"interface level: two protocols", testTwoProtocols},
		{"interface level: versions, groups", testVersionsAndGroups},
		{"interface level: the operator's word", testInterfaceOperator},
		{"application level: what is written", testApplicationWire},
		{"application level: lists and pushes", testApplication},
		{"application level: dubbo-go on either side", testApplicationPeers},
		{"application level: the operator's word", testApplicationOperator},
		{"two processes in one folder", testFolders},
		{"the only instance is disabled", testDisabled},
	} {
		t.Run(tc.name, func(t *testing.T) { tc.f(t, s) })
	}
}

// testInterfaceWire: dubbo-go's own registry registers a URL, ours the same at
// another port: name, weight and metadata are the same.
func testInterfaceWire(t *testing.T, s *rig.Server) {
	noneOfOurs(t)
	for _, params := range [][]string{
		nil,
		{"weight", "50", "version", "1.0", "group", "blue"},
		{"weight", "0", "empty", "", "a", "b c&d=%25", "dubbo.tag", "gray"},
		{"weight", "20000", "group", " "},
		{"weight", "heavy"},
	} {
		service := unique("com.shop.Wire")
		plain, err := extension.GetRegistry(Name, plainURL(t, s.Address()))
		if err != nil {
			t.Fatal(err)
		}
		if err := plain.Register(provider(service, "tri", 20001, params...)); err != nil {
			t.Fatal(err)
		}
		name, _, err := registration(provider(service, "tri", 20002, params...))
		if err != nil {
			t.Fatal(err)
		}
		ours := newRegistry(t, registryURL(s.Address()))
		if err := ours.Register(provider(service, "tri", 20002, params...)); err != nil {
			t.Fatal(err)
		}
		all := hosts(t, registryURL(s.Address()), name, 2)
		theirs, mine := all[20001], all[20002]
		if d := differences(mine.Metadata, theirs.Metadata); d != "" || len(theirs.Metadata) == 0 {
			t.Errorf("%v: metadata: %s", params, d)
		}
		theirs.Metadata, mine.Metadata, mine.Port = nil, nil, theirs.Port
		mine.InstanceId = theirs.InstanceId
		if !reflect.DeepEqual(mine, theirs) {
			t.Errorf("%v: instance: got %+v, dubbo-go writes %+v", params, mine, theirs)
		}
		ours.Destroy()
		plain.Destroy()
	}
}

// testInterfacePeers:
//  1. ours registers, dubbo-go's consumer has it, and is told when it leaves
//  2. dubbo-go's registers, our consumer has it, as dubbo-go's would, and is told when it leaves
func testInterfacePeers(t *testing.T, s *rig.Server) {
	service := unique("com.shop.Peers")
	plain, err := extension.GetRegistry(Name, plainURL(t, s.Address()))
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Destroy()
	ours := newRegistry(t, registryURL(s.Address()))
	query := []string{"dubbo.tag", "gray", "a", "b c&d", "StartTime", "1790000000123"}

	// 1.
	if err := ours.Register(provider(service, "tri", 20001, query...)); err != nil {
		t.Fatal(err)
	}
	theirs := newProviders()
	if err := plain.LoadSubscribeInstances(consumer(service), theirs); err != nil {
		t.Fatal(err)
	}
	theirs.expect(t, "tri:20001=100")
	subscribe(plain, consumer(service), theirs)
	mine := newProviders()
	ended := subscribe(ours, consumer(service), mine)
	mine.expect(t, "tri:20001=100")

	// 2.
	if err := plain.Register(provider(service, "tri", 20002, query...)); err != nil {
		t.Fatal(err)
	}
	mine.expect(t, "tri:20001=100", "tri:20002=100")
	theirs.expect(t, "tri:20001=100", "tri:20002=100")
	for _, at := range []string{"tri://127.0.0.1:20001", "tri://127.0.0.1:20002"} {
		got, want := mine.get(at), theirs.get(at)
		if d := differences(got.ToMap(), want.ToMap()); d != "" || got.Service() != want.Service() || got.Path != want.Path {
			t.Errorf("URL of %s: got %s, dubbo-go makes %s: %s", at, got, want, d)
		}
		if key := got.GetCacheInvokerMapKey(); !strings.Contains(key, "1790000000") {
			t.Errorf("identity of %s: got %s, want the timestamp in it", at, key)
		}
	}
	if err := plain.UnRegister(provider(service, "tri", 20002)); err != nil {
		t.Fatal(err)
	}
	mine.expect(t, "tri:20001=100")
	if err := ours.UnRegister(provider(service, "tri", 20001, query...)); err != nil {
		t.Fatal(err)
	}
	theirs.expect(t)
	mine.expect(t)
	if _, dels, _ := mine.counts(); dels != 1 {
		t.Errorf("the only provider left: %d Del events, want 1", dels)
	}
	if err := ours.UnSubscribe(consumer(service), mine); err != nil {
		t.Fatal(err)
	}
	<-ended
}

// testTwoProtocols: two protocols of one service, registered by one process, by one
// registry object and by two, all stay; each leaves alone.
func testTwoProtocols(t *testing.T, s *rig.Server) {
	noLeak(t)
	service := unique("com.shop.Two")
	one, two := newRegistry(t, registryURL(s.Address())), newRegistry(t, registryURL(s.Address()))
	seen := newProviders()
	subscribe(newRegistry(t, far(s.Address())), consumer(service), seen)
	urls := map[string]*Registry{}
	for n, r := range []*Registry{one, one, two} {
		u := provider(service, []string{"tri", "dubbo", "rest"}[n], 20001+n)
		if err := r.Register(u); err != nil {
			t.Fatal(err)
		}
		if err := r.Register(u); err != nil { // again
			t.Fatal(err)
		}
		urls[u.Protocol] = r
	}
	seen.expect(t, "dubbo:20002=100", "rest:20003=100", "tri:20001=100")
	if err := one.UnRegister(provider(service, "tri", 20001)); err != nil {
		t.Fatal(err)
	}
	seen.expect(t, "dubbo:20002=100", "rest:20003=100")
	if err := two.UnRegister(provider(service, "dubbo", 20002)); err != nil { // another's
		t.Fatal(err)
	}
	one.Destroy()
	seen.expect(t, "rest:20003=100")
	if err := one.Register(provider(service, "tri", 20001)); err == nil {
		t.Error("Register after Destroy: got no error")
	}
	two.Destroy()
	seen.expect(t)
}

// testVersionsAndGroups: a consumer gets its version and group, one of several, or
// all, also those that come later.
func testVersionsAndGroups(t *testing.T, s *rig.Server) {
	noLeak(t)
	service := unique("com.shop.Groups")
	r := newRegistry(t, registryURL(s.Address()))
	add := func(port int, version, group string) {
		if err := r.Register(provider(service, "tri", port, "version", version, "group", group)); err != nil {
			t.Fatal(err)
		}
	}
	add(20001, "", "")
	add(20002, "1.0", "blue")
	add(20003, "1.0", "green")
	for _, tc := range []struct {
		version, group string
		want           []string
	}{
		{"", "", []string{"tri:20001=100"}},
		{"1.0", "blue", []string{"tri:20002=100"}},
		{"1.0", "green, blue", []string{"tri:20002=100", "tri:20003=100"}},
		{"1.0", "*", []string{"tri:20002=100", "tri:20003=100"}},
		{"*", "*", []string{"tri:20001=100", "tri:20002=100", "tri:20003=100"}},
		{"2.0", "*", nil},
	} {
		u := consumer(service, "version", tc.version, "group", tc.group)
		loaded, followed := newProviders(), newProviders()
		if err := r.LoadSubscribeInstances(u, loaded); err != nil {
			t.Fatal(err)
		}
		loaded.expect(t, tc.want...)
		ended := subscribe(r, u, followed)
		followed.expect(t, tc.want...)
		eventually(t, "a first list", func() bool { lists, _, _ := followed.counts(); return lists > 0 })
		if err := r.UnSubscribe(u, followed); err != nil {
			t.Fatal(err)
		}
		<-ended
	}
}

// testInterfaceOperator: what the operator says of an instance in Nacos reaches its
// URL, relative to what it registered with; and weights come with the first list too.
func testInterfaceOperator(t *testing.T, s *rig.Server) {
	noLeak(t)
	service := unique("com.shop.Operator")
	name := "providers:" + service + "::"
	r := newRegistry(t, registryURL(s.Address()))
	for n, weight := range []string{"0", "50"} { // unset: 1 at Nacos; 50: 50 at Nacos
		if err := r.Register(provider(service, "tri", 20001+n, "weight", weight)); err != nil {
			t.Fatal(err)
		}
	}
	seen := newProviders()
	c := newRegistry(t, far(s.Address()))
	subscribe(c, consumer(service), seen)
	seen.expect(t, "tri:20001=100", "tri:20002=50")
	for _, tc := range []struct {
		port   int
		params []string
		want   []string
	}{
		{20001, []string{"weight", "0.4"}, []string{"tri:20001=40", "tri:20002=50"}},
		{20001, []string{"weight", "2.5"}, []string{"tri:20001=250", "tri:20002=50"}},
		{20001, []string{"weight", "0"}, []string{"tri:20001=0", "tri:20002=50"}},
		{20002, []string{"weight", "25"}, []string{"tri:20001=0", "tri:20002=25"}},
		{20002, []string{"weight", "0.333"}, []string{"tri:20001=0", "tri:20002=0.333"}},
		{20002, []string{"weight", "50", "metadata", `{"dubbo.tag":"gray"}`}, []string{"tri:20001=0", "tri:20002=50"}},
		{20001, []string{"weight", "1", "enabled", "false"}, []string{"tri:20002=50"}},
		{20001, []string{"weight", "1", "enabled", "true"}, []string{"tri:20001=100", "tri:20002=50"}},
	} {
		set(t, s, name, tc.port, tc.params...)
		seen.expect(t, tc.want...)
		first := newProviders()
		if err := c.LoadSubscribeInstances(consumer(service), first); err != nil {
			t.Fatal(err)
		}
		if got := first.list(); got != strings.Join(tc.want, " ") {
			t.Errorf("%v: first list %q, want %v", tc.params, got, tc.want)
		}
		for _, at := range []string{"tri://127.0.0.1:20001", "tri://127.0.0.1:20002"} {
			if u := seen.get(at); u != nil && u.GetParamInt(constant.WeightKey, 0) < 1 && u.GetParam(meta.RegistryWeight, "") != "" {
				t.Errorf("%v: others see weight %q of %s, want a whole number from 1", tc.params, u.GetParam(constant.WeightKey, ""), at)
			}
		}
	}
	if got := seen.get("tri://127.0.0.1:20002").GetParam("dubbo.tag", ""); got != "gray" {
		t.Errorf("tag set by the operator: got %q, want gray", got)
	}
}

func instance(application string, port int, metadata map[string]string) *registry.DefaultServiceInstance {
	return &registry.DefaultServiceInstance{
		ID: fmt.Sprintf("127.0.0.1:%d", port), ServiceName: application, Host: "127.0.0.1", Port: port,
		Enable: true, Healthy: true, Metadata: metadata, Tag: metadata["dubbo.tag"],
	}
}

// testApplicationWire: the same as for interface level.
func testApplicationWire(t *testing.T, s *rig.Server) {
	noneOfOurs(t)
	for _, tc := range []struct {
		override string
		weight   int64
		extra    string // what we add: the weight that it registered with, where that is not 1
	}{{"0", 0, ""}, {"0", 100, ""}, {"7", 0, "7"}, {"20000", 0, "10000"}, {"", 30, "30"}, {"", 0, "100"}} {
		application := unique("wire")
		plain, err := extension.GetServiceDiscovery(plainURL(t, s.Address(), overrideKey, tc.override))
		if err != nil {
			t.Fatal(err)
		}
		ours := newDiscovery(t, registryURL(s.Address(), overrideKey, tc.override))
		describe := func(port int) *registry.DefaultServiceInstance {
			i := instance(application, port, map[string]string{"dubbo.tag": "gray", "a": "b c", "weight": "100"})
			i.ID, i.Weight = "x", tc.weight
			return i
		}
		if err := plain.Register(describe(20001)); err != nil {
			t.Fatal(err)
		}
		i := describe(20002)
		if err := ours.Register(i); err != nil {
			t.Fatal(err)
		}
		if i.Metadata[metaID] != "" {
			t.Error("the caller's metadata was changed")
		}
		all := hosts(t, registryURL(s.Address()), application, 2)
		theirs, mine := all[20001], all[20002]
		if got := mine.Metadata[metaRegistered]; got != tc.extra {
			t.Errorf("%+v: %s: got %q, want %q", tc, metaRegistered, got, tc.extra)
		}
		delete(mine.Metadata, metaRegistered)
		if d := differences(mine.Metadata, theirs.Metadata); d != "" || len(theirs.Metadata) == 0 {
			t.Errorf("%+v: metadata: %s", tc, d)
		}
		theirs.Metadata, mine.Metadata, mine.Port, mine.InstanceId = nil, nil, theirs.Port, theirs.InstanceId
		if !reflect.DeepEqual(mine, theirs) {
			t.Errorf("%+v: instance: got %+v, dubbo-go writes %+v", tc, mine, theirs)
		}
		list := ours.GetInstances(application)
		for _, i := range list {
			if i.GetPort() == 20002 && (i.GetWeight() != 100 || i.GetMetadata()[meta.RegistryWeight] != "") {
				t.Errorf("%+v: as it registered it weighs %d (%q), want 100", tc, i.GetWeight(), i.GetMetadata()[meta.RegistryWeight])
			}
		}
		_ = plain.Destroy()
	}
}

// instances is a listener that keeps the last list of each application.
type instances struct {
	names []string

	mu     sync.Mutex
	now    map[string]string // application -> "port(tag)=weight" sorted
	events int
	empty  int           // empty lists after one that was not
	gate   chan struct{} // if there is one, OnEvent waits until it is closed
}

func newInstances(names ...string) *instances {
	return &instances{names: names, now: make(map[string]string)}
}

func (l *instances) OnEvent(e observer.Event) error {
	if l.gate != nil {
		<-l.gate
	}
	ev, ok := e.(*registry.ServiceInstancesChangedEvent)
	if !ok {
		return fmt.Errorf("event %T", e)
	}
	var all []string
	for _, i := range ev.Instances {
		m := i.GetMetadata()
		if m["scribble"] != "" {
			all = append(all, "scribbled")
		}
		m["scribble"] = "by a listener" // dubbo-go's listeners change instances
		all = append(all, fmt.Sprintf("%d(%s)=%v", i.GetPort(), i.GetTag(), meta.Weight(func(k string) string { return m[k] })))
	}
	slices.Sort(all)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events++
	if len(all) == 0 && l.now[ev.ServiceName] != "" {
		l.empty++
	}
	l.now[ev.ServiceName] = strings.Join(all, " ")
	return nil
}

func (l *instances) AddListenerAndNotify(string, registry.NotifyListener) {}
func (l *instances) RemoveListener(string)                                {}
func (l *instances) GetPriority() int                                     { return -1 }
func (l *instances) Accept(observer.Event) bool                           { return true }
func (l *instances) GetEventType() reflect.Type {
	return reflect.TypeFor[*registry.ServiceInstancesChangedEvent]()
}

func (l *instances) GetServiceNames() *gxset.HashSet {
	set := gxset.NewSet()
	for _, name := range l.names {
		set.Add(name)
	}
	return set
}

func (l *instances) count() (events, empty int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.events, l.empty
}

func (l *instances) expect(t *testing.T, application, want string) {
	t.Helper()
	var got string
	var ok bool
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		l.mu.Lock()
		got, ok = l.now[application]
		l.mu.Unlock()
		if ok && got == want {
			return
		}
	}
	t.Fatalf("after 30 s the listener has %q of %s, want %q", got, application, want)
}

// testApplication:
//  1. two consumers listen, for two applications
//  2. two instances of one register, one of the other: each hears of its own, with
//     tags; one that comes late hears the same at once
//  3. an update changes metadata and tag; no list between was empty or short
//  4. one instance leaves: the other stays; an update does not bring it back
//  5. a slow listener gets few events, and the last list.
func testApplication(t *testing.T, s *rig.Server) {
	noLeak(t)
	gray := map[string]string{"dubbo.tag": "gray"}
	cart, order := unique("cart"), unique("order")
	provider := newDiscovery(t, registryURL(s.Address()))
	one := newDiscovery(t, far(s.Address()))
	two := newDiscovery(t, far(s.Address()))

	// 1.
	carts, orders := newInstances(cart), newInstances(order)
	for d, l := range map[*Discovery]*instances{one: carts, two: orders} {
		if err := d.AddListener(l); err != nil {
			t.Fatal(err)
		}
		if err := d.AddListener(l); err != nil { // again
			t.Fatal(err)
		}
	}
	carts.expect(t, cart, "")
	orders.expect(t, order, "")

	// 2.
	for _, i := range []*registry.DefaultServiceInstance{instance(cart, 1, nil), instance(cart, 2, gray), instance(order, 3, nil)} {
		if err := provider.Register(i); err != nil {
			t.Fatal(err)
		}
	}
	carts.expect(t, cart, "1()=100 2(gray)=100")
	orders.expect(t, order, "3()=100")
	late := newInstances(cart, order)
	if err := one.AddListener(late); err != nil {
		t.Fatal(err)
	}
	late.expect(t, cart, "1()=100 2(gray)=100")
	late.expect(t, order, "3()=100")
	list := one.GetInstances(cart)
	if len(list) != 2 || list[0].GetMetadata()["scribble"] != "" || list[0].GetServiceName() != cart {
		t.Errorf("GetInstances: got %v, want two that no listener touched", list)
	}
	if got := one.GetInstancesByPage(cart, 1, 5); len(got.GetData()) != 1 {
		t.Errorf("page from 1: got %v, want one instance", got.GetData())
	}
	if got := one.GetHealthyInstancesByPage(cart, 0, 5, false); len(got.GetData()) != 0 {
		t.Errorf("unhealthy ones: got %v, want none", got.GetData())
	}
	if got := one.GetServices(); !got.Contains(cart, order) {
		t.Errorf("GetServices: got %v, want %s and %s among them", got.Values(), cart, order)
	}

	// 3.
	events, _ := carts.count()
	if err := provider.Update(instance(cart, 1, map[string]string{"dubbo.tag": "blue", "weight": "30"})); err != nil {
		t.Fatal(err)
	}
	carts.expect(t, cart, "1(blue)=30 2(gray)=100")
	if now, empty := carts.count(); now != events+1 || empty != 0 {
		t.Errorf("an update made %d events, %d empty lists; want 1 and 0", now-events, empty)
	}

	// 4.
	for range 2 { // idempotent
		if err := provider.Unregister(instance(cart, 1, nil)); err != nil {
			t.Fatal(err)
		}
	}
	carts.expect(t, cart, "2(gray)=100")
	if err := provider.Update(instance(cart, 2, nil)); err != nil {
		t.Fatal(err)
	}
	carts.expect(t, cart, "2()=100")
	one.RemoveListener(late)

	// 5.
	slow := newInstances(order)
	slow.gate = make(chan struct{})
	if err := two.AddListener(slow); err != nil {
		t.Fatal(err)
	}
	for port := 4; port < 9; port++ {
		if err := provider.Register(instance(order, port, nil)); err != nil {
			t.Fatal(err)
		}
	}
	all := "3()=100 4()=100 5()=100 6()=100 7()=100 8()=100"
	quick := newInstances(order)
	if err := one.AddListener(quick); err != nil {
		t.Fatal(err)
	}
	quick.expect(t, order, all) // of another discovery, so the slow one does not keep it waiting
	close(slow.gate)
	slow.expect(t, order, all)
	orders.expect(t, order, all)
	if n, _ := slow.count(); n > 2 {
		t.Errorf("%d events for a listener that was in its first call, want at most 2", n)
	}
	if err := provider.Destroy(); err != nil {
		t.Fatal(err)
	}
	orders.expect(t, order, "")
	carts.expect(t, cart, "")
	late.expect(t, cart, "2()=100") // heard no more
}

// testApplicationPeers: dubbo-go's discovery has our instances, with every push,
// ours has dubbo-go's.
func testApplicationPeers(t *testing.T, s *rig.Server) {
	application := unique("peers")
	plain, err := extension.GetServiceDiscovery(plainURL(t, s.Address()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = plain.Destroy() }()
	ours := newDiscovery(t, registryURL(s.Address()))
	theirs, mine := newInstances(application), newInstances(application)
	for d, l := range map[registry.ServiceDiscovery]*instances{plain: theirs, ours: mine} {
		if err := d.AddListener(l); err != nil {
			t.Fatal(err)
		}
	}
	gray := map[string]string{"dubbo.tag": "gray"}
	if err := ours.Register(instance(application, 1, maps.Clone(gray))); err != nil {
		t.Fatal(err)
	}
	theirs.expect(t, application, "1()=100") // without the tag: that is dubbo-go's own fault
	mine.expect(t, application, "1(gray)=100")
	if err := plain.Register(instance(application, 2, maps.Clone(gray))); err != nil {
		t.Fatal(err)
	}
	mine.expect(t, application, "1(gray)=100 2(gray)=100")
	theirs.expect(t, application, "1()=100 2()=100") // its own list is told a little later
	if list := plain.GetInstances(application); len(list) != 2 {
		t.Errorf("dubbo-go's GetInstances: got %d, want 2", len(list))
	}
	if err := plain.Unregister(instance(application, 2, nil)); err != nil {
		t.Fatal(err)
	}
	mine.expect(t, application, "1(gray)=100")
}

// testApplicationOperator: the operator's word reaches instances on the push and on
// the first list.
func testApplicationOperator(t *testing.T, s *rig.Server) {
	noLeak(t)
	application := unique("operator")
	d := newDiscovery(t, registryURL(s.Address()))
	for n, weight := range []string{"", "100"} {
		m := map[string]string{"dubbo.tag": "gray"}
		if weight != "" {
			m["weight"] = weight
		}
		if err := d.Register(instance(application, 1+n, m)); err != nil {
			t.Fatal(err)
		}
	}
	c, seen := newDiscovery(t, far(s.Address())), newInstances(application)
	if err := c.AddListener(seen); err != nil {
		t.Fatal(err)
	}
	seen.expect(t, application, "1(gray)=100 2(gray)=100")
	for _, tc := range []struct {
		params []string
		want   string
	}{
		{[]string{"weight", "0.4"}, "1(gray)=40 2(gray)=100"},
		{[]string{"weight", "2.5"}, "1(gray)=250 2(gray)=100"},
		{[]string{"weight", "0"}, "1(gray)=0 2(gray)=100"},
		{[]string{"weight", "1", "enabled", "false"}, "2(gray)=100"},
		{[]string{"weight", "1", "enabled", "true", "metadata", `{"dubbo.tag":"blue"}`}, "1(blue)=100 2(gray)=100"},
	} {
		set(t, s, application, 1, tc.params...)
		seen.expect(t, application, tc.want)
		fresh := newInstances(application)
		_ = fresh.OnEvent(registry.NewServiceInstancesChangedEvent(application, c.GetInstances(application)))
		fresh.expect(t, application, tc.want)
	}
}

// testDisabled: the only instance of a service is disabled by the operator: that is
// told as the weight 0, at both levels; enabled again it is back; one that leaves is
// told as that.
func testDisabled(t *testing.T, s *rig.Server) {
	noLeak(t)
	service, app := unique("com.shop.Disabled"), unique("disabled")
	r, d := newRegistry(t, registryURL(s.Address())), newDiscovery(t, registryURL(s.Address()))
	if err := errors.Join(r.Register(provider(service, "tri", 20001)), d.Register(instance(app, 1, nil))); err != nil {
		t.Fatal(err)
	}
	cr, cd := newRegistry(t, far(s.Address())), newDiscovery(t, far(s.Address()))
	urls, list := newProviders(), newInstances(app)
	subscribe(cr, consumer(service), urls)
	if err := cd.AddListener(list); err != nil {
		t.Fatal(err)
	}
	urls.expect(t, "tri:20001=100")
	list.expect(t, app, "1()=100")
	for _, tc := range []struct{ enabled, url, instance string }{
		{"false", "tri:20001=0", "1()=0"},
		{"true", "tri:20001=100", "1()=100"},
		{"false", "tri:20001=0", "1()=0"},
	} {
		set(t, s, "providers:"+service+"::", 20001, "weight", "1", "enabled", tc.enabled)
		set(t, s, app, 1, "weight", "1", "enabled", tc.enabled)
		urls.expect(t, tc.url)
		list.expect(t, app, tc.instance)
	}
	if err := errors.Join(r.UnRegister(provider(service, "tri", 20001)), d.Unregister(instance(app, 1, nil))); err != nil {
		t.Fatal(err)
	}
	urls.expect(t)
	list.expect(t, app, "")
}

// testOutage:
//  1. the server is killed: nobody is told of an empty list, reads give the last one,
//     Check and Register name the address, constructors return at once
//  2. one more instance is to be registered meanwhile, one to leave
//  3. the server comes back empty: everything is registered again, every
//     subscription comes again
//  4. what registers and leaves from now on is seen.
func testOutage(t *testing.T, s *rig.Server, dir string, restart func() *rig.Server) (again *rig.Server) {
	t.Helper()
	noneOfOurs(t)
	service, application := unique("com.shop.Outage"), unique("outage")
	r, d := newRegistry(t, registryURL(s.Address())), newDiscovery(t, registryURL(s.Address()))
	for n := range 3 {
		if err := r.Register(provider(service, "tri", 1+n)); err != nil {
			t.Fatal(err)
		}
		if err := d.Register(instance(application, 1+n, map[string]string{"dubbo.tag": "gray"})); err != nil {
			t.Fatal(err)
		}
	}
	cr := newRegistry(t, far(s.Address(), constant.RegistryTimeoutKey, "300ms"))
	cd := newDiscovery(t, far(s.Address(), constant.RegistryTimeoutKey, "300ms"))
	providers, list := newProviders(), newInstances(application)
	subscribe(cr, consumer(service), providers)
	if err := cd.AddListener(list); err != nil {
		t.Fatal(err)
	}
	for range 20 { // services that come before in any order: none may hinder the others
		subscribe(cr, consumer(unique("com.shop.Other")), newProviders())
	}
	providers.expect(t, "tri:1=100", "tri:2=100", "tri:3=100")
	list.expect(t, application, "1(gray)=100 2(gray)=100 3(gray)=100")
	if err := Check(t.Context(), s.Address()); err != nil {
		t.Errorf("Check: %v", err)
	}

	// 1.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Check(t.Context(), s.Address()); err == nil || !strings.Contains(err.Error(), s.Address()) {
		t.Errorf("Check of a server that is down: got %v, want an error with the address", err)
	}
	if got := cd.GetInstances(application); len(got) != 3 {
		t.Errorf("GetInstances while Nacos is down: got %v, want the last list", got)
	}
	if got := cd.GetInstances("never asked for"); got != nil {
		t.Errorf("GetInstances of what was never read: got %v, want nil", got)
	}
	began := time.Now()
	if err := cr.Register(provider(service, "tri", 9)); err == nil || !strings.Contains(err.Error(), s.Address()) {
		t.Errorf("Register while Nacos is down: got %v, want an error with the address", err)
	} else if took := time.Since(began); took > 5*time.Second {
		t.Errorf("Register while Nacos is down took %v, want about 300ms", took)
	}

	// 2.
	registered := make(chan error, 1)
	patient := newRegistry(t, registryURL(s.Address(), constant.RegistryTimeoutKey, "60s"))
	go func() { registered <- patient.Register(provider(service, "tri", 4)) }()
	if err := d.Unregister(instance(application, 3, nil)); err != nil {
		t.Error(err)
	}

	if _, _, empty := providers.counts(); empty != 0 {
		t.Errorf("%d empty lists while Nacos was down, want none", empty)
	}

	// 3.
	if err := os.RemoveAll(filepath.Join(dir, "home")); err != nil {
		t.Fatal(err)
	}
	again = restart()
	if again.Address() != s.Address() {
		t.Fatalf("it came back as %s, was %s", again.Address(), s.Address())
	}
	back := time.Now()
	if err := <-registered; err != nil {
		t.Error(err)
	}
	providers.expect(t, "tri:1=100", "tri:2=100", "tri:3=100", "tri:4=100")
	list.expect(t, application, "1(gray)=100 2(gray)=100")
	t.Logf("all lists are whole %v after the server was ready", time.Since(back).Round(time.Millisecond))

	// 4.
	if err := r.Register(provider(service, "tri", 5)); err != nil {
		t.Fatal(err)
	}
	if err := r.UnRegister(provider(service, "tri", 1)); err != nil {
		t.Fatal(err)
	}
	providers.expect(t, "tri:2=100", "tri:3=100", "tri:4=100", "tri:5=100")
	if err := d.Unregister(instance(application, 1, nil)); err != nil {
		t.Fatal(err)
	}
	list.expect(t, application, "2(gray)=100")
	for _, x := range []interface{ Destroy() }{r, cr, patient} {
		x.Destroy()
	}
	for _, x := range []*Discovery{d, cd} {
		_ = x.Destroy()
	}
	return again
}
