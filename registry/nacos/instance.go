// SPDX-License-Identifier: Apache-2.0

package nacos

import (
	"maps"
	"strconv"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/registry"
	"github.com/dubbogo/gost/log/logger"
	"github.com/nacos-group/nacos-sdk-go/v2/model"

	"github.com/graylane/graylane/internal/meta"
)

// The application level has one service of Nacos per application; dubbo-go keeps
// the instance's id in the metadata, for the SDK has no field for it.
const metaID = "id"

// overrideKey is the parameter of a registry's URL by which dubbo-go lets a user set
// the Nacos weight of all instances registered there.
const overrideKey = constant.RegistryKey + "." + constant.WeightKey

// encodeInstance returns what dubbo-go v3.3.2 registers (toRegisterInstance), with
// the weight that it registered where that is not 1. The metadata is copied: its
// owner goes on changing it.
func encodeInstance(i registry.ServiceInstance, u *common.URL) model.Instance {
	metadata := maps.Clone(i.GetMetadata())
	if metadata == nil {
		metadata = make(map[string]string)
	}
	metadata[metaID] = i.GetID()
	weight := i.GetWeight()
	if text := u.GetParam(overrideKey, ""); text != "" {
		w, err := strconv.ParseFloat(text, 64)
		if err != nil {
			logger.Warnf("[graylane] nacos: %s: got %q, want a number", overrideKey, text)
		} else {
			weight = int64(w)
		}
	}
	registered := bounded(strconv.FormatInt(weight, 10))
	if registered != unit {
		metadata[metaRegistered] = strconv.FormatFloat(registered, 'f', -1, 64)
	}
	return model.Instance{
		Ip: i.GetHost(), Port: uint64(i.GetPort()), Metadata: metadata, Weight: registered,
		Enable: i.IsEnable(), Healthy: i.IsHealthy(), Ephemeral: true,
	}
}

// decodeInstance returns an instance of the caller's own.
func decodeInstance(application, group string, host model.Instance) *registry.DefaultServiceInstance {
	metadata := maps.Clone(host.Metadata)
	if metadata == nil {
		metadata = make(map[string]string)
	}
	id := metadata[metaID]
	delete(metadata, metaID)
	metadata[meta.RegistryWeight] = "" // ours to say: registry/discovery need not guess
	weight := setWeight(host, registeredByInstance(host.Metadata), func(k, v string) { metadata[k] = v })
	return &registry.DefaultServiceInstance{
		ID: id, ServiceName: application, Host: host.Ip, Port: int(host.Port), Weight: int64(weight),
		Enable: host.Enable, Healthy: host.Healthy, Metadata: metadata, GroupName: group, Tag: metadata[constant.Tagkey],
	}
}

// decodeAll returns instances of the caller's own; only the usable ones unless all are
// wanted.
func decodeAll(key serviceKey, hosts []model.Instance, all bool) []*registry.DefaultServiceInstance {
	out := make([]*registry.DefaultServiceInstance, 0, len(hosts))
	for _, host := range hosts {
		if all || usable(host) {
			out = append(out, decodeInstance(key.name, key.group, host))
		}
	}
	return out
}
