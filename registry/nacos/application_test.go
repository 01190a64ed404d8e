// SPDX-License-Identifier: Apache-2.0

//nolint:thelper // the functions that TestNacos lists are the tests themselves
package nacos

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/registry"
	gxset "github.com/dubbogo/gost/container/set"
	"github.com/dubbogo/gost/gof/observer"

	"github.com/graylane/graylane/internal/meta"
	rig "github.com/graylane/graylane/test/rig/nacos"
)

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
