// SPDX-License-Identifier: Apache-2.0

package nacos

import (
	"context"
	"strings"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/registry"
	gxset "github.com/dubbogo/gost/container/set"
	gxpage "github.com/dubbogo/gost/hash/page"
	"github.com/dubbogo/gost/log/logger"
	"github.com/nacos-group/nacos-sdk-go/v2/model"

	"github.com/graylane/graylane/internal/shell"
)

// Discovery is the application-level registry (registry-type: service, dubbo-go's default).
//
// dubbo-go's own loses the tag with the first push, takes all instances of the
// process out with one, and brings dead ones back with an update. Lists have the
// instances that are enabled and healthy.
type Discovery struct {
	*shell.Discovery[node, model.Instance]
	applications applications
	timeout      time.Duration
}

var _ registry.ServiceDiscovery = (*Discovery)(nil)

// applications is the application level in Nacos.
type applications struct{ *owner }

var _ shell.Applications[node, model.Instance] = applications{}

// NewDiscovery returns a service discovery for u, which it reads as [NewRegistry]
// does. It does not connect; an error means that u is wrong.
func NewDiscovery(u *common.URL) (*Discovery, error) {
	o, timeout, err := newOwner(u)
	if err != nil {
		return nil, err
	}
	a := applications{o}
	return &Discovery{shell.NewDiscovery("nacos "+o.shared.address.where(), timeout, a), a, timeout}, nil
}

// Check is [Check] for the discovery's own address, namespace and account.
func (d *Discovery) Check(ctx context.Context) error {
	return check(ctx, d.applications.shared.address)
}

func (a applications) key(application string) serviceKey {
	return serviceKey{groupOf(a.url), application}
}

// Entry implements [shell.Applications].
func (a applications) Entry(i registry.ServiceInstance) (node, model.Instance, error) {
	out := encodeInstance(i, a.url)
	return node{a.key(i.GetServiceName()), place(out)}, out, nil
}

// Read implements [shell.Applications].
func (a applications) Read(ctx context.Context, application string) ([]*registry.DefaultServiceInstance, error) {
	hosts, err := a.shared.query(ctx, a.key(application))
	if err != nil {
		return nil, err
	}
	return decodeAll(a.key(application), hosts, false), nil
}

// Follow implements [shell.Applications].
func (a applications) Follow(ctx context.Context, application string, tell func([]*registry.DefaultServiceInstance)) {
	dirty := make(chan struct{}, 1)
	w := a.shared.watch(a.key(application), dirty)
	defer w.stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-dirty:
			if l := w.take(); l != nil {
				tell(decodeAll(a.key(application), l.hosts, false))
			}
		}
	}
}

// GetServices returns the applications that Nacos knows in the registry's group,
// none if it does not answer within registry.timeout.
func (d *Discovery) GetServices() *gxset.HashSet {
	ctx, cancel := context.WithTimeout(d.Context(), d.timeout)
	defer cancel()
	set := gxset.NewSet()
	s := d.applications.shared
	names, err := s.names(ctx, groupOf(d.applications.url))
	if err != nil {
		logger.Warnf("[graylane] nacos %s: list of services: %v", s.address.where(), err)
	}
	for _, name := range names {
		if !strings.Contains(name, separator) { // else of interface level
			set.Add(name)
		}
	}
	return set
}

// GetHealthyInstancesByPage returns up to pageSize of the instances whose health is
// healthy, from offset (among them) on, disabled ones included; none of those that are
// not healthy if Nacos does not answer within registry.timeout.
func (d *Discovery) GetHealthyInstancesByPage(application string, offset, pageSize int, healthy bool) gxpage.Pager {
	ctx, cancel := context.WithTimeout(d.Context(), d.timeout)
	defer cancel()
	key := d.applications.key(application)
	hosts, err := d.applications.shared.query(ctx, key)
	if err != nil {
		return d.Discovery.GetHealthyInstancesByPage(application, offset, pageSize, healthy)
	}
	var some []registry.ServiceInstance
	for _, i := range decodeAll(key, hosts, true) {
		if i.IsHealthy() == healthy {
			some = append(some, i)
		}
	}
	return shell.Page(some, offset, pageSize)
}
