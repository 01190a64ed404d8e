// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"sync"

	"github.com/dubbogo/gost/gof/observer"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/registry"
)

// The names under which dubbo-go asks for our service discovery, and where the
// registry URL keeps the real one.
const (
	discoveryName = "graylane-discovery"
	realKey       = "graylane-registry"
)

func init() { extension.SetServiceDiscovery(discoveryName, newServiceDiscovery) }

// serviceDiscovery hands out repaired instances of the real one.
type serviceDiscovery struct {
	registry.ServiceDiscovery

	mu      sync.Mutex
	proxies map[registry.ServiceInstancesChangedListener]*listener
}

func newServiceDiscovery(u *common.URL) (registry.ServiceDiscovery, error) {
	c := u.Clone()
	c.SetParam(constant.RegistryKey, u.GetParam(realKey, ""))
	inner, err := extension.GetServiceDiscovery(c)
	if err != nil {
		return nil, err
	}
	return &serviceDiscovery{ServiceDiscovery: inner, proxies: make(map[registry.ServiceInstancesChangedListener]*listener)}, nil
}

// GetInstances returns the repaired list.
func (s *serviceDiscovery) GetInstances(name string) []registry.ServiceInstance {
	return wrap(s.ServiceDiscovery.GetInstances(name))
}

// AddListener adds one proxy a listener: dubbo-go adds the same listener once a
// reference, and the real discoveries tell listeners apart by identity.
func (s *serviceDiscovery) AddListener(l registry.ServiceInstancesChangedListener) error {
	s.mu.Lock()
	p, ok := s.proxies[l]
	if !ok {
		p = &listener{ServiceInstancesChangedListener: l}
		s.proxies[l] = p
	}
	s.mu.Unlock()
	return s.ServiceDiscovery.AddListener(p)
}

// listener repairs the instances of every push.
type listener struct {
	registry.ServiceInstancesChangedListener
}

// OnEvent hands the repaired list on.
func (l *listener) OnEvent(e observer.Event) error {
	if c, ok := e.(*registry.ServiceInstancesChangedEvent); ok {
		e = registry.NewServiceInstancesChangedEvent(c.ServiceName, wrap(c.Instances))
	}
	return l.ServiceInstancesChangedListener.OnEvent(e)
}
