// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/registry"
)

// asRegistry returns what dubbo-go sees of the registrar: the interface of
// application level only where the real registry has it.
func (r *registrar) asRegistry() registry.Registry {
	if r.level == applicationLevel {
		return applicationRegistry{interfaceRegistry{r}}
	}
	return interfaceRegistry{r}
}

// interfaceRegistry is a registry to dubbo-go.
type interfaceRegistry struct{ r *registrar }

// applicationRegistry is one of application level.
type applicationRegistry struct{ interfaceRegistry }

var (
	_ registry.Registry                 = interfaceRegistry{}
	_ registry.Registry                 = applicationRegistry{}
	_ registry.ServiceDiscoveryRegistry = applicationRegistry{}
)

// GetURL returns the URL of the real registry.
func (i interfaceRegistry) GetURL() *common.URL { return i.r.url }

// IsAvailable asks the real registry; it is not while there is none yet.
func (i interfaceRegistry) IsAvailable() bool {
	inner := i.now()
	return inner != nil && inner.IsAvailable()
}

// Destroy destroys the real registry.
func (i interfaceRegistry) Destroy() {
	if inner := i.now(); inner != nil {
		inner.Destroy()
	}
}

// Register registers a service; see registrar.submit for when it returns.
func (i interfaceRegistry) Register(u *common.URL) error { return i.r.registerURL(u) }

// UnRegister takes one service out.
func (i interfaceRegistry) UnRegister(u *common.URL) error {
	inner := i.now()
	if inner == nil {
		return nil
	}
	i.r.mu.Lock()
	var s *service
	for k, o := range i.r.services {
		if o.original == u || o.original.String() == u.String() {
			s = o
			i.r.services = append(i.r.services[:k:k], i.r.services[k+1:]...)
			break
		}
	}
	i.r.mu.Unlock()
	if s == nil {
		return nil
	}
	return inner.UnRegister(s.registered)
}

// Subscribe waits for the real registry; dubbo-go calls it in a goroutine of its
// own.
func (i interfaceRegistry) Subscribe(u *common.URL, l registry.NotifyListener) error {
	select {
	case <-i.r.connected:
		return i.now().Subscribe(u, l)
	case <-i.r.m.stop:
		return errStopped
	}
}

// UnSubscribe ends a subscription.
func (i interfaceRegistry) UnSubscribe(u *common.URL, l registry.NotifyListener) error {
	if inner := i.now(); inner != nil {
		return inner.UnSubscribe(u, l)
	}
	return nil
}

// LoadSubscribeInstances loads what a subscriber must know at once.
func (i interfaceRegistry) LoadSubscribeInstances(u *common.URL, l registry.NotifyListener) error {
	if inner := i.now(); inner != nil {
		return inner.LoadSubscribeInstances(u, l)
	}
	return nil
}

func (i interfaceRegistry) now() registry.Registry {
	i.r.mu.Lock()
	defer i.r.mu.Unlock()
	return i.r.inner
}

// RegisterService registers the instance; without services here it does nothing.
func (a applicationRegistry) RegisterService() error { return a.r.registerInstance() }

// UnRegisterService takes the instance out, when a start is rolled back.
func (a applicationRegistry) UnRegisterService() error {
	sd, ok := a.now().(registry.ServiceDiscoveryRegistry)
	if !ok {
		return nil
	}
	a.r.mu.Lock()
	a.r.instance = false
	a.r.mu.Unlock()
	return sd.UnRegisterService()
}

// GetServiceDiscovery returns the real registry's, nil while there is none yet.
func (a applicationRegistry) GetServiceDiscovery() registry.ServiceDiscovery {
	if sd, ok := a.now().(interface {
		GetServiceDiscovery() registry.ServiceDiscovery
	}); ok {
		return sd.GetServiceDiscovery()
	}
	return nil
}
