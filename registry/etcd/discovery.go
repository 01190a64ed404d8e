// SPDX-License-Identifier: Apache-2.0

package etcd

import (
	"context"
	"fmt"
	"sync"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/registry"
	gxset "github.com/dubbogo/gost/container/set"
	gxpage "github.com/dubbogo/gost/hash/page"
	"github.com/dubbogo/gost/log/logger"
)

// Discovery is the application-level registry (registry-type: service, dubbo-go's default).
//
// dubbo-go's own tells consumers of no instance that appears or leaves; this one
// sends the complete list at every change.
type Discovery struct {
	opts      options
	shared    *shared
	registrar *registrar
	ctx       context.Context // ends with Destroy
	cancel    context.CancelFunc
	once      sync.Once

	mu         sync.Mutex
	registered map[string]string // etcd key -> application
	apps       map[string]*application
	broken     map[string]bool // applications whose last read failed
}

var _ registry.ServiceDiscovery = (*Discovery)(nil)

// NewDiscovery returns a service discovery for u: Location "host:port[,host:port]",
// parameters registry.timeout (default 5s) and [LeaseTTLKey]. It does not connect;
// an error means that u is wrong.
func NewDiscovery(u *common.URL) (*Discovery, error) {
	a, err := addressOf(u)
	if err != nil {
		return nil, err
	}
	opts, err := optionsOf(u)
	if err != nil {
		return nil, err
	}
	d := &Discovery{
		opts: opts, shared: acquire(a),
		registered: make(map[string]string),
		apps:       make(map[string]*application),
		broken:     make(map[string]bool),
	}
	d.registrar = newRegistrar(d.shared, opts.ttl)
	d.ctx, d.cancel = context.WithCancel(context.Background())
	return d, nil
}

// String names the discovery and its address.
func (d *Discovery) String() string {
	return fmt.Sprintf("etcd-service-discovery[%s]", d.shared.address.endpoints)
}

// Reconnected returns when the connection was last there again after it had been lost,
// zero if it never was: a list that comes soon after may lack many.
func (d *Discovery) Reconnected() time.Time { return d.shared.lastBack() }

// Destroy ends all listening, takes out everything registered (at most
// registry.timeout) and gives the connection back. A second call does nothing.
func (d *Discovery) Destroy() error {
	d.once.Do(func() {
		d.cancel()
		ctx, cancel := context.WithTimeout(context.Background(), d.opts.timeout)
		defer cancel()
		d.registrar.close(ctx)
		d.shared.release()
	})
	return nil
}

// Register writes the instance and keeps it there until Unregister or Destroy. It
// returns when etcd has it, or after registry.timeout with the cause; then it is as
// if Register had not been called. Registering again replaces the data.
func (d *Discovery) Register(instance registry.ServiceInstance) error {
	key, err := instanceKey(instance)
	if err != nil {
		return err
	}
	value, err := encodeInstance(instance)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(d.ctx, d.opts.timeout)
	defer cancel()
	if err := d.registrar.put(ctx, key, value); err != nil {
		return fmt.Errorf("register %s: %w", key, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.registered[key] = instance.GetServiceName()
	return nil
}

// Update replaces the instance's data; consumers see one change, no gap. It is the
// same as Register.
func (d *Discovery) Update(instance registry.ServiceInstance) error { return d.Register(instance) }

// Unregister deletes the instance and returns when it is gone, or after
// registry.timeout with the cause; then the deletion goes on in the background. One
// that is not registered is not an error.
func (d *Discovery) Unregister(instance registry.ServiceInstance) error {
	key, err := instanceKey(instance)
	if err != nil {
		return err
	}
	d.mu.Lock()
	delete(d.registered, key)
	d.mu.Unlock()
	ctx, cancel := context.WithTimeout(d.ctx, d.opts.timeout)
	defer cancel()
	if err := d.registrar.remove(ctx, key); err != nil {
		return fmt.Errorf("unregister %s: %w", key, err)
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

// GetInstances returns the application's instances as etcd has them now. If etcd
// does not answer within registry.timeout it returns the last list that is known,
// or nil if none ever was; an empty list that is not nil means that etcd has none.
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
	ctx, cancel := context.WithTimeout(ctx, d.opts.timeout)
	defer cancel()
	a := d.application(application)
	list, _, err := d.shared.read(ctx, instanceFolder(application), withPrefix)
	if err != nil {
		err = fmt.Errorf("etcd: registry %s: %w", d.shared.address.endpoints, d.shared.explain(err))
		if last, known := a.list(); known {
			return copyInstances(last), err
		}
		return nil, err
	}
	return copyInstances(a.readOnce(list)), nil
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

// AddListener tells l of every change of its applications, with the complete list,
// in order, from another goroutine; first of the present list. Changes during a
// call of l become one event. Adding a listener twice does nothing.
func (d *Discovery) AddListener(l registry.ServiceInstancesChangedListener) error {
	if d.ctx.Err() != nil {
		return errClosed
	}
	for _, v := range l.GetServiceNames().Values() {
		name, ok := v.(string)
		if !ok {
			return fmt.Errorf("etcd: listener: got application %v, want a string", v)
		}
		a := d.application(name)
		if !a.add(l) {
			continue
		}
		go a.deliver(d.ctx)
		go d.shared.follow(d.ctx, instanceFolder(name), follower{list: a.replace, changes: a.apply}, withPrefix)
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
// healthy, from offset (among them) on.
func (d *Discovery) GetHealthyInstancesByPage(application string, offset, pageSize int, healthy bool) gxpage.Pager {
	var some []registry.ServiceInstance
	for _, i := range d.GetInstances(application) {
		if i.IsHealthy() == healthy {
			some = append(some, i)
		}
	}
	return page(some, offset, pageSize)
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
