// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"strings"
	"sync"

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
	key string // see discoveryKey
	id  string // of the registry, as dubbo-go's cache of metadata has it

	mu      sync.Mutex
	proxies map[registry.ServiceInstancesChangedListener]*listener
}

// discoveries are those of this process, one a registry: dubbo-go makes a registry
// object, and with it asks for a service discovery, each time that a mapping changes.
var discoveries struct { //nolint:gochecknoglobals // one a registry and process
	sync.Mutex
	m map[string]*serviceDiscovery
}

func newServiceDiscovery(u *common.URL) (registry.ServiceDiscovery, error) {
	c := u.Clone()
	c.SetParam(constant.RegistryKey, u.GetParam(realKey, ""))
	key := discoveryKey(u)
	discoveries.Lock()
	defer discoveries.Unlock()
	if s, ok := discoveries.m[key]; ok {
		return s, nil
	}
	inner, err := extension.GetServiceDiscovery(c)
	if err != nil {
		return nil, err
	}
	s := &serviceDiscovery{ServiceDiscovery: inner, key: key, id: u.GetParam(constant.RegistryIdKey, constant.DefaultKey), proxies: make(map[registry.ServiceInstancesChangedListener]*listener)}
	if discoveries.m == nil {
		discoveries.m = make(map[string]*serviceDiscovery)
	}
	discoveries.m[key] = s
	return s, nil
}

// discoveryKey names a registry, by its own URL or by the one that dubbo-go asks
// for our service discovery with.
func discoveryKey(u *common.URL) string {
	return strings.Join([]string{
		u.GetParam(realKey, u.GetParam(constant.RegistryKey, "")), u.Location, u.GetParam(constant.RegistryNamespaceKey, ""),
		u.GetParam(constant.RegistryGroupKey, ""), u.GetParam(constant.RegistryIdKey, ""),
	}, "|")
}

// GetInstances returns the repaired list, without instances of which is not known yet
// what they offer: dubbo-go would wait for each. The listener brings them later.
func (s *serviceDiscovery) GetInstances(name string) []registry.ServiceInstance {
	return described(weighed(wrap(s.ServiceDiscovery.GetInstances(name)), s.key), s.id)
}

// AddListener adds one proxy a listener and then brings it up to date: on Nacos
// a push between the first list and the subscription reaches nobody. dubbo-go
// adds the same listener once a reference; the real discoveries would call it as
// often.
func (s *serviceDiscovery) AddListener(l registry.ServiceInstancesChangedListener) error {
	s.mu.Lock()
	p, known := s.proxies[l]
	if !known {
		p = &listener{ServiceInstancesChangedListener: l, discovery: s.key, registryID: s.id}
		s.proxies[l] = p
	}
	s.mu.Unlock()
	if !known {
		if err := s.ServiceDiscovery.AddListener(p); err != nil {
			s.mu.Lock()
			delete(s.proxies, l)
			s.mu.Unlock()
			return err
		}
	}
	for _, name := range l.GetServiceNames().Values() {
		if app, ok := name.(string); ok {
			p.resync(app, func() []registry.ServiceInstance { return s.ServiceDiscovery.GetInstances(app) })
		}
	}
	return nil
}
