// SPDX-License-Identifier: Apache-2.0

package modes

import (
	"fmt"
	"net"
	"strconv"

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
// providers, as instances of the application "order".
type discovery struct {
	registry.ServiceDiscovery // the rest is not asked for
	address                   string
}

func (*discovery) Destroy() error { return nil }

func (d *discovery) GetInstances(string) []registry.ServiceInstance {
	lists.Lock()
	defer lists.Unlock()
	return instances(lists.urls[d.address])
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

// instances are providers as an application-level registry knows them: what is the
// instance's is in its metadata, the rest in the service info.
func instances(urls []*common.URL) (out []registry.ServiceInstance) {
	for _, u := range urls {
		host, portText, _ := net.SplitHostPort(u.Location)
		port, _ := strconv.Atoi(portText)
		i := &registry.DefaultServiceInstance{
			ID: u.Location, ServiceName: "order", Host: host, Port: port, Enable: true, Healthy: true, Tag: u.GetParam(constant.Tagkey, ""),
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

// GetServiceAppMapping knows one application. dubbo-go asks any report that there
// is, whichever registry a reference has.
func (metadataReport) GetServiceAppMapping(string, string, mapping.MappingListener) (*gxset.HashSet, error) {
	return gxset.NewSet("order"), nil
}
