// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"maps"
	"strconv"
	"strings"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/metadata/info"
	"dubbo.apache.org/dubbo-go/v3/registry"

	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/meta"
)

// carried are the keys of instance metadata that an endpoint is made from. They
// are copied into the provider URLs, because dubbo-go makes those from the service
// info alone, which all instances of a revision share.
var carried = [...]string{ //nolint:gochecknoglobals // a constant
	tag.MetaStartTime, tag.MetaWarmupTime, tag.MetaIncarnation,
	constant.TimestampKey, constant.WarmupKey, constant.WeightKey,
}

// instance is a service instance whose URLs carry its own metadata.
type instance struct {
	registry.ServiceInstance
	fetched   bool   // dubbo-go has its service info; set and read by one event at a time
	weight    string // that it has at the registry, "" if the registry cannot tell
	unweighed bool   // the registry's weight is its own default, of a peer that set none
}

// SetServiceMetadata is what dubbo-go calls when it has fetched the service info.
func (i *instance) SetServiceMetadata(m *info.MetadataInfo) {
	i.fetched = true
	i.ServiceInstance.SetServiceMetadata(m)
}

// described reports that dubbo-go knows the instance's services, or that it has none.
func (i *instance) described() bool {
	return i.fetched || i.GetMetadata()[constant.ExportedServicesRevisionPropertyName] == "0"
}

// GetTag returns the tag of the metadata where the registry lost it: dubbo-go's
// Nacos part does with the first push.
func (i *instance) GetTag() string {
	if t := i.ServiceInstance.GetTag(); t != "" {
		return t
	}
	return i.GetMetadata()[constant.Tagkey]
}

// ToURLs returns the provider URLs of one service of the instance. They are read
// from text anew: dubbo-go tells incarnations apart by the timestamp that only
// that way becomes part of a URL's identity.
func (i *instance) ToURLs(service *info.ServiceInfo) []*common.URL {
	urls := i.ServiceInstance.ToURLs(service)
	m := i.GetMetadata()
	tagged := i.GetTag()
	if tagged == "" {
		tagged = service.Params[constant.Tagkey] // Java's place for it
	}
	for n, u := range urls {
		u.SetParam(constant.Tagkey, tagged)
		if service.Group != "" {
			u.SetParam(constant.GroupKey, service.Group)
		}
		if service.Version != "" {
			u.SetParam(constant.VersionKey, service.Version)
		}
		for _, key := range carried {
			if v := m[key]; v != "" {
				u.SetParam(key, v)
			}
		}
		if i.unweighed || m[constant.WeightKey] == "" && i.weightless() {
			u.SetParam(constant.WeightKey, service.Params[constant.WeightKey])
		}
		if w, err := strconv.Atoi(u.GetParam(constant.WeightKey, "")); err != nil || w <= 0 {
			u.SetParam(constant.WeightKey, strconv.Itoa(constant.DefaultWeight))
		}
		if i.weight != "" {
			u.SetParam(meta.RegistryWeight, i.weight)
		}
		if i.GetServiceName() != "" {
			u.SetParam(constant.ApplicationKey, i.GetServiceName())
		}
		if again, err := common.NewURL(u.String(), common.WithMethods(u.Methods)); err == nil {
			urls[n] = again
		}
		if more := i.more(urls[n]); more != nil {
			urls[n].SetAttribute(meta.Instance, more)
		}
	}
	return urls
}

// weightless reports that the registry holds no weight of the instance; dubbo-go then
// writes its default over what the provider's service says (ZooKeeper, always).
func (i *instance) weightless() bool {
	d, ok := i.ServiceInstance.(*registry.DefaultServiceInstance)
	return ok && d.Weight <= 0
}

// more returns the metadata that the URL does not carry, for rules that ask for it,
// nil if there is none. What dubbo-go keeps there for itself is left out: it is long.
func (i *instance) more(u *common.URL) map[string]string {
	var more map[string]string
	for key, value := range i.GetMetadata() {
		if value == "" || strings.HasPrefix(key, "dubbo.") || u.GetParam(key, "") != "" {
			continue
		}
		if more == nil {
			more = make(map[string]string)
		}
		more[key] = value
	}
	return more
}

// weighed notes the weights that instances have at the registry, where these can be
// told from what dubbo-go makes of none: on Nacos, which keeps 1 for peers that set
// none (Java) and where no peer registers with 0. dubbo-go rounds: below 0.5 is 0.
func weighed(list []registry.ServiceInstance, discovery string) []registry.ServiceInstance {
	if !strings.HasPrefix(discovery, constant.NacosKey+"|") {
		return list
	}
	for _, i := range list {
		w, ok := i.(*instance)
		if !ok {
			continue
		}
		d, ok := w.ServiceInstance.(*registry.DefaultServiceInstance)
		if !ok {
			continue
		}
		word, told := d.Metadata[meta.RegistryWeight] // by our registry/nacos; dubbo-go's lets us guess
		switch {
		case told:
			w.weight, w.unweighed = word, word == "" && d.Metadata[constant.WeightKey] == ""
		case d.Weight == 1 && d.Metadata[constant.WeightKey] == "":
			w.unweighed = true
		default:
			w.weight = strconv.FormatInt(max(d.Weight, 0), 10)
		}
	}
	return list
}

// wrap repairs a list and leaves out instances that are disabled. Instances are
// copied with their metadata: the map of dubbo-go's Nacos part belongs to the SDK,
// which reads it on every push.
func wrap(list []registry.ServiceInstance) []registry.ServiceInstance {
	out := make([]registry.ServiceInstance, 0, len(list))
	for _, i := range list {
		if i == nil || !i.IsEnable() {
			continue
		}
		if d, ok := i.(*registry.DefaultServiceInstance); ok {
			c := *d
			c.Metadata = maps.Clone(d.Metadata)
			i = &c
		}
		out = append(out, &instance{ServiceInstance: i})
	}
	return out
}
