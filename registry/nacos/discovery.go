// SPDX-License-Identifier: Apache-2.0

package nacos

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/registry"
	gxset "github.com/dubbogo/gost/container/set"
	gxpage "github.com/dubbogo/gost/hash/page"
	"github.com/dubbogo/gost/log/logger"
	"github.com/nacos-group/nacos-sdk-go/v2/model"
)

// Discovery is the application-level registry (registry-type: service, dubbo-go's default).
//
// dubbo-go's own loses the tag with the first push, takes all instances of the
// process out with one, and brings dead ones back with an update.
type Discovery struct {
	url     *common.URL
	group   string
	timeout time.Duration
	shared  *shared
	ctx     context.Context // ends with Destroy
	cancel  context.CancelFunc
	once    sync.Once

	mu     sync.Mutex
	apps   map[string]*application
	broken map[string]bool // applications whose last read failed
}

var _ registry.ServiceDiscovery = (*Discovery)(nil)

// NewDiscovery returns a service discovery for u, which it reads as [NewRegistry]
// does. It does not connect; an error means that u is wrong.
func NewDiscovery(u *common.URL) (*Discovery, error) {
	a, err := addressOf(u)
	if err != nil {
		return nil, err
	}
	timeout, err := timeoutOf(u)
	if err != nil {
		return nil, err
	}
	d := &Discovery{
		url: u, group: groupOf(u), timeout: timeout, shared: acquire(a),
		apps: make(map[string]*application), broken: make(map[string]bool),
	}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	return d, nil
}

// String names the discovery and its address.
func (d *Discovery) String() string {
	return fmt.Sprintf("nacos-service-discovery[%s]", d.shared.address.where())
}

// Check is [Check] for the discovery's own address, namespace and account.
func (d *Discovery) Check(ctx context.Context) error { return check(ctx, d.shared.address) }

// Reconnected returns when the connection was last there again after it had been lost,
// zero if it never was: a list that comes soon after may lack many.
func (d *Discovery) Reconnected() time.Time { return d.shared.lastBack() }

// Destroy ends all listening, takes out everything registered (at most
// registry.timeout) and gives the connection back. A second call does nothing.
func (d *Discovery) Destroy() error {
	d.once.Do(func() {
		d.cancel()
		leave(d.shared, d, d.timeout)
	})
	return nil
}

// Register registers the instance and keeps it registered until Unregister or
// Destroy. It returns when Nacos has it, or after registry.timeout with the cause;
// then it is as if Register had not been called. Registering again replaces the data.
func (d *Discovery) Register(instance registry.ServiceInstance) error {
	i, err := encodeInstance(instance, d.url)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(d.ctx, d.timeout)
	defer cancel()
	if err := d.shared.put(ctx, d, d.key(instance.GetServiceName()), i); err != nil {
		return fmt.Errorf("register %s of %s: %w", place(i), instance.GetServiceName(), err)
	}
	return nil
}

// Update replaces the instance's data; consumers see one change, no gap, and no
// instance that has left comes back. It is the same as Register.
func (d *Discovery) Update(instance registry.ServiceInstance) error { return d.Register(instance) }

// Unregister takes the instance out, no other with it, and returns when it is gone,
// or after registry.timeout with the cause; then it goes on in the background. One
// that is not registered is not an error.
func (d *Discovery) Unregister(instance registry.ServiceInstance) error {
	i, err := encodeInstance(instance, d.url)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(d.ctx, d.timeout)
	defer cancel()
	if err := d.shared.remove(ctx, d, d.key(instance.GetServiceName()), place(i)); err != nil {
		return fmt.Errorf("unregister %s of %s: %w", place(i), instance.GetServiceName(), err)
	}
	return nil
}

func (d *Discovery) key(application string) serviceKey { return serviceKey{d.group, application} }

// GetDefaultPageSize returns dubbo-go's default.
func (d *Discovery) GetDefaultPageSize() int { return registry.DefaultPageSize }

// GetServices returns the applications that Nacos knows in the registry's group,
// none if it does not answer within registry.timeout.
func (d *Discovery) GetServices() *gxset.HashSet {
	ctx, cancel := context.WithTimeout(d.ctx, d.timeout)
	defer cancel()
	set := gxset.NewSet()
	names, err := d.shared.names(ctx, d.group)
	if err != nil {
		logger.Warnf("[graylane] nacos %s: list of services: %v", d.shared.address.where(), err)
	}
	for _, name := range names {
		if !strings.Contains(name, separator) { // else of interface level
			set.Add(name)
		}
	}
	return set
}

// GetInstances returns the application's instances that are enabled and healthy, as
// Nacos has them now. If it does not answer within registry.timeout it returns the
// last list that is known, or nil if none ever was; an empty list that is not nil
// means that Nacos has none.
func (d *Discovery) GetInstances(application string) []registry.ServiceInstance {
	list, err := d.Instances(d.ctx, application)
	d.mu.Lock()
	first := err != nil && !d.broken[application]
	d.broken[application] = err != nil
	d.mu.Unlock()
	if first {
		logger.Warnf("[graylane] %v; the last known list of %d instances is used", err, len(list))
	}
	return list
}

// Instances is GetInstances with the error: then the list is the last known one,
// nil if none ever was. It takes at most registry.timeout.
func (d *Discovery) Instances(ctx context.Context, application string) ([]registry.ServiceInstance, error) {
	hosts, known, err := d.hosts(ctx, application)
	if !known {
		return nil, err
	}
	return decodeAll(application, d.group, hosts, false), err
}

// hosts reads the present list, or returns the last known one with the error.
func (d *Discovery) hosts(ctx context.Context, application string) (hosts []model.Instance, known bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	a := d.application(application)
	hosts, err = d.shared.query(ctx, a.key)
	if err != nil {
		hosts, known = a.last()
		return hosts, known, err
	}
	a.read(hosts)
	return hosts, true, nil
}

// application returns the entry of name, making it if need be.
func (d *Discovery) application(name string) *application {
	d.mu.Lock()
	defer d.mu.Unlock()
	a := d.apps[name]
	if a == nil {
		a = newApplication(d.key(name))
		d.apps[name] = a
	}
	return a
}

// AddListener tells l of every list of its applications, complete and in order, with
// instances of its own, from another goroutine; first of the present list. Pushes
// during a call of l become one event. Adding a listener twice does nothing.
func (d *Discovery) AddListener(l registry.ServiceInstancesChangedListener) error {
	if d.ctx.Err() != nil {
		return errClosed
	}
	for _, v := range l.GetServiceNames().Values() {
		name, ok := v.(string)
		if !ok {
			return fmt.Errorf("nacos: listener: got application %v, want a string", v)
		}
		if a := d.application(name); a.add(l) {
			go a.follow(d.ctx, d.shared)
		}
	}
	return nil
}

// RemoveListener makes l hear no more. The subscription stays until Destroy.
func (d *Discovery) RemoveListener(l registry.ServiceInstancesChangedListener) {
	for _, v := range l.GetServiceNames().Values() {
		if name, ok := v.(string); ok {
			d.application(name).remove(l)
		}
	}
}

// GetInstancesByPage returns up to pageSize instances from offset on.
func (d *Discovery) GetInstancesByPage(application string, offset, pageSize int) gxpage.Pager {
	return pageOf(d.GetInstances(application), offset, pageSize)
}

// GetHealthyInstancesByPage returns up to pageSize of the instances whose health is
// healthy, from offset (among them) on.
func (d *Discovery) GetHealthyInstancesByPage(application string, offset, pageSize int, healthy bool) gxpage.Pager {
	hosts, _, err := d.hosts(d.ctx, application)
	if err != nil {
		logger.Warnf("[graylane] %v; the last known list of %d instances is used", err, len(hosts))
	}
	var some []registry.ServiceInstance
	for _, i := range decodeAll(application, d.group, hosts, true) {
		if i.IsHealthy() == healthy {
			some = append(some, i)
		}
	}
	return pageOf(some, offset, pageSize)
}

// GetRequestInstances returns a page of each application.
func (d *Discovery) GetRequestInstances(applications []string, offset, requestedSize int) map[string]gxpage.Pager {
	pages := make(map[string]gxpage.Pager, len(applications))
	for _, name := range applications {
		pages[name] = d.GetInstancesByPage(name, offset, requestedSize)
	}
	return pages
}

func pageOf(all []registry.ServiceInstance, offset, size int) gxpage.Pager {
	from := min(max(offset, 0), len(all))
	to := min(from+max(size, 0), len(all))
	part := make([]any, 0, to-from)
	for _, i := range all[from:to] {
		part = append(part, i)
	}
	return gxpage.NewPage(offset, size, part, len(all))
}
