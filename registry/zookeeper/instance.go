// SPDX-License-Identifier: Apache-2.0

package zookeeper

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"

	"dubbo.apache.org/dubbo-go/v3/registry"
	curator "dubbo.apache.org/dubbo-go/v3/remoting/zookeeper/curator_discovery"
)

// The application level has one node per instance, as Curator's discovery, and with it
// Dubbo Java, writes them:
//
//	/<registry group, default services>/<application>/<host>:<port>

// payloadClass is the Java class that a payload is read as.
const payloadClass = "org.apache.dubbo.registry.zookeeper.ZookeeperInstance"

func instanceName(i registry.ServiceInstance) string {
	return i.GetHost() + ":" + strconv.Itoa(i.GetPort())
}

func encodeInstance(i registry.ServiceInstance) (string, error) {
	id := instanceName(i)
	raw, err := json.Marshal(curator.ServiceInstance{
		Name: i.GetServiceName(), ID: id, Address: i.GetHost(), Port: i.GetPort(), Tag: i.GetTag(),
		Payload: map[string]any{
			"@class": payloadClass, "id": id, "name": i.GetServiceName(), "metadata": maps.Clone(i.GetMetadata()),
		},
	})
	if err != nil {
		return "", fmt.Errorf("instance %s: %w", id, err)
	}
	return string(raw), nil
}

func decodeInstance(value string) (*registry.DefaultServiceInstance, error) {
	var c struct {
		curator.ServiceInstance
		Payload struct {
			Metadata map[string]json.RawMessage `json:"metadata"`
		} `json:"payload"`
	}
	if err := json.Unmarshal([]byte(value), &c); err != nil {
		return nil, err
	}
	if c.Address == "" || c.Payload.Metadata == nil {
		return nil, errors.New("want an address and a payload with metadata")
	}
	i := &registry.DefaultServiceInstance{
		ID: c.ID, ServiceName: c.Name, Host: c.Address, Port: c.Port, Enable: true, Healthy: true, Tag: c.Tag,
		Metadata: make(map[string]string, len(c.Payload.Metadata)),
	}
	for k, raw := range c.Payload.Metadata {
		if text, ok := metadataText(raw); ok {
			i.Metadata[k] = text
		}
	}
	return i, nil
}

// metadataText returns what a peer means by a value that should be text: a number, true
// or false as written; null is none.
func metadataText(raw json.RawMessage) (text string, ok bool) {
	if string(raw) == "null" {
		return "", false
	}
	if json.Unmarshal(raw, &text) != nil {
		return string(raw), true
	}
	return text, true
}
