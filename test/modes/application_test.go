// SPDX-License-Identifier: Apache-2.0

package modes

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/metadata/info"
	"dubbo.apache.org/dubbo-go/v3/metadata/mapping"
	"dubbo.apache.org/dubbo-go/v3/metadata/report"
	"dubbo.apache.org/dubbo-go/v3/registry"
	gxset "github.com/dubbogo/gost/container/set"

	"github.com/graylane/graylane/filter/tag"
)

func init() {
	if !scripted {
		return
	}
	extension.SetServiceDiscovery(registryName, func(u *common.URL) (registry.ServiceDiscovery, error) {
		return &discovery{address: u.Location}, nil
	})
	extension.SetMetadataReportFactory(registryName, func() report.MetadataReportFactory { return reportFactory{} })
}

// discovery is the registry of the process at application level: the same
// providers, as instances of their applications.
type discovery struct {
	registry.ServiceDiscovery // the rest is not asked for
	address                   string
}

func (*discovery) Destroy() error { return nil }

func (d *discovery) GetInstances(app string) []registry.ServiceInstance {
	lists.Lock()
	defer lists.Unlock()
	return instances(app, lists.urls[d.address])
}

func (d *discovery) AddListener(l registry.ServiceInstancesChangedListener) error {
	lists.Lock()
	defer lists.Unlock()
	if lists.applications == nil {
		lists.applications = make(map[string][]registry.ServiceInstancesChangedListener)
	}
	lists.applications[d.address] = append(lists.applications[d.address], l)
	return nil
}

// instances are an application's providers as an application-level registry knows them:
// what is the instance's is in its metadata, the rest in the service info.
func instances(app string, urls []*common.URL) (out []registry.ServiceInstance) {
	for _, u := range urls {
		if u.GetParam(constant.ApplicationKey, "") != app {
			continue
		}
		host, portText, _ := net.SplitHostPort(u.Location)
		port, _ := strconv.Atoi(portText)
		i := &registry.DefaultServiceInstance{
			ID: u.Location, ServiceName: app, Host: host, Port: port, Enable: true, Healthy: true, Tag: u.GetParam(constant.Tagkey, ""),
			Metadata: map[string]string{
				constant.ServiceInstanceEndpoints:             fmt.Sprintf(`[{"port":%d,"protocol":%q}]`, port, u.Protocol),
				constant.MetadataStorageTypePropertyName:      constant.RemoteMetadataStorageType,
				constant.ExportedServicesRevisionPropertyName: u.Location,
			},
		}
		for _, key := range []string{tag.MetaStartTime, tag.MetaWarmupTime, tag.MetaIncarnation} {
			i.Metadata[key] = u.GetParam(key, "")
		}
		out = append(out, i)
	}
	return out
}

type reportFactory struct{}

func (reportFactory) CreateMetadataReport(u *common.URL) report.MetadataReport {
	return metadataReport{u: u}
}

// metadataReport knows the services of each provider; a revision is an address here.
type metadataReport struct {
	report.MetadataReport // the rest is not asked for
	u                     *common.URL
}

func (r metadataReport) URL() *common.URL { return r.u }

func (metadataReport) GetAppMetadata(app, address string) (*info.MetadataInfo, error) {
	v, ok := scripts.Load(address)
	if !ok {
		return nil, fmt.Errorf("no provider at %s", address)
	}
	u := v.(*provider).url
	m := info.NewAppMetadataInfo(app)
	s := info.NewServiceInfo(service, u.GetParam(constant.GroupKey, ""), "", u.Protocol, service,
		map[string]string{constant.MethodsKey: method, constant.GroupKey: u.GetParam(constant.GroupKey, "")})
	m.Services = map[string]*info.ServiceInfo{s.GetMatchKey(): s}
	return m, nil
}

// mapped are the applications that offer the service, and who hears of others.
var mapped = struct {
	sync.Mutex
	apps      []any
	listeners []mapping.MappingListener
}{apps: []any{"order"}}

// GetServiceAppMapping knows one service. dubbo-go asks any report that there is,
// whichever registry a reference has.
func (metadataReport) GetServiceAppMapping(_, _ string, l mapping.MappingListener) (*gxset.HashSet, error) {
	mapped.Lock()
	defer mapped.Unlock()
	if l != nil && !slices.Contains(mapped.listeners, l) {
		mapped.listeners = append(mapped.listeners, l)
	}
	return gxset.NewSet(mapped.apps...), nil
}

// mapApplications says that these applications offer the service.
func mapApplications(apps ...any) {
	mapped.Lock()
	mapped.apps = apps
	listeners := slices.Clone(mapped.listeners)
	mapped.Unlock()
	for _, l := range listeners {
		_ = l.OnEvent(registry.NewServiceMappingChangedEvent(service, gxset.NewSet(apps...)))
	}
}
