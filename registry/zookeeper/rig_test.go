// SPDX-License-Identifier: Apache-2.0

package zookeeper

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/registry"
	"dubbo.apache.org/dubbo-go/v3/remoting"
	gxset "github.com/dubbogo/gost/container/set"
	"github.com/dubbogo/gost/gof/observer"
)

// sessionTime is what the sessions of these tests ask for, as registry.timeout.
const sessionTime = 4 * time.Second

// registryURL is what dubbo-go makes of a registry in dubbogo.yml.
func registryURL(t *testing.T, address string) *common.URL {
	t.Helper()
	u, err := common.NewURL(Name+"://"+address, common.WithLocation(address),
		common.WithParamsValue(constant.RegistryKey, Name), common.WithParamsValue(constant.RegistryTimeoutKey, sessionTime.String()))
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// other returns the same address by another name: another session, as another process
// would have it.
func other(t *testing.T, address string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort("localhost", port)
}

func providerURL(service string, port int, params ...string) *common.URL {
	opts := []common.Option{
		common.WithProtocol("tri"), common.WithIp("127.0.0.1"), common.WithPort(strconv.Itoa(port)),
		common.WithPath("/" + service), common.WithMethods([]string{"Get", "List"}),
		common.WithParamsValue(constant.InterfaceKey, service),
		common.WithParamsValue(constant.RegistryRoleKey, strconv.Itoa(common.PROVIDER)),
		common.WithParamsValue(constant.TimestampKey, "1"),
	}
	for i := 0; i < len(params); i += 2 {
		opts = append(opts, common.WithParamsValue(params[i], params[i+1]))
	}
	return common.NewURLWithOptions(opts...)
}

func consumerURL(service string) *common.URL {
	return common.NewURLWithOptions(
		common.WithProtocol("tri"), common.WithPath("/"+service),
		common.WithParamsValue(constant.InterfaceKey, service),
		common.WithParamsValue(constant.RegistryRoleKey, strconv.Itoa(common.CONSUMER)),
	)
}

func newRegistry(t *testing.T, address string) *Registry {
	t.Helper()
	r, err := NewRegistry(registryURL(t, address))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Destroy)
	return r
}

func newDiscovery(t *testing.T, address string) *Discovery {
	t.Helper()
	d, err := NewDiscovery(registryURL(t, address))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Destroy() })
	return d
}

// providers is a NotifyListener that keeps the list as a Directory would.
type providers struct {
	mu         sync.Mutex
	now        map[string]string // host:port -> timestamp
	dels, void int               // single deletions; lists that were empty after one that was not
}

func newProviders() *providers { return &providers{now: make(map[string]string)} }

func (p *providers) Notify(e *registry.ServiceEvent) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.apply(e)
}

func (p *providers) NotifyAll(events []*registry.ServiceEvent, done func()) {
	defer done()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(events) == 0 && len(p.now) > 0 {
		p.void++
	}
	clear(p.now)
	for _, e := range events {
		p.apply(e)
	}
}

func (p *providers) apply(e *registry.ServiceEvent) {
	stamp := e.Service.GetParam(constant.TimestampKey, "")
	if e.Action != remoting.EventTypeDel {
		p.now[e.Service.Location] = stamp
		return
	}
	p.dels++
	if p.now[e.Service.Location] == stamp { // an old incarnation does not take the new one along
		delete(p.now, e.Service.Location)
	}
}

// String is the list as "host:port@timestamp", sorted.
func (p *providers) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []string
	for address, stamp := range p.now {
		all = append(all, address+"@"+stamp)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func (p *providers) counts() (dels, void int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dels, p.void
}

func (p *providers) expect(t *testing.T, want ...string) {
	t.Helper()
	eventually(t, func() string { return fmt.Sprintf("providers %v, have %v", want, p) }, func() bool { return p.String() == strings.Join(want, " ") })
}

// instances is a listener of the application level.
type instances struct {
	registry.ServiceInstancesChangedListener
	app string

	mu     sync.Mutex
	now    string // "port(tag)", sorted
	events int
}

func (i *instances) OnEvent(e observer.Event) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.events++
	i.now = text(e.(*registry.ServiceInstancesChangedEvent).Instances)
	return nil
}

func (i *instances) GetServiceNames() *gxset.HashSet { return gxset.NewSet(i.app) }

func (i *instances) expect(t *testing.T, want string) {
	t.Helper()
	have := func() string {
		i.mu.Lock()
		defer i.mu.Unlock()
		return i.now
	}
	eventually(t, func() string { return fmt.Sprintf("instances %q, have %q", want, have()) }, func() bool { return have() == want })
}

func text(list []registry.ServiceInstance) string {
	var all []string
	for _, i := range list {
		all = append(all, fmt.Sprintf("%d(%s)", i.GetPort(), i.GetMetadata()["v"]))
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func instance(app string, port int, v string) *registry.DefaultServiceInstance {
	return &registry.DefaultServiceInstance{
		ServiceName: app, Host: "127.0.0.1", Port: port, Enable: true, Healthy: true, Tag: "gray",
		Metadata: map[string]string{"v": v, "dubbo.tag": "gray"},
	}
}

func eventually(t *testing.T, what func() string, ok func() bool) {
	t.Helper()
	for late := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatalf("not within a minute: %s", what())
		}
	}
}

// subscribe runs Subscribe; its end is awaited.
func subscribe(t *testing.T, r *Registry, service string) *providers {
	t.Helper()
	l := newProviders()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = r.Subscribe(consumerURL(service), l)
	}()
	t.Cleanup(func() {
		r.Destroy()
		<-ended
	})
	return l
}
