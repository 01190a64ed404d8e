// SPDX-License-Identifier: Apache-2.0

package etcd

import (
	"context"

	"dubbo.apache.org/dubbo-go/v3/metadata/mapping"
	"dubbo.apache.org/dubbo-go/v3/metadata/report"
	"dubbo.apache.org/dubbo-go/v3/registry"
	"github.com/dubbogo/gost/log/logger"
)

// mappingWatch follows one service's mapping for one listener.
type mappingWatch struct {
	service  string
	listener mapping.MappingListener
	cancel   context.CancelFunc
	heard    string // the value that the listener knows; of the watch's goroutine
}

// listen starts a watch of key for a listener that knows value.
func (r *Report) listen(key, service, value string, l mapping.MappingListener) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.mappings[key] {
		if w.listener == l {
			return
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	w := &mappingWatch{service: service, listener: l, cancel: cancel, heard: value}
	r.mappings[key] = append(r.mappings[key], w)
	s := acquire(r.address)
	go func() {
		defer s.release()
		s.follow(ctx, key, follower{
			list: func(list []entry) {
				if len(list) > 0 {
					w.tell(list[0].value)
				}
			},
			changes: func(changes []change) { w.tell(changes[len(changes)-1].value) },
		})
	}()
}

// tell gives the listener a value that it does not know. A mapping that vanished is
// no news: its instances say themselves that they are gone.
func (w *mappingWatch) tell(value string) {
	if value == "" || value == w.heard {
		return
	}
	w.heard = value
	err := w.listener.OnEvent(registry.NewServiceMappingChangedEvent(w.service, report.DecodeServiceAppNames(value)))
	if err != nil {
		logger.Warnf("[graylane] etcd: mapping of %s: a listener failed on %q: %v", w.service, value, err)
	}
}

// RemoveServiceAppMappingListener ends the watches of service. As in dubbo-go's other
// reports this is for all its listeners; none is not an error.
func (r *Report) RemoveServiceAppMappingListener(service, group string) error {
	key := r.mappingKey(service, group)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.mappings[key] {
		w.cancel()
	}
	delete(r.mappings, key)
	return nil
}
