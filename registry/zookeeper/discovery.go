// SPDX-License-Identifier: Apache-2.0

package zookeeper

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/registry"
	gxset "github.com/dubbogo/gost/container/set"
	gxpage "github.com/dubbogo/gost/hash/page"
	"github.com/dubbogo/gost/log/logger"
)

// Discovery is the application-level registry (registry-type: service, dubbo-go's
// default).
//
// dubbo-go's own answers a failed read, and one that meets an instance that is just
// leaving, with an empty list, and reads everything four times at each change.
type Discovery struct {
	root      string
	timeout   time.Duration
	s         *shared
	registrar *registrar
	ctx       context.Context // ends with Destroy
	cancel    context.CancelFunc
	once      sync.Once

	mu         sync.Mutex
	registered map[string]string // node -> application
	apps       map[string]*application
}

var _ registry.ServiceDiscovery = (*Discovery)(nil)

// NewDiscovery returns a service discovery for u: Location "host:port[,host:port]",
// parameters registry.timeout (default 5s; of an operation and of the session) and
// registry.group (default services). It does not connect; an error means that u is
// wrong.
func NewDiscovery(u *common.URL) (*Discovery, error) {
	s, err := acquire(u)
	if err != nil {
		return nil, fmt.Errorf("zookeeper: %w", err)
	}
	d := &Discovery{
		root: "/" + strings.Trim(u.GetParam(constant.RegistryGroupKey, "services"), "/"), timeout: timeoutOf(u), s: s,
		registered: make(map[string]string), apps: make(map[string]*application),
	}
	d.registrar = newRegistrar(s)
	d.ctx, d.cancel = context.WithCancel(context.Background())
	return d, nil
}

// String names the discovery and its address.
func (d *Discovery) String() string {
	return fmt.Sprintf("zookeeper-service-discovery[%s]", d.s.name())
}

// Check asks whether the server answers. It returns nil, or one line that names
// address and cause.
func (d *Discovery) Check(ctx context.Context) error { return d.s.check(ctx) }

// Reconnected returns when the connection was last there again after it had been lost,
// zero if it never was: a list that comes soon after may lack many.
func (d *Discovery) Reconnected() time.Time { return d.s.reconnected() }

// Destroy ends all listening, takes out everything registered (at most
// registry.timeout) and gives the session back. A second call does nothing.
func (d *Discovery) Destroy() error {
	d.once.Do(func() {
		d.cancel()
		ctx, cancel := context.WithTimeout(context.Background(), d.timeout)
		defer cancel()
		d.registrar.close(ctx)
		d.s.release()
	})
	return nil
}

func (d *Discovery) folder(application string) string { return d.root + "/" + application }

func (d *Discovery) node(i registry.ServiceInstance) (string, error) {
	if i == nil || i.GetServiceName() == "" || i.GetHost() == "" {
		return "", fmt.Errorf("zookeeper: instance: got %v, want an application and a host", i)
	}
	return d.folder(i.GetServiceName()) + "/" + instanceName(i), nil
}

// Register writes the instance and keeps it there until Unregister or Destroy,
// whatever happens to session and server. It returns when ZooKeeper has it, or after
// registry.timeout with the cause; then it is as if Register had not been called.
// Registering again replaces the data.
func (d *Discovery) Register(i registry.ServiceInstance) error {
	at, err := d.node(i)
	if err != nil {
		return err
	}
	value, err := encodeInstance(i)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(d.ctx, d.timeout)
	defer cancel()
	if err := d.registrar.put(ctx, at, value); err != nil {
		return fmt.Errorf("register %s: %w", at, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.registered[at] = i.GetServiceName()
	return nil
}

// Update replaces the instance's data; consumers see one change, no gap. It is the
// same as Register.
func (d *Discovery) Update(i registry.ServiceInstance) error { return d.Register(i) }

// Unregister deletes the instance and returns when it is gone, or after
// registry.timeout with the cause; then the deletion goes on in the background. One
// that is not registered is not an error, nor is one that a later process wrote.
func (d *Discovery) Unregister(i registry.ServiceInstance) error {
	at, err := d.node(i)
	if err != nil {
		return err
	}
	d.mu.Lock()
	delete(d.registered, at)
	d.mu.Unlock()
	ctx, cancel := context.WithTimeout(d.ctx, d.timeout)
	defer cancel()
	if err := d.registrar.remove(ctx, at); err != nil {
		return fmt.Errorf("unregister %s: %w", at, err)
	}
	return nil
}

// GetDefaultPageSize returns dubbo-go's default.
func (d *Discovery) GetDefaultPageSize() int { return registry.DefaultPageSize }

// GetServices returns the applications that this object has registered.
func (d *Discovery) GetServices() *gxset.HashSet {
	d.mu.Lock()
	defer d.mu.Unlock()
	set := gxset.NewSet()
	for _, name := range d.registered {
		set.Add(name)
	}
	return set
}

// GetInstances returns the application's instances as ZooKeeper has them now. If it
// does not answer within registry.timeout that is the last list that a listener was
// told, or nil if there was none; an empty list that is not nil means that ZooKeeper
// has none.
func (d *Discovery) GetInstances(name string) []registry.ServiceInstance {
	ctx, cancel := context.WithTimeout(d.ctx, d.timeout)
	defer cancel()
	list, err := d.s.list(ctx, d.folder(name), true)
	a := d.application(name)
	if err == nil {
		return copies(a.decode(list))
	}
	last, known := a.last()
	logger.Warnf("[graylane] zookeeper %s: instances of %s: %v; the last known list of %d is used", d.s.name(), name, err, len(last))
	if !known {
		return nil
	}
	return copies(last)
}

// application returns the entry of name, making it if need be.
func (d *Discovery) application(name string) *application {
	d.mu.Lock()
	defer d.mu.Unlock()
	a := d.apps[name]
	if a == nil {
		a = newApplication(name)
		d.apps[name] = a
	}
	return a
}

// AddListener tells l of every change of its applications, with the complete list, in
// order, from another goroutine; first of the present list. Changes during a call of l
// become one event. Adding a listener twice does nothing.
func (d *Discovery) AddListener(l registry.ServiceInstancesChangedListener) error {
	if d.ctx.Err() != nil {
		return errClosed
	}
	for _, v := range l.GetServiceNames().Values() {
		name, ok := v.(string)
		if !ok {
			return fmt.Errorf("zookeeper: listener: got application %v, want a string", v)
		}
		a := d.application(name)
		if !a.add(l) {
			continue
		}
		go a.deliver(d.ctx)
		go d.s.follow(d.ctx, d.folder(name), true, func(list []entry, _ bool) { a.replace(list) })
	}
	return nil
}

// RemoveListener makes l hear no more. The watch stays until Destroy.
func (d *Discovery) RemoveListener(l registry.ServiceInstancesChangedListener) {
	for _, v := range l.GetServiceNames().Values() {
		if name, ok := v.(string); ok {
			d.application(name).remove(l)
		}
	}
}

// GetInstancesByPage returns up to pageSize instances from offset on.
func (d *Discovery) GetInstancesByPage(application string, offset, pageSize int) gxpage.Pager {
	return page(d.GetInstances(application), offset, pageSize)
}

// GetHealthyInstancesByPage returns up to pageSize of the instances whose health is
// healthy, from offset (among them) on. In ZooKeeper all are healthy.
func (d *Discovery) GetHealthyInstancesByPage(application string, offset, pageSize int, healthy bool) gxpage.Pager {
	if !healthy {
		return page(nil, offset, pageSize)
	}
	return d.GetInstancesByPage(application, offset, pageSize)
}

// GetRequestInstances returns a page of each application.
func (d *Discovery) GetRequestInstances(applications []string, offset, requestedSize int) map[string]gxpage.Pager {
	pages := make(map[string]gxpage.Pager, len(applications))
	for _, name := range applications {
		pages[name] = d.GetInstancesByPage(name, offset, requestedSize)
	}
	return pages
}

func page(all []registry.ServiceInstance, offset, size int) gxpage.Pager {
	from := min(max(offset, 0), len(all))
	to := min(from+max(size, 0), len(all))
	part := make([]any, 0, to-from)
	for _, i := range all[from:to] {
		part = append(part, i)
	}
	return gxpage.NewPage(offset, size, part, len(all))
}
