// SPDX-License-Identifier: Apache-2.0

package shell

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"dubbo.apache.org/dubbo-go/v3/registry"
	gxset "github.com/dubbogo/gost/container/set"
	gxpage "github.com/dubbogo/gost/hash/page"
	"github.com/dubbogo/gost/log/logger"
)

// Applications is a registry's part of the application level. The lists are in a stable
// order and never changed.
type Applications[P comparable, V any] interface {
	Keeper[P, V]

	// Entry returns what is written for i, and where. i has an application and a host.
	Entry(i registry.ServiceInstance) (P, V, error)

	// Read returns the present list, or the cause, at the latest with ctx.
	Read(ctx context.Context, application string) ([]*registry.DefaultServiceInstance, error)

	// Follow tells of every list, first of the present one, until ctx ends; then it returns.
	Follow(ctx context.Context, application string, tell func([]*registry.DefaultServiceInstance))
}

// Discovery is the application level (registry-type: service, dubbo-go's default).
type Discovery[P comparable, V any] struct {
	life[P, V]
	applications Applications[P, V]

	mu         sync.Mutex
	registered map[P]string // -> application
	apps       map[string]*application
}

var _ registry.ServiceDiscovery = (*Discovery[string, string])(nil)

// NewDiscovery returns a discovery that log lines and errors call name. One operation of
// a caller takes at most timeout.
func NewDiscovery[P comparable, V any](name string, timeout time.Duration, a Applications[P, V]) *Discovery[P, V] {
	d := &Discovery[P, V]{applications: a, registered: make(map[P]string), apps: make(map[string]*application)}
	d.begin(name, timeout, a)
	return d
}

// String names the discovery.
func (d *Discovery[P, V]) String() string { return "service discovery " + d.name }

// Destroy ends all listening, takes out everything registered (at most
// registry.timeout) and gives the connection back. A second call does nothing.
func (d *Discovery[P, V]) Destroy() error {
	d.end()
	return nil
}

func (d *Discovery[P, V]) entry(i registry.ServiceInstance) (at P, value V, err error) {
	if i == nil || i.GetServiceName() == "" || i.GetHost() == "" || i.GetPort() < 0 {
		return at, value, fmt.Errorf("%s: instance: got %v, want an application, a host and a port", d.name, i)
	}
	if at, value, err = d.applications.Entry(i); err != nil {
		err = fmt.Errorf("%s: %w", d.name, err)
	}
	return at, value, err
}

// label names an instance in errors.
func label(i registry.ServiceInstance) string {
	return net.JoinHostPort(i.GetHost(), strconv.Itoa(i.GetPort())) + " of " + i.GetServiceName()
}

// Register writes the instance and keeps it there until Unregister or Destroy, whatever
// happens to connection and server. It returns when the registry has it, or after
// registry.timeout with the cause; then it is as if Register had not been called.
// Registering again replaces the data.
func (d *Discovery[P, V]) Register(i registry.ServiceInstance) error {
	at, value, err := d.entry(i)
	if err != nil {
		return err
	}
	ctx, cancel := d.within()
	defer cancel()
	if err := d.keeper.Put(ctx, at, value); err != nil {
		return fmt.Errorf("register %s: %w", label(i), err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.registered[at] = i.GetServiceName()
	return nil
}

// Update replaces the instance's data; consumers see one change, no gap, and no instance
// that has left comes back. It is the same as Register.
func (d *Discovery[P, V]) Update(i registry.ServiceInstance) error { return d.Register(i) }

// Unregister takes the instance out, no other with it, and returns when it is gone, or
// after registry.timeout with the cause; then it goes on in the background. One that is
// not registered is not an error, nor is one that a later process wrote.
func (d *Discovery[P, V]) Unregister(i registry.ServiceInstance) error {
	at, _, err := d.entry(i)
	if err != nil {
		return err
	}
	d.mu.Lock()
	delete(d.registered, at)
	d.mu.Unlock()
	ctx, cancel := d.within()
	defer cancel()
	if err := d.keeper.Remove(ctx, at); err != nil {
		return fmt.Errorf("unregister %s: %w", label(i), err)
	}
	return nil
}

// GetDefaultPageSize returns dubbo-go's default.
func (d *Discovery[P, V]) GetDefaultPageSize() int { return registry.DefaultPageSize }

// GetServices returns the applications that this object has registered.
func (d *Discovery[P, V]) GetServices() *gxset.HashSet {
	d.mu.Lock()
	defer d.mu.Unlock()
	set := gxset.NewSet()
	for _, name := range d.registered {
		set.Add(name)
	}
	return set
}

// GetInstances returns the application's instances as the registry has them now. If it
// does not answer within registry.timeout it returns the last list that is known, or nil
// if none ever was; an empty list that is not nil means that the registry has none.
func (d *Discovery[P, V]) GetInstances(application string) []registry.ServiceInstance {
	list, err := d.Instances(d.ctx, application)
	if d.application(application).firstFailure(err) {
		logger.Warnf("[graylane] %v; the last known list of %d instances is used", err, len(list))
	}
	return list
}

// Instances is GetInstances with the error: then the list is the last known one, nil if
// none ever was. It takes at most registry.timeout.
func (d *Discovery[P, V]) Instances(ctx context.Context, application string) ([]registry.ServiceInstance, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	a := d.application(application)
	list, err := d.applications.Read(ctx, application)
	if err == nil {
		a.read(list)
		return copies(list), nil
	}
	if last, known := a.last(); known {
		return copies(last), err
	}
	return nil, err
}

// application returns the entry of name, making it if need be.
func (d *Discovery[P, V]) application(name string) *application {
	d.mu.Lock()
	defer d.mu.Unlock()
	a := d.apps[name]
	if a == nil {
		a = newApplication(name)
		d.apps[name] = a
	}
	return a
}

// AddListener tells l of every list of its applications, complete and in order, with
// instances of its own, from another goroutine; first of the present list. Changes
// during a call of l become one event. Adding a listener twice does nothing.
func (d *Discovery[P, V]) AddListener(l registry.ServiceInstancesChangedListener) error {
	if d.ctx.Err() != nil {
		return ErrDestroyed
	}
	for _, v := range l.GetServiceNames().Values() {
		name, ok := v.(string)
		if !ok {
			return fmt.Errorf("%s: listener: got application %v, want a string", d.name, v)
		}
		if a := d.application(name); a.add(l) {
			go a.deliver(d.ctx, d.name)
			go d.applications.Follow(d.ctx, name, a.replace)
		}
	}
	return nil
}

// RemoveListener makes l hear no more. The watch stays until Destroy.
func (d *Discovery[P, V]) RemoveListener(l registry.ServiceInstancesChangedListener) {
	for _, v := range l.GetServiceNames().Values() {
		if name, ok := v.(string); ok {
			d.application(name).remove(l)
		}
	}
}

// GetInstancesByPage returns up to pageSize instances from offset on.
func (d *Discovery[P, V]) GetInstancesByPage(application string, offset, pageSize int) gxpage.Pager {
	return Page(d.GetInstances(application), offset, pageSize)
}

// GetHealthyInstancesByPage returns up to pageSize of the instances whose health is
// healthy, from offset (among them) on.
func (d *Discovery[P, V]) GetHealthyInstancesByPage(application string, offset, pageSize int, healthy bool) gxpage.Pager {
	var some []registry.ServiceInstance
	for _, i := range d.GetInstances(application) {
		if i.IsHealthy() == healthy {
			some = append(some, i)
		}
	}
	return Page(some, offset, pageSize)
}

// GetRequestInstances returns a page of each application.
func (d *Discovery[P, V]) GetRequestInstances(applications []string, offset, requestedSize int) map[string]gxpage.Pager {
	pages := make(map[string]gxpage.Pager, len(applications))
	for _, name := range applications {
		pages[name] = d.GetInstancesByPage(name, offset, requestedSize)
	}
	return pages
}

// Page returns up to size of all, from offset on.
func Page(all []registry.ServiceInstance, offset, size int) gxpage.Pager {
	from := min(max(offset, 0), len(all))
	to := min(from+max(size, 0), len(all))
	part := make([]any, 0, to-from)
	for _, i := range all[from:to] {
		part = append(part, i)
	}
	return gxpage.NewPage(offset, size, part, len(all))
}
