// SPDX-License-Identifier: Apache-2.0

package etcd

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"dubbo.apache.org/dubbo-go/v3/registry"
	gxset "github.com/dubbogo/gost/container/set"
	"github.com/dubbogo/gost/gof/observer"
)

func instance(application string, port int, metadata map[string]string) *registry.DefaultServiceInstance {
	return &registry.DefaultServiceInstance{
		ID: fmt.Sprintf("127.0.0.1:%d", port), ServiceName: application, Host: "127.0.0.1", Port: port,
		Enable: true, Healthy: true, Metadata: metadata, Tag: metadata["dubbo.tag"],
	}
}

// instances is a listener that keeps the last list of each application.
type instances struct {
	names []string

	mu     sync.Mutex
	now    map[string]string // application -> "port(tag)" sorted
	events int
	empty  int // empty lists after one that was not
	gate   chan struct{}
}

func newInstances(names ...string) *instances {
	return &instances{names: names, now: make(map[string]string)}
}

func (l *instances) OnEvent(e observer.Event) error {
	if l.gate != nil {
		<-l.gate
	}
	ev := e.(*registry.ServiceInstancesChangedEvent)
	var all []string
	for _, i := range ev.Instances {
		all = append(all, fmt.Sprintf("%d(%s)", i.GetPort(), i.GetTag()))
		i.GetMetadata()["scribble"] = "by a listener" // dubbo-go's listeners change instances
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
	eventually(t, fmt.Sprintf("instances of %s: %q", application, want), func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		got, ok := l.now[application]
		return ok && got == want
	})
}

// 1. two consumers listen for two applications
// 2. two instances of one register, one of the other: both consumers hear of theirs
// 3. one instance is updated, then unregistered
// 4. a crash: gone when the lease has run out.
func TestDiscoveryTwoApplications(t *testing.T) {
	noLeak(t)
	endpoint := plain.server.Endpoint()
	provider := newDiscovery(t, registryURL(endpoint, LeaseTTLKey, "2s"))
	one := newDiscovery(t, registryURL(other(endpoint)))
	two := newDiscovery(t, registryURL(other(endpoint)))

	// 1.
	cart, order := newInstances("cart"), newInstances("order")
	if err := one.AddListener(cart); err != nil {
		t.Fatal(err)
	}
	if err := two.AddListener(order); err != nil {
		t.Fatal(err)
	}
	cart.expect(t, "cart", "")
	order.expect(t, "order", "")

	// 2.
	gray := map[string]string{"dubbo.tag": "gray"}
	for _, i := range []*registry.DefaultServiceInstance{instance("cart", 1, nil), instance("cart", 2, gray), instance("order", 3, nil)} {
		if err := provider.Register(i); err != nil {
			t.Fatal(err)
		}
	}
	cart.expect(t, "cart", "1() 2(gray)")
	order.expect(t, "order", "3()")
	if got := provider.GetServices().Values(); len(got) != 2 {
		t.Errorf("GetServices: got %v, want cart and order", got)
	}
	list := one.GetInstances("cart")
	if len(list) != 2 || list[1].GetTag() != "gray" || list[1].GetMetadata()["scribble"] != "" {
		t.Errorf("GetInstances: got %v, want two, the second gray and untouched by listeners", list)
	}
	if got := one.GetInstancesByPage("cart", 1, 5); len(got.GetData()) != 1 {
		t.Errorf("page from 1: got %v, want one instance", got.GetData())
	}
	late := newInstances("cart", "order") // hears at once of what is there
	if err := one.AddListener(late); err != nil {
		t.Fatal(err)
	}
	late.expect(t, "cart", "1() 2(gray)")
	late.expect(t, "order", "3()")

	// 3.
	if err := provider.Update(instance("cart", 1, gray)); err != nil {
		t.Fatal(err)
	}
	cart.expect(t, "cart", "1(gray) 2(gray)")
	for range 2 { // idempotent
		if err := provider.Unregister(instance("cart", 1, nil)); err != nil {
			t.Fatal(err)
		}
	}
	cart.expect(t, "cart", "2(gray)")
	one.RemoveListener(late)

	// 4. A crash: the keep-alive ends, nothing is revoked.
	provider.registrar.Stop(t.Context())
	cart.expect(t, "cart", "")
	order.expect(t, "order", "")
	late.expect(t, "cart", "2(gray)") // heard no more
}

// A listener that is slow gets one event for many changes, and the last list.
func TestDiscoveryCoalesces(t *testing.T) {
	noLeak(t)
	d := newDiscovery(t, registryURL(plain.server.Endpoint()))
	slow := newInstances("many")
	slow.gate = make(chan struct{})
	if err := d.AddListener(slow); err != nil {
		t.Fatal(err)
	}
	const n = 30
	var names strings.Builder
	for port := 100; port < 100+n; port++ {
		if err := d.Register(instance("many", port, nil)); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&names, " %d()", port)
	}
	last := names.String()
	close(slow.gate)
	slow.expect(t, "many", strings.TrimSpace(last))
	if events, _ := slow.count(); events > n/2 {
		t.Errorf("%d changes during one call: got %d events, want few", n, events)
	}
}

// An old process that deregisters late must not take out its successor on the same address.
func TestLateUnregister(t *testing.T) {
	noLeak(t)
	endpoint := plain.server.Endpoint()
	old := newDiscovery(t, registryURL(endpoint))
	successor := newDiscovery(t, registryURL(other(endpoint)))
	if err := old.Register(instance("late", 1, map[string]string{"n": "old"})); err != nil {
		t.Fatal(err)
	}
	if err := successor.Register(instance("late", 1, map[string]string{"n": "new"})); err != nil {
		t.Fatal(err)
	}
	if err := old.Unregister(instance("late", 1, nil)); err != nil {
		t.Fatal(err)
	}
	_ = old.Destroy()
	list := successor.GetInstances("late")
	if len(list) != 1 || list[0].GetMetadata()["n"] != "new" {
		t.Errorf("after the old process left: got %v, want the successor", list)
	}
}
