// SPDX-License-Identifier: Apache-2.0

package zookeeper

import (
	"errors"
	"strings"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/metadata/mapping"
	"dubbo.apache.org/dubbo-go/v3/registry"
	curator "dubbo.apache.org/dubbo-go/v3/remoting/zookeeper/curator_discovery"
	"github.com/dubbogo/go-zookeeper/zk"
	gxzookeeper "github.com/dubbogo/gost/database/kv/zk"
	"github.com/dubbogo/gost/gof/observer"

	"github.com/graylane/graylane/test/rig/zookeeper"
)

func TestNamesAreOurs(t *testing.T) {
	u := registryURL(t, "127.0.0.1:1")
	r, err := extension.GetRegistry(Name, u)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Destroy()
	d, err := extension.GetServiceDiscovery(u)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Destroy() }()
	m := extension.GetMetadataReportFactory(Name).CreateMetadataReport(u)
	_, ours := r.(*Registry)
	_, ours2 := d.(*Discovery)
	_, ours3 := m.(*Report)
	if !ours || !ours2 || !ours3 {
		t.Errorf("%T, %T, %T, want ours", r, d, m)
	}
}

// TestBothLevels, on a real server:
//  1. a provider registers two services and two instances; a consumer in a process of
//     its own sees them, each listener its own
//  2. one is registered again with other data: replaced, and no gap
//  3. one is unregistered: gone, by an event of its own
//  4. a later process has the address: the former one's deregistration leaves it
//  5. a crash: what is left goes with the session.
func TestBothLevels(t *testing.T) {
	s := serve(t, t.TempDir())
	provider, apps := newRegistry(t, s.Address()), newDiscovery(t, s.Address())
	elsewhere := other(t, s.Address())
	consumer, seen := newRegistry(t, elsewhere), newDiscovery(t, elsewhere)
	a, b := subscribe(t, consumer, "com.shop.A"), subscribe(t, consumer, "com.shop.B")
	order := &instances{app: "order"}
	if err := seen.AddListener(order); err != nil {
		t.Fatal(err)
	}

	// 1
	err := errors.Join(
		provider.Register(providerURL("com.shop.A", 1)), provider.Register(providerURL("com.shop.A", 2)), provider.Register(providerURL("com.shop.B", 1)),
		apps.Register(instance("order", 1, "x")), apps.Register(instance("order", 2, "x")), apps.Register(instance("cart", 3, "x")),
	)
	if err != nil {
		t.Fatal(err)
	}
	a.expect(t, "127.0.0.1:1@1", "127.0.0.1:2@1")
	b.expect(t, "127.0.0.1:1@1")
	order.expect(t, "1(x) 2(x)")
	got := seen.GetInstances("order")
	if text(got) != "1(x) 2(x)" || got[0].GetTag() != "gray" || got[0].GetMetadata()["dubbo.tag"] != "gray" {
		t.Errorf("GetInstances: %v", got)
	}

	// 2
	if err := errors.Join(provider.Register(providerURL("com.shop.A", 1, constant.TimestampKey, "2")), apps.Update(instance("order", 1, "y"))); err != nil {
		t.Fatal(err)
	}
	a.expect(t, "127.0.0.1:1@2", "127.0.0.1:2@1")
	order.expect(t, "1(y) 2(x)")

	// 3
	before, _ := a.counts()
	if err := errors.Join(provider.UnRegister(providerURL("com.shop.A", 2)), apps.Unregister(instance("order", 2, ""))); err != nil {
		t.Fatal(err)
	}
	a.expect(t, "127.0.0.1:1@2")
	if dels, _ := a.counts(); dels != before+1 {
		t.Errorf("%d deletions, want %d", dels, before+1)
	}
	order.expect(t, "1(y)")

	// 4
	if err := seen.Register(instance("order", 1, "successor")); err != nil {
		t.Fatal(err)
	}
	order.expect(t, "1(successor)")
	if err := apps.Unregister(instance("order", 1, "")); err != nil {
		t.Fatal(err)
	}
	if got := text(apps.GetInstances("order")); got != "1(successor)" {
		t.Errorf("after the former one's deregistration: %q, want the successor", got)
	}

	// 5
	provider.registrar.Stop(t.Context())
	provider.registrar.s.drop(provider.registrar.s.link)
	a.expect(t)
	b.expect(t)
	if _, void := a.counts(); void != 0 {
		t.Errorf("%d empty lists without a break of the connection, want deletions", void)
	}
}

// outage is a provider and a consumer on one server.
type outage struct {
	provider *Registry
	apps     *Discovery
	a        *providers
	order    *instances
}

func newOutage(t *testing.T, address string) *outage {
	t.Helper()
	o := &outage{provider: newRegistry(t, address), apps: newDiscovery(t, address), order: &instances{app: "order"}}
	elsewhere := other(t, address)
	o.a = subscribe(t, newRegistry(t, elsewhere), "com.shop.A")
	if err := errors.Join(
		o.provider.Register(providerURL("com.shop.A", 1)), o.apps.Register(instance("order", 1, "x")),
		newDiscovery(t, elsewhere).AddListener(o.order),
	); err != nil {
		t.Fatal(err)
	}
	o.a.expect(t, "127.0.0.1:1@1")
	o.order.expect(t, "1(x)")
	return o
}

// goesOn: what registers now is seen, what leaves now goes.
func (o *outage) goesOn(t *testing.T) {
	t.Helper()
	eventually(t, func() string { return "registered" }, func() bool {
		return errors.Join(o.provider.Register(providerURL("com.shop.A", 2)), o.apps.Register(instance("order", 2, "x"))) == nil
	})
	o.a.expect(t, "127.0.0.1:1@1", "127.0.0.1:2@1")
	o.order.expect(t, "1(x) 2(x)")
	if err := errors.Join(o.provider.UnRegister(providerURL("com.shop.A", 1)), o.apps.Unregister(instance("order", 1, ""))); err != nil {
		t.Fatal(err)
	}
	o.a.expect(t, "127.0.0.1:2@1")
	o.order.expect(t, "2(x)")
}

// 1. the server stops: nobody is told anything, reads give the last list, writes fail
// 2. it is back with its data after longer than a session lives
// 3. what happens from now on is seen.
func TestOutage(t *testing.T) {
	s := serve(t, t.TempDir())
	o := newOutage(t, s.Address())

	// 1
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	down := time.Now()
	if err := o.apps.Register(instance("order", 3, "x")); err == nil || !strings.Contains(err.Error(), "did not answer") {
		t.Errorf("Register while the server is down: %v, want the cause", err)
	}
	if got := o.apps.GetInstances("never asked for"); got != nil {
		t.Errorf("GetInstances of an application never read: %v, want nil", got)
	}

	// 2
	// Real time, and no event ends it: that nobody is told anything is what is shown.
	time.Sleep(time.Until(down.Add(sessionTime + 2*zookeeper.Tick)))
	if dels, void := o.a.counts(); dels+void != 0 || o.a.String() != "127.0.0.1:1@1" {
		t.Errorf("told while the server was away: %d deletions, %d empty lists, %s", dels, void, o.a)
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}

	// 3
	o.goesOn(t)
}

//  1. a provider has registered at both levels, and a mapping
//  2. the server is killed, loses its data and comes back: it turns away every session
//     that has seen more than it has
//  3. everything that was registered is there again, by itself
//  4. what happens from now on is seen, a new mapping among it.
func TestServerLosesItsData(t *testing.T) {
	s := serve(t, t.TempDir())
	o := newOutage(t, s.Address())
	report := NewReport(registryURL(t, s.Address()))
	if err := report.RegisterServiceAppMapping("com.shop.A", "mapping", "order"); err != nil {
		t.Fatal(err)
	}
	heard := make(chan string, 10)
	if set, err := report.GetServiceAppMapping("com.shop.A", "mapping", &mapped{heard: heard}); err != nil || !set.Contains("order") {
		t.Fatalf("mapping: %v, %v", set, err)
	}
	t.Cleanup(func() { _ = report.RemoveServiceAppMappingListener("com.shop.A", "mapping") })

	// 2
	if err := errors.Join(s.Close(), s.Empty(), s.Restart(t.Context())); err != nil {
		t.Fatal(err)
	}
	back := time.Now()

	// 3
	conn, _, err := zk.Connect([]string{s.Address()}, session, zk.WithLogInfo(false), zk.WithLogger(quiet{}))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, folder := range []string{"/dubbo/com.shop.A/providers", "/services/order"} {
		eventually(t, func() string { return folder }, func() bool {
			names, _, err := conn.Children(folder)
			return err == nil && len(names) == 1
		})
	}
	t.Logf("registered again %v after the server was back", time.Since(back).Round(time.Millisecond))

	// 4
	o.goesOn(t)
	eventually(t, func() string { return "mapping written" }, func() bool {
		return report.RegisterServiceAppMapping("com.shop.A", "mapping", "order2") == nil
	})
	select {
	case app := <-heard:
		if app != "order2" {
			t.Errorf("mapping told: %q", app)
		}
	case <-time.After(time.Minute):
		t.Error("the new mapping was not told")
	}
}

type mapped struct {
	mapping.MappingListener
	heard chan string
}

func (m *mapped) OnEvent(e observer.Event) error {
	for _, app := range e.(*registry.ServiceMappingChangeEvent).GetServiceNames().Values() {
		m.heard <- app.(string)
	}
	return nil
}

// Dubbo-go's own part, which writes what Curator does, sees our instances and we see
// its.
func TestPlainDiscovery(t *testing.T) {
	s := serve(t, t.TempDir())
	client, err := gxzookeeper.NewZookeeperClient("plain", []string{s.Address()}, false, gxzookeeper.WithZkTimeOut(10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	plain := curator.NewServiceDiscovery(client, "/services")
	defer plain.Close()
	ours := newDiscovery(t, s.Address())
	if err := ours.Register(instance("order", 1, "x")); err != nil {
		t.Fatal(err)
	}
	got, err := plain.QueryForInstance("order", "127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	payload, _ := got.Payload.(map[string]any)
	if got.Tag != "gray" || got.Port != 1 || got.Address != "127.0.0.1" || payload["@class"] != payloadClass || payload["id"] != "127.0.0.1:1" {
		t.Errorf("plain sees %+v", got)
	}
	got.ID, got.Port = "127.0.0.1:2", 2
	if err := plain.RegisterService(got); err != nil {
		t.Fatal(err)
	}
	if got := text(ours.GetInstances("order")); got != "1(x) 2(x)" {
		t.Errorf("ours sees %q", got)
	}
}

// A report on a real server: metadata of revisions, mappings of several applications.
func TestReport(t *testing.T) {
	s := serve(t, t.TempDir())
	r := NewReport(registryURL(t, s.Address()))
	if _, err := r.GetAppMetadata("order", "1"); !errors.Is(err, ErrNoMetadata) {
		t.Errorf("GetAppMetadata of nothing: %v", err)
	}
	for _, app := range []string{"order", "order", "other"} {
		if err := r.RegisterServiceAppMapping("com.shop.A", "mapping", app); err != nil {
			t.Fatal(err)
		}
	}
	set, err := r.GetServiceAppMapping("com.shop.A", "mapping", nil)
	if err != nil || set.Size() != 2 || !set.Contains("order", "other") {
		t.Errorf("mapping: %v, %v", set, err)
	}
	if set, err := r.GetServiceAppMapping("com.shop.None", "mapping", nil); err != nil || !set.Empty() {
		t.Errorf("no mapping: %v, %v, want an empty set", set, err)
	}
	if revisions, err := r.ListAppRevisions("order"); err != nil || len(revisions) != 0 {
		t.Errorf("revisions: %v, %v", revisions, err)
	}
	if err := r.UnPublishAppMetadata("order", "1"); err != nil {
		t.Errorf("UnPublishAppMetadata of nothing: %v", err)
	}
}
