// SPDX-License-Identifier: Apache-2.0

package etcd

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/registry"
	"dubbo.apache.org/dubbo-go/v3/remoting"
	"github.com/dubbogo/gost/log/logger"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/graylane/graylane/internal/keeper"
	"github.com/graylane/graylane/internal/node"
)

// withPrefix makes an operation cover all keys that begin with the one given.
var withPrefix = clientv3.WithPrefix() //nolint:gochecknoglobals // immutable; a function value cannot be a constant

// view is what one subscription knows of its folders (nearly always one), and the
// way to its listener.
type view struct {
	sub      node.Subscription
	listener registry.NotifyListener

	mu    sync.Mutex            // of this subscription only: keeps calls to the listener one at a time
	known []map[string]struct{} // the wanted keys of each folder, nil until it was read
}

func newView(sub node.Subscription, listener registry.NotifyListener) *view {
	return &view{sub: sub, listener: listener, known: make([]map[string]struct{}, len(sub.Folders))}
}

// replace takes the whole list of folder i and, once all folders have been read,
// hands over the whole list of all.
func (v *view) replace(i int, list []keeper.Entry) {
	v.mu.Lock()
	defer v.mu.Unlock()
	known := make(map[string]struct{}, len(list))
	for _, e := range list {
		if v.parse(e.Key) != nil {
			known[e.Key] = struct{}{}
		}
	}
	v.known[i] = known
	events := make([]*registry.ServiceEvent, 0, len(known))
	for _, keys := range v.known {
		if keys == nil {
			return
		}
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			events = append(events, &registry.ServiceEvent{Action: remoting.EventTypeUpdate, Service: v.parse(key)})
		}
	}
	v.listener.NotifyAll(events, func() {})
}

// apply hands over single changes of folder i. A key that is written again, when
// its owner got a new lease, is no change.
func (v *view) apply(i int, changes []change) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, c := range changes {
		_, known := v.known[i][c.Key]
		if known != c.deleted {
			continue
		}
		u := v.parse(c.Key)
		if u == nil {
			continue
		}
		action := remoting.EventTypeAdd
		if c.deleted {
			action = remoting.EventTypeDel
			delete(v.known[i], c.Key)
		} else {
			v.known[i][c.Key] = struct{}{}
		}
		v.listener.Notify(&registry.ServiceEvent{Action: action, Service: u})
	}
}

// parse returns a URL of the listener's own, or nil if the consumer does not want
// it. Anybody can write to etcd: what is no URL is ignored.
func (v *view) parse(key string) *common.URL {
	node := key[strings.LastIndexByte(key, '/')+1:]
	if node == "" {
		return nil
	}
	u, err := common.NewURL(node)
	if err != nil {
		logger.Warnf("[graylane] etcd: ignored %s: %v", key, err)
		return nil
	}
	if !v.sub.Matches(u) {
		return nil
	}
	return u
}
