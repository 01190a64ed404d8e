// SPDX-License-Identifier: Apache-2.0

package etcd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/registry"
)

// The application level has one key per instance, its value the JSON of
// registry.DefaultServiceInstance:
//
//	/services/<application>/<host>:<port>

const instancesRoot = "/services/"

func instanceFolder(application string) string { return instancesRoot + application + "/" }

func instanceKey(i registry.ServiceInstance) string {
	return instanceFolder(i.GetServiceName()) + i.GetHost() + constant.KeySeparator + strconv.Itoa(i.GetPort())
}

// encodeInstance returns what dubbo-go would write. The metadata that goes along
// is copied first: its owner changes it under a lock of its own.
func encodeInstance(i registry.ServiceInstance) (string, error) {
	d, ok := i.(*registry.DefaultServiceInstance)
	if !ok { // somebody's wrapper: the same fields by the interface
		d = &registry.DefaultServiceInstance{
			ID: i.GetID(), ServiceName: i.GetServiceName(), Host: i.GetHost(), Port: i.GetPort(), Weight: i.GetWeight(),
			Enable: i.IsEnable(), Healthy: i.IsHealthy(), Metadata: i.GetMetadata(), Address: i.GetAddress(), Tag: i.GetTag(),
			ServiceMetadata: i.GetServiceMetadata(),
		}
	}
	out := *d
	if meta := d.ServiceMetadata; meta != nil {
		snapshot := meta.Snapshot()
		snapshot.LastUpdatedTime = meta.LastUpdatedTime
		out.ServiceMetadata = &snapshot
	}
	var buf bytes.Buffer
	if err := json.NewEncoder(&buf).Encode(&out); err != nil {
		return "", fmt.Errorf("instance %s: %w", i.GetID(), err)
	}
	return buf.String(), nil
}

func decodeInstance(value string) (*registry.DefaultServiceInstance, error) {
	i := &registry.DefaultServiceInstance{}
	if err := json.Unmarshal([]byte(value), i); err != nil {
		return nil, err
	}
	if i.Host == "" {
		return nil, fmt.Errorf("instance host: got %q, want a host", i.Host)
	}
	return i, nil
}
