// SPDX-License-Identifier: Apache-2.0

package shell

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"dubbo.apache.org/dubbo-go/v3/metadata/info"
	"dubbo.apache.org/dubbo-go/v3/metadata/mapping"
	"dubbo.apache.org/dubbo-go/v3/metadata/report"
	"dubbo.apache.org/dubbo-go/v3/registry"
	"github.com/dubbogo/gost/log/logger"
)

// Mappings are the listeners of a metadata report: who wants to hear which applications
// offer a service. The zero Mappings has none.
type Mappings struct {
	mu      sync.Mutex
	watches map[string][]*mappingWatch // by key
}

// mappingWatch follows one service's mapping for one listener.
type mappingWatch struct {
	listener mapping.MappingListener
	cancel   context.CancelFunc
}

// Listen makes l, which knows value, hear of every other value at key, the mapping of
// service, until Remove. follow runs in a goroutine of its own and calls tell with each
// value, one at a time, until ctx ends. A listener that listens already stays as it is.
func (m *Mappings) Listen(name, key, service, value string, l mapping.MappingListener, follow func(ctx context.Context, tell func(value string))) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, w := range m.watches[key] {
		if w.listener == l {
			return
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	if m.watches == nil {
		m.watches = make(map[string][]*mappingWatch)
	}
	m.watches[key] = append(m.watches[key], &mappingWatch{l, cancel})
	go follow(ctx, func(now string) {
		if now == "" || now == value { // a mapping that vanished is no news: its instances say themselves that they are gone
			return
		}
		value = now
		if err := l.OnEvent(registry.NewServiceMappingChangedEvent(service, report.DecodeServiceAppNames(now))); err != nil {
			logger.Warnf("[graylane] %s: mapping of %s: a listener failed on %q: %v", name, service, now, err)
		}
	})
}

// Remove ends the watches of key, all of them as in dubbo-go's other reports; none is
// not an error.
func (m *Mappings) Remove(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, w := range m.watches[key] {
		w.cancel()
	}
	delete(m.watches, key)
}

// EncodeMetadata returns what a report writes of an application's metadata.
func EncodeMetadata(application string, meta *info.MetadataInfo) ([]byte, error) {
	if meta == nil {
		return nil, fmt.Errorf("metadata of %s: got nil, want metadata", application)
	}
	snapshot := meta.Snapshot() // its owner changes it under a lock of its own
	snapshot.LastUpdatedTime = meta.LastUpdatedTime
	value, err := json.Marshal(&snapshot)
	if err != nil {
		return nil, fmt.Errorf("metadata of %s: %w", application, err)
	}
	return value, nil
}
