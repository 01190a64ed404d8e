// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"errors"
	"maps"
	"net"
	"strconv"
	"sync"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/metadata"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/registry"
	"github.com/dubbogo/gost/log/logger"
)

// exporter is one service at one registry. dubbo-go has one exporter for all
// registries of a service, and does not deregister when it ends.
type exporter struct {
	base.Exporter

	// The following fields are immutable.
	m   *manager
	r   *registrar
	key string

	once sync.Once
}

// exporterOf counts for how many registries inner is there. dubbo-go hands out the
// same one again for a service that has not ended yet, which then goes on.
func (m *manager) exporterOf(inner base.Exporter, r *registrar, key string) base.Exporter {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.exporters[inner]++
	if t := m.ending[inner]; t != nil {
		t.Stop()
		delete(m.ending, inner)
	}
	return &exporter{Exporter: inner, m: m, r: r, key: key}
}

// UnExport takes this service out of its registry, for at most
// shutdown.registry-timeout, and nothing else. With its last registry the service
// itself ends: at once if it was never registered, else shutdown.notice later and
// in the background, since its callers have to hear of it first, unless it is
// exported again meanwhile. Calls that run are not cut off.
func (e *exporter) UnExport() {
	e.once.Do(func() {
		was := e.r.withdraw(e.key)
		e.m.mu.Lock()
		e.m.exporters[e.Exporter]--
		last := e.m.exporters[e.Exporter] == 0
		if last {
			delete(e.m.exporters, e.Exporter)
		}
		e.m.mu.Unlock()
		switch {
		case !last:
		case was:
			e.m.endLater(e.Exporter)
		default:
			e.Exporter.UnExport()
		}
	})
}

// endLater ends a service after shutdown.notice.
func (m *manager) endLater(inner base.Exporter) {
	notice := m.settings().Shutdown.Notice
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.exporters[inner] > 0 {
		return // exported again already
	}
	var t *time.Timer
	t = time.AfterFunc(notice, func() {
		m.mu.Lock()
		due := m.ending[inner] == t
		if due {
			delete(m.ending, inner)
		}
		m.mu.Unlock()
		if due {
			inner.UnExport()
		}
	})
	m.ending[inner] = t
}

// withdraw takes one service out, also one that waits for its registration, and
// reports whether callers may know it.
func (r *registrar) withdraw(key string) (known bool) {
	r.mu.Lock()
	s, connected := r.asked[key], r.inner != nil
	if s == nil {
		r.mu.Unlock()
		return false
	}
	delete(r.asked, key)
	s.withdrawn = true
	r.mu.Unlock()
	if !connected {
		return false // its registration finds it withdrawn
	}
	err := within(r.m.settings().Shutdown.RegistryTimeout, func() error {
		r.ops.Lock()
		defer r.ops.Unlock()
		return r.takeOut(s)
	})
	if err != nil {
		logger.Warnf("[graylane] unexport: deregister %s %s: %v", r.name, s.original.ServiceKey(), err)
	}
	return true
}

// takeOut deregisters a service that is registered. r.ops is held.
func (r *registrar) takeOut(s *service) error {
	r.mu.Lock()
	i := -1
	for n, o := range r.services {
		if o == s {
			i = n
		}
	}
	if i < 0 || r.closed { // not yet, or all of it
		r.mu.Unlock()
		return nil
	}
	r.services = append(r.services[:i:i], r.services[i+1:]...)
	inner := r.inner
	r.mu.Unlock()
	if r.level == interfaceLevel {
		return inner.UnRegister(s.registered)
	}
	return r.shrink(inner, s)
}

// shrink publishes the instance without s: with a new revision, for its services
// have changed. dubbo-go's own way deregisters all instances of the process.
func (r *registrar) shrink(inner registry.Registry, s *service) error {
	id := r.url.GetParam(constant.RegistryIdKey, constant.DefaultKey)
	metadata.RemoveService(id, s.registered)
	info := metadata.GetMetadataInfo(id)
	sd, ok := inner.(registry.ServiceDiscoveryRegistry)
	discovery, found := inner.(interface {
		GetServiceDiscovery() registry.ServiceDiscovery
	})
	r.mu.Lock()
	registered := r.instance
	r.mu.Unlock()
	if !registered || info == nil || !ok || !found {
		return nil // its registration leaves s out
	}
	urls := info.GetExportedServiceURLs()
	if len(urls) == 0 {
		r.mu.Lock()
		r.instance = false
		r.mu.Unlock()
		return sd.UnRegisterService()
	}
	ports := portsOf(urls)
	var errs []error
	for address, old := range r.m.instancesOf(id) {
		if !ports[old.GetPort()] {
			r.m.forgetInstance(id, address)
			errs = append(errs, discovery.GetServiceDiscovery().Unregister(old))
			continue
		}
		next := anew(old, s.registered)
		if next == nil {
			continue
		}
		info.Revision = next.GetMetadata()[constant.ExportedServicesRevisionPropertyName]
		if report := metadata.GetMetadataReportByRegistry(id); report != nil && metadata.GetMetadataType() == constant.RemoteMetadataStorageType {
			errs = append(errs, report.PublishAppMetadata(info.App, info.Revision, info))
		}
		errs = append(errs, discovery.GetServiceDiscovery().Update(next))
	}
	return errors.Join(errs...)
}

// anew makes an instance again as dubbo-go makes it, from what its services are
// now, without gone. It returns nil for an instance that is not dubbo-go's.
func anew(old registry.ServiceInstance, gone *common.URL) registry.ServiceInstance {
	d, ok := old.(*registry.DefaultServiceInstance)
	if !ok {
		return nil
	}
	next := &registry.DefaultServiceInstance{
		ID: d.ID, ServiceName: d.ServiceName, Host: d.Host, Port: d.Port, Enable: d.Enable, Healthy: d.Healthy,
		Metadata: maps.Clone(d.Metadata), ServiceMetadata: d.ServiceMetadata, GroupName: d.GroupName, Tag: d.Tag,
	}
	for k := range ownParams([]*common.URL{gone}) {
		delete(next.Metadata, k)
	}
	for _, c := range extension.GetCustomizers() {
		c.Customize(next)
	}
	return next
}

// noteInstance remembers what dubbo-go registers at application level.
func (m *manager) noteInstance(i registry.ServiceInstance) {
	id := i.GetMetadata()[constant.RegistryIdKey]
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.instances[id] == nil {
		m.instances[id] = map[string]registry.ServiceInstance{}
	}
	m.instances[id][net.JoinHostPort(i.GetHost(), strconv.Itoa(i.GetPort()))] = i
}

func (m *manager) instancesOf(id string) map[string]registry.ServiceInstance {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.instances[id])
}

func (m *manager) forgetInstance(id, address string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.instances[id], address)
}
